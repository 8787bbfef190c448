"""A manifest's sounds: each is what a run of its own gives, a run goes on where one ended, and processes share it."""

import io
import json
import os
import subprocess
import sys

import pytest
import torch

from audiox_core.checkpoint import open_checkpoint
from audiox_core.cli import batch, generate, main, manifest, progress
from audiox_core.errors import AudioXError
from audiox_core.media.audio import read_audio
from audiox_core.pipeline import AudioX, Prompt
from audiox_core.sampling.presets import RunSettings
from devtools import media_maker
from devtools.graphs import video_packets
from devtools.paths import ROOT

SHORT = {"prompt": "rain", "seconds": 0.5, "steps": 1}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return media_maker.make_demo_video(tmp_path_factory.mktemp("media") / "clip.mp4", seconds=1.0)


@pytest.fixture
def work(tmp_path, small_model_dir, capsys):
    """work(lines, ...) runs a batch into tmp_path/out: its exit code and the last line that it prints."""

    def run(*lines, options=(), out="out"):
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (tmp_path / "m.jsonl").write_text("\n".join(texts) + "\n", "utf-8")
        arguments = [
            "batch",
            tmp_path / "m.jsonl",
            "--out",
            tmp_path / out,
            "--model",
            small_model_dir,
            "--device",
            "cpu",
            *options,
        ]
        code = main([str(each) for each in arguments])
        printed = capsys.readouterr().out.splitlines()
        return code, printed[-1] if printed else ""

    return run


@pytest.fixture
def made(monkeypatch):
    """Names of the files that are written, in order."""
    names, write = [], generate.write

    def noting(path, sound, request):
        write(path, sound, request)
        names.append(path.name)

    monkeypatch.setattr(generate, "write", noting)
    return names


def as_options(words):
    """A line as it is written on the command line."""
    options = []
    for name, value in words.items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None and each is not False:
                options.append(f"--{name.replace('_', '-')}" + ("" if each is True else f"={each}"))
    return options


def short(name, **words):
    return {"id": name, **SHORT, **words}


