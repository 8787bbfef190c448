"""Read and mux damaged media, many thousand files of it, and report what goes wrong.

    python -m devtools.fuzz_media --count 4000

Seeds are clips of many kinds; each file is one of them with bits flipped, cut off, spliced from two, or with one word
of its headers changed. The same seed number gives the same files. A child process reads each one as a clip and as a
sound, measures it, and puts a sound on it; all of that may succeed or end in an AudioXError, and nothing else. The
parent sees a child that dies or hangs.
"""

import argparse
import collections
import json
import random
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import psutil

from . import media_maker as maker
from .paths import ROOT

LIMIT_SECONDS = 10.0
"""CPU time for one attempt, beyond which it counts as a hang."""

WAITING = 12
"""How many times the limit an attempt may take on a busy machine, or waiting for itself."""

STARTING_SECONDS = 60.0
"""What a new child may take on top."""

ATTEMPTS = ("clip", "later", "stride", "sound", "part", "length", "mp4", "mkv", "cut")

HEADER_WORDS = [
    *(b"moov", b"mdhd", b"mvhd", b"tkhd", b"stts", b"ctts", b"stsz", b"stsc", b"stco", b"stsd", b"elst", b"trun"),
    *(b"tfdt", b"tfhd", b"avc1", b"mp4a", b"esds", b"avcC", b"hvc1", b"RIFF", b"avih", b"strh", b"strf", b"idx1"),
    *(b"fmt ", b"data", b"fLaC", b"OggS", b"\x1a\x45\xdf\xa3", b"\x2a\xd7\xb1", b"\x16\x54\xae\x6b", b"\x86\x85V_"),
]
"""Beginnings of headers in mp4, Matroska, AVI, WAV, FLAC and Ogg."""

ODD_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def make_seeds(folder: Path) -> list[Path]:
    """Small clips of every kind that users have; a second or two each."""
    sound, other = maker.tone(1.0, 44100), maker.tone(1.0, 48000)
    options: dict[str, dict] = {
        "plain.mp4": {"sound": sound},
        "silent.mp4": {},
        "late.mp4": {"sound": sound, "first_time": Fraction(1, 4)},
        "vfr.mp4": {"times": maker.uneven_times(24)},
        "turned.mov": {"sound": sound, "matrix": maker.ROTATIONS[90]},
        "tags.mp4": {"metadata": {"prompt": "{}", "title": "rain"}, "captions": [(0.2, 0.4, "rain")]},
        "hevc.mp4": {"codec": "libx265"},
        "plain.mkv": {"sound": sound, "captions": [(0.2, 0.4, "rain")]},
        "six.mkv": {"sound": maker.tone(1.0, channels=6), "sound_codec": "ac3"},
        "vp9.webm": {"codec": "libvpx-vp9", "sound": other, "sound_rate": 48000},
        "plain.ts": {"sound": sound},
        "plain.avi": {"codec": "mpeg4", "sound": sound, "sound_codec": "pcm_s16le"},
        "plain.flv": {"sound": sound},
        "plain.mpg": {"codec": "mpeg2video", "rate": 25},
        "plain.gif": {"codec": "gif", "pixel_format": "rgb8"},
    }
    seeds = [maker.make_video(folder / name, **{"count": 24, **each}) for name, each in options.items()]
    seeds += [maker.make_sound(folder / f"plain.{suffix}", sound) for suffix in ("mp3", "wav", "flac", "ac3")]
    seeds.append(maker.make_sound(folder / "plain.ogg", other, 48000))
    seeds.append(maker.make_cover_art(folder / "cover.mp3", sound))
    for name, movflags in {"fast.mp4": "+faststart", "fragments.mp4": "+frag_keyframe+empty_moov"}.items():
        seeds.append(maker.remux_video(folder / "plain.mp4", folder / name, {"movflags": movflags}))
    seeds.append(maker.remux_video(folder / "silent.mp4", folder / "raw.h264"))
    seeds.append(maker.hide_lead_in(folder / "plain.mp4", folder / "edited.mp4", 0.3))
    return seeds


def broken_files(folder: Path, seeds: list[Path], count: int, seed: int) -> Iterator[Path]:
    """Write damaged copies, one after the other."""
    rng = random.Random(seed)
    contents = {path: path.read_bytes() for path in seeds}
    for number in range(count):
        kind = rng.choice(list(DAMAGE))
        path = rng.choice(seeds)
        data = DAMAGE[kind](rng, contents[path], contents[rng.choice(seeds)])
        broken = folder / f"{number:05}_{kind}_{path.name}"
        broken.write_bytes(data)
        yield broken


def flipped(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Bits flipped: mostly one to eight, and rather in the headers."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8, 40, 200))):
        end = rng.choice((64, 1024, len(data)))
        changed[rng.randrange(min(end, len(data)))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """The end missing, or a piece in the middle."""
    first = rng.randrange(1, len(data))
    return data[:first] if rng.random() < 0.6 else data[:first] + data[rng.randrange(first, len(data)) :]


def spliced(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """The beginning of one file and the end of another, or one after the other."""
    if rng.random() < 0.4:
        return data + other
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


def with_other_word(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """An odd number in place of 1, 2, 4 or 8 bytes near the name of a header, or the name itself replaced."""
    places = [place for word in HEADER_WORDS for place in _places(data, word)]
    place = rng.choice(places) if places else rng.randrange(max(len(data) - 16, 1))
    changed = bytearray(data)
    if rng.random() < 0.15:
        changed[place : place + 4] = b"zzzz"
    else:
        size = rng.choice((1, 2, 4, 8))
        start = place + rng.randrange(-4, 48)
        number = rng.choice((*ODD_NUMBERS, rng.getrandbits(32))) % (1 << 8 * size)
        changed[max(start, 0) : max(start, 0) + size] = number.to_bytes(size, rng.choice(("big", "little")))
    return bytes(changed)


def _places(data: bytes, word: bytes) -> Iterator[int]:
    place = data.find(word)
    while place >= 0:
        yield place
        place = data.find(word, place + 1)


DAMAGE: dict[str, Callable[[random.Random, bytes, bytes], bytes]] = {
    "flip": flipped,
    "cut": cut,
    "splice": spliced,
    "word": with_other_word,
}


# The child


def attempts(path: Path, folder: Path) -> dict[str, Callable[[], object]]:
    """What a user may do with a file."""
    from audiox_core.media.audio import read_audio
    from audiox_core.media.extent import video_length
    from audiox_core.media.frames import FrameRequest, read_clip
    from audiox_core.media.mux import Cut, mux_video

    new = maker.tone(0.5)
    requests = [FrameRequest(5, 5, 32), FrameRequest(25, 25, 32)]
    return {
        "clip": lambda: read_clip(path, requests),
        "later": lambda: read_clip(path, requests, start=0.4, duration=0.3),
        "stride": lambda: read_clip(path, requests, stride_sampling=True),
        "sound": lambda: read_audio(path),
        "part": lambda: read_audio(path, start=1.2, duration=0.2),
        "length": lambda: video_length(path),
        "mp4": lambda: mux_video(path, new, 44100, folder / "out.mp4", subtitles=False),
        "mkv": lambda: mux_video(path, new, 44100, folder / "out.mkv", mode="mix"),
        "cut": lambda: mux_video(path, new, 44100, folder / "out.mov", mode="duck", cut=Cut(0.2, 0.5)),
    }


def check_result(name: str, folder: Path) -> None:
    """Assert that what was written is a video with pictures, and the only file."""
    import av

    for path in folder.iterdir():
        with av.open(str(path)) as file:
            assert any(packet.size for packet in file.demux(file.streams.video[0])), f"{name}: no pictures"
        path.unlink()


def serve() -> None:
    """Try what lines of JSON on stdin say; print one for each attempt. What isn't an AudioXError ends the child."""
    import logging

    from audiox_core.errors import AudioXError

    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as results:
        for line in sys.stdin:
            request = json.loads(line)
            for name, attempt in attempts(Path(request["path"]), Path(results)).items():
                if name not in request["names"]:
                    continue
                print(json.dumps({"try": name}), flush=True)
                outcome = "read"
                try:
                    attempt()
                except AudioXError as error:
                    outcome = f"refused: {error}"
                    assert not list(Path(results).iterdir()), "a failed mux left a file"
                check_result(name, Path(results))
                print(json.dumps({"name": name, "outcome": outcome}), flush=True)
            print(json.dumps({}), flush=True)


# The parent


class Child:
    """A process that tries files, started again after every death."""

    def __init__(self, errors: Path):
        self.errors = errors
        self.process = self.start()

    def start(self) -> subprocess.Popen:
        command = [sys.executable, "-m", "devtools.fuzz_media", "--serve"]
        with open(self.errors, "w") as stderr:
            return subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, bufsize=0
            )

    def outcomes(self, path: Path, names: list[str], limit: float) -> Iterator[tuple[str, str]]:
        """(attempt, outcome) for one file; an outcome that begins with "FAILED" is a bug."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"path": str(path), "names": names}).encode() + b"\n")
        trying = "start"
        while True:
            answer = self.answer(limit + STARTING_SECONDS * (trying == "start"))
            if answer is None:
                yield trying, f"FAILED: {self.ending(limit)}"
                self.process = self.start()
                return
            if not answer:
                return
            trying = answer.get("try", trying)
            if "outcome" in answer:
                yield answer["name"], answer["outcome"]

    def answer(self, limit: float) -> dict | None:
        """The next line of the child; None if it died or says nothing for too long."""
        assert self.process.stdout is not None
        begun, used = time.monotonic(), self.cpu_seconds()
        while not select.select([self.process.stdout], [], [], 0.5)[0]:
            if self.cpu_seconds() - used > limit or time.monotonic() - begun > WAITING * limit:
                return None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def cpu_seconds(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def ending(self, limit: float) -> str:
        """How the child ended; it is ended if it hangs."""
        try:
            code = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return f"more than {limit:g} s, or waiting for itself"
        if code < 0:
            return f"died of signal {-code}"
        lines = self.errors.read_text().strip().splitlines()
        places = [line.strip() for line in lines if line.lstrip().startswith("File ")]
        return f"{lines[-1] if lines else 'no traceback'} ({places[-1] if places else ''})"

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@dataclass(frozen=True)
class Report:
    """How many files were tried, how many attempts read or refused them, and (file, attempt, what) of the bugs."""

    files: int
    read: int
    refused: int
    failures: list[tuple[str, str, str]]


def fuzz(
    folder: Path,
    count: int,
    seed: int,
    *,
    tries: int = len(ATTEMPTS),
    limit: float = LIMIT_SECONDS,
    most_seconds: float = 1e9,
) -> Report:
    """Try `count` damaged files, or as many as `most_seconds` allow; those that fail stay in the folder.

    tries: attempts at each file, drawn from all.
    """
    (folder / "seeds").mkdir()
    seeds = make_seeds(folder / "seeds")
    child, rng = Child(folder / "stderr.txt"), random.Random(seed)
    begun, files = time.monotonic(), 0
    outcomes: collections.Counter[str] = collections.Counter()
    failures: list[tuple[str, str, str]] = []
    for path in broken_files(folder, seeds, count, seed):
        if time.monotonic() - begun > most_seconds:
            path.unlink()
            break
        files += 1
        bad = False
        for name, outcome in child.outcomes(path, rng.sample(ATTEMPTS, tries), limit):
            outcomes[outcome.split(":")[0]] += 1
            if outcome.startswith("FAILED"):
                failures.append((path.name, name, outcome))
                bad = True
        if not bad:
            path.unlink()
    child.close()
    return Report(files, outcomes["read"], outcomes["refused"], failures)


def main() -> None:
    parser = argparse.ArgumentParser(description="Read and mux damaged media, and report what goes wrong.")
    parser.add_argument("--count", type=int, default=4000, help="files to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--folder", type=Path, help="an empty folder for the files; those that fail stay in it")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    folder = options.folder or Path(tempfile.mkdtemp(prefix="audiox_fuzz_"))
    report = fuzz(folder, options.count, options.seed, most_seconds=options.seconds)
    for name, attempt, outcome in report.failures:
        print(f"{folder / name}  {attempt}  {outcome}")
    print(
        f"{report.files} files: {report.read} attempts read, {report.refused} refused with a sentence, "
        f"{len(report.failures)} failed"
    )
    sys.exit(bool(report.failures))


if __name__ == "__main__":
    main()