def contents(folder):
    """Name -> bytes of every file that is not a record."""
    files = [path for path in folder.rglob("*") if path.is_file() and manifest.RECORDS not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# The sounds


def test_each_sound_is_that_of_a_run_of_its_own(work, small_model_dir, clip, tmp_path, monkeypatch):
    runs, sample = [], AudioX.sample

    def noting(self, prompts, settings, seeds, *more, **others):
        runs.append(len(seeds))
        return sample(self, prompts, settings, seeds, *more, **others)

    monkeypatch.setattr(AudioX, "sample", noting)
    lines = {
        "rain.wav": {"prompt": "rain on a car", "seed": 3, "seconds": 0.5},
        "dog.flac": {"prompt": "-a dog", "seed": 4, "seconds": 1.5},
        "film.mp4": {"prompt": "a bell", "video": str(clip), "seconds": 0, "seed": 5},
        "birds/loop.wav": {"prompt": "a bird", "loop": True, "seconds": 0.5, "seed": 6},
        "made_anew.wav": {"prompt": "water", "edit": str(clip), "range": ["0.2:0.4", "0.6:"], "seed": 7},
        "like.wav": {"audio": str(clip), "audio_start": 0.25, "seconds": 0.5, "loop": False, "cfg": None, "seed": 2},
    }
    named = [{"out": name, **words} for name, words in lines.items()]
    assert work(*named, options=["--batch-size", 3]) == (0, "6 done, 0 skipped, 0 failed")
    assert sorted(runs) == [1, 1, 1, 3]
    for name, words in lines.items():
        alone = tmp_path / name.replace("/", "_")
        options = as_options(words)
        assert main(["generate", "--model", str(small_model_dir), "--out", str(alone), *options]) == 0
        together, single = (read_audio(path)[0] for path in (tmp_path / "out" / name, alone))
        assert together.shape == single.shape
        assert torch.allclose(together, single, atol=2e-3 if name.endswith("mp4") else 1e-4)
        assert single.std() > 1e-4
    assert video_packets(tmp_path / "out" / "film.mp4") == video_packets(clip)


def test_prompts_of_different_parts_share_a_batch(released_dir):
    """Also with guidance that sets video and audio apart, and words to avoid of their own."""
    model = AudioX(open_checkpoint(released_dir, variant="base"))
    texts = [model.encode_text(text)[0] for text in ("a bell", "rain", "a dog")]
    sound = torch.rand(1, 64, 215, generator=torch.Generator().manual_seed(0))
    prompts = [Prompt(texts[0]), Prompt(texts[1], audio=sound), Prompt(audio=sound)]
    against = [Prompt(texts[2]), Prompt(texts[0]), Prompt(texts[1])]
    settings = RunSettings(2, 6.0, "euler", rescale=0.5, video_cfg=3.0)
    together = model.sample(prompts, settings, [1, 2, 3], against)
    for i in range(3):
        alone = model.sample(prompts[i], settings, [i + 1], against[i])
        assert torch.allclose(together[i], alone[0], atol=1e-4)
    assert (together[0] - together[2]).abs().max() > 1e-2
    with pytest.raises(AudioXError, match="3 prompts for 2 seeds"):
        model.sample(prompts, settings, [1, 2])


def test_the_longest_come_first_and_names_have_defaults(work, made):
    lines = [SHORT, short("long", seconds=11), short(7, steps=2), "", short("last")]
    assert work(*lines, options=["--format", "flac", "--batch-size", 2])[0] == 0
    assert made == ["long.flac", "000001.flac", "last.flac", "7.flac"]


# Going on


def test_what_is_done_is_skipped_until_its_line_changes(work, made, tmp_path):
    lines = [short(name) for name in "abc"]
    assert work(*lines) == (0, "3 done, 0 skipped, 0 failed")
    assert made == ["a.wav", "b.wav", "c.wav"]
    assert work(*lines[::-1]) == (0, "0 done, 3 skipped, 0 failed")
    lines[1]["seed"] = 1
    (tmp_path / "out" / "c.wav").unlink()
    before = contents(tmp_path / "out")
    assert work(*lines) == (0, "2 done, 1 skipped, 0 failed")
    assert made[3:] == ["b.wav", "c.wav"]
    after = contents(tmp_path / "out")
    assert before["a.wav"] == after["a.wav"] == after["c.wav"]
    assert before["b.wav"] != after["b.wav"]
    assert work(*lines, options=["--dtype", "bf16"]) == (0, "3 done, 0 skipped, 0 failed")


@pytest.mark.live
@pytest.mark.parametrize("size", [1, 2])
def test_an_interrupted_run_loses_only_the_sound_in_hand(size, work, monkeypatch, tmp_path):
    lines = [short(name, seed=i) for i, name in enumerate("abc")]
    options = ["--batch-size", size]
    assert work(*lines, options=options, out="undisturbed")[0] == 0
    assert work(short("b", seed=9), options=options)[0] == 0
    write = generate.write

    def stop_at_b(path, sound, args):
        if path.name == "b.wav":
            raise KeyboardInterrupt
        write(path, sound, args)

    monkeypatch.setattr(generate, "write", stop_at_b)
    old = contents(tmp_path / "out")["b.wav"]
    assert work(*lines, options=options)[0] == 130
    left = contents(tmp_path / "out")
    assert set(left) == {"a.wav", "b.wav"} and left["b.wav"] == old
    monkeypatch.setattr(generate, "write", write)
    assert work(short("b", seed=9), options=options) == (0, "1 done, 0 skipped, 0 failed")  # of which sound is b.wav?
    assert work(*lines, options=options) == (0, "2 done, 1 skipped, 0 failed")
    for name, data in contents(tmp_path / "undisturbed").items():
        found, expected = (read_audio(io.BytesIO(each))[0] for each in (contents(tmp_path / "out")[name], data))
        assert torch.allclose(found, expected, atol=1e-4)


KILLED = """
import os, signal, sys
from audiox_core.cli import generate, main
from audiox_core.media import audio

frame, write = audio.sound_frame, generate.write

def write_or_die(path, sound, args):
    if path.name == "b.wav":
        audio.sound_frame = lambda *found: os.kill(os.getpid(), signal.SIGKILL)
    write(path, sound, args)

generate.write = write_or_die
main(sys.argv[1:])
"""


@pytest.mark.live
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_run_killed_while_it_writes_goes_on(work, small_model_dir, tmp_path):
    lines = [short(name, seed=i) for i, name in enumerate("abc")]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    arguments = ["batch", tmp_path / "m.jsonl", "--out", tmp_path / "out", "--model", small_model_dir]
    command = [sys.executable, "-c", KILLED, *map(str, arguments), "--device", "cpu"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=300).returncode == -9
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["a.wav"]
    assert work(*lines) == (0, "2 done, 1 skipped, 0 failed")


# Lines that cannot work

BAD = {
    "not JSON": ("{'prompt': 'rain'}", "not JSON"),
    "cut off": ('{"prompt": "ra', "not JSON"),
    "half a character": (r'{"prompt": "\ud83d"}', "not JSON"),
    "no object": ('["rain"]', "JSON object"),
    "unknown word": ({"promt": "rain"}, "'promt'"),
    "the model's word": ({"device": "cpu"}, "'device'"),
    "several sounds": ({"batch": 2}, "'batch'"),
    "no number": ({"seconds": "long"}, "long"),
    "a list of words": ({"prompt": ["rain"]}, "expected a text"),
    "a flag with a value": ({"loop": "yes"}, "true or false"),
    "two sources": ({"video": "a.mp4", "image": "a.png"}, "not both"),
    "a name outside": ({"out": "../rain.wav"}, "inside the output folder"),
    "an absolute name": ({"out": "/rain.wav"}, "inside the output folder"),
    "a name that is none": ({"id": "a\nb"}, "not a name"),
    "unknown ending": ({"out": "rain.mp3"}, ".wav"),
    "a name too long": ({"id": "n" * 300}, "too long"),
    "a film of nothing": ({"out": "rain.mp4"}, "--video"),
    "a name twice": ({"id": "good"}, "line 1"),
    "no such video": ({"video": "nothing.mp4", "seconds": 0.5}, "nothing.mp4"),
    "too long": ({"seconds": 601}, "at most 600"),
    "a seed below zero": ({"seed": -1}, "0 or more"),
    "guidance on turbo": ({"cfg": 5}, "distilled"),
    "negative without guidance": ({"negative": "noise", "steps": 1}, "guidance"),
    "a loop of a video": ({"loop": True, "seconds": 0.5, "steps": 1}, "switch the loop off"),
}


def test_bad_lines_are_reported_and_the_others_made(work, clip, tmp_path):
    lines = [line for line, _ in BAD.values()]
    lines[-1] = {**lines[-1], "video": str(clip)}
    code, last = work(short("good"), *lines, short("also good"), options=["--batch-size", 8])
    path = tmp_path / "out" / "failures.jsonl"
    assert (code, last) == (1, f"2 done, 0 skipped, {len(BAD)} failed, see {path}")
    assert set(contents(tmp_path / "out")) == {"good.wav", "also good.wav", "failures.jsonl"}
    failures = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [failure["line"] for failure in failures] == list(range(2, 2 + len(BAD)))
    for failure, line, (_, word) in zip(failures, lines, BAD.values(), strict=True):
        assert word in failure["error"], failure
        assert failure["text"] == (line if isinstance(line, str) else json.dumps(line))
    assert work(short("good"), short("also good")) == (0, "0 done, 2 skipped, 0 failed")
    assert not path.exists()


def test_a_batch_without_room_is_made_one_by_one(work, monkeypatch):
    sample = AudioX.sample

    def only_one(self, prompts, settings, seeds, *more, **others):
        if len(seeds) > 1 or seeds == [2]:
            raise torch.cuda.OutOfMemoryError("no room")
        return sample(self, prompts, settings, seeds, *more, **others)

    monkeypatch.setattr(AudioX, "sample", only_one)
    code, last = work(*(short(i, seed=i) for i in range(4)), options=["--batch-size", 4])
    assert code == 1 and last.startswith("3 done, 0 skipped, 1 failed")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["nothing.jsonl"], "nothing.jsonl"),
        ([__file__, "--batch-size", "0"], "--batch-size"),
        ([__file__, "--model", "nothing"], "nothing"),
        ([__file__, "--device", "foo"], "foo"),
    ],
)
def test_what_cannot_work_at_all_ends_with_one_sentence(options, word, tmp_path, capsys):
    assert main(["batch", "--out", str(tmp_path / "out"), *options]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("audiox batch: ") and word in last


# Several processes


@pytest.mark.live
def test_two_processes_give_the_bytes_of_one(work, small_model_dir, tmp_path):
    """Started by `accelerate launch`, whose flag for a processes group is --multi_gpu on a CPU as well."""
    lines = [short(i, seed=i, seconds=[0.5, 11][i % 2]) for i in range(5)] + [short("bad", video="nothing.mp4")]
    options, threads = ["--batch-size", "2"], torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert work(*lines, options=options, out="one")[0] == 1
    finally:
        torch.set_num_threads(threads)
    launch = [
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--main_process_port",
        "0",
        "-m",
        "audiox_core",
    ]
    arguments = [
        "batch",
        tmp_path / "m.jsonl",
        "--out",
        tmp_path / "two",
        "--model",
        small_model_dir,
        "--device",
        "cpu",
        *options,
    ]
    command = [sys.executable, "-m", *launch, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    assert ended.returncode == 1, ended.stderr
    assert "process 1 of 2: 4 sounds" in ended.stderr and "process 2 of 2: 2 sounds" in ended.stderr
    assert ended.stdout.count("5 done, 0 skipped, 1 failed") == 1
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(contents(tmp_path / "one")) == 6


def test_a_process_of_several_takes_the_device_that_is_its_own(monkeypatch):
    import accelerate

    class State:
        num_processes = 4
        device = torch.device("cuda:3")

    monkeypatch.setattr(accelerate, "PartialState", lambda **options: State)
    assert [batch.processes(device)[1] for device in ("cuda", "cuda:1", "cpu")] == ["cuda:3", "cuda:1", "cpu"]
    State.num_processes = 1
    assert batch.processes("cuda")[1] == "cuda"


# The bar


def test_the_bar_tells_rate_and_time_left(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal, now = Terminal(), [100.0]
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.Bar() as bar:
        bar("batch", 0, 4000)
        now[0] += 75
        bar("batch", 50, 4000)
    first, second = terminal.getvalue().rstrip("\n").split("\r")[1:]
    assert first.rstrip().endswith("0/4000 sounds 0:00")
    assert second.rstrip().endswith("50/4000 sounds 1:15 0.667/s, 1:38:45 left")
    assert len(first) == len(second) == progress.LINE
