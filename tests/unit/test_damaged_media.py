"""Files that are damaged, incomplete or unusual: used as far as they go, or refused with a sentence."""

import logging
import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from audiox_core.errors import AudioXError
from audiox_core.media import frames
from audiox_core.media.audio import read_audio
from audiox_core.media.extent import video_extent, video_length
from audiox_core.media.files import open_media, packets
from audiox_core.media.frames import FrameRequest, read_clip
from audiox_core.media.mux import mux_video
from devtools import fuzz_media
from devtools import media_maker as maker

RATE = 44100
CLIP = [FrameRequest(25, 50, 32)]
IN_ORDER = {"options": {"bf": "0"}}
"""Options of a video without pictures that refer to later ones: its mp4 needs no edit list."""


def shown(path: Path) -> int:
    """How many pictures a player shows."""
    with av.open(str(path)) as file:
        return sum(1 for _ in file.decode(video=0))


def sound_seconds(path: Path) -> float:
    sound, rate = read_audio(path)
    return sound.shape[1] / rate


def with_duration(path: Path, seconds: float) -> Path:
    """The same mp4 without edit lists, whose header says another length of its first track, in its mdhd."""
    data = bytearray(path.read_bytes().replace(b"edts", b"free"))
    place = data.index(b"mdhd") + 4
    scale = struct.unpack_from(">I", data, place + 12)[0]
    struct.pack_into(">I", data, place + 16, round(seconds * scale))
    path.write_bytes(data)
    return path


def with_file_duration(path: Path, seconds: float) -> Path:
    """The same mkv whose header says another length of the file."""
    data = bytearray(path.read_bytes())
    struct.pack_into(">d", data, data.index(b"\x44\x89\x88") + 3, seconds * 1000)
    path.write_bytes(data)
    return path


def refuses(path: Path, words: str, suffix: str = ".mp4", **options) -> None:
    """Mux says so and writes nothing."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(AudioXError, match=words):
        mux_video(path, maker.tone(0.5), RATE, path.with_name(f"result{suffix}"), **options)
    assert sorted(path.parent.iterdir()) == before


# Pictures that never come


def test_cover_art_isnt_a_video(tmp_path):
    cover = maker.make_cover_art(tmp_path / "cover.mp3", maker.tone(1.0))
    refuses(cover, "contains no pictures")
    assert maker.picture_numbers(read_clip(cover, CLIP)[0]) == [0] * 50  # but as good a prompt as any image


def test_pictures_that_the_header_promises_but_that_are_missing(tmp_path):
    fast = maker.remux_video(maker.make_video(tmp_path / "a.mp4"), tmp_path / "b.mp4", {"movflags": "+faststart"})
    fast.write_bytes(fast.read_bytes()[: fast.read_bytes().index(b"mdat") + 4])
    refuses(fast, "contains no pictures")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_that_breaks_off_is_used_as_far_as_it_goes(tmp_path, suffix, caplog):
    options = {"movflags": "+faststart"} if suffix == ".mp4" else {}
    source = maker.make_video(tmp_path / f"a{suffix}", rate=25, count=50, sound=maker.tone(2.0))
    half = maker.remux_video(source, tmp_path / f"half{suffix}", options)
    half.write_bytes(half.read_bytes()[: round(half.stat().st_size * 0.6)])
    extent = video_extent(half)
    assert extent.promised == pytest.approx(2.0, abs=0.01) and 0.4 < extent.seconds < 1.6
    caplog.set_level(logging.WARNING)
    read_clip(half, CLIP)
    assert "half" in caplog.text and "2.00 s" in caplog.text and "copy it again" in caplog.text
    caplog.clear()
    result = mux_video(half, maker.tone(3.0), RATE, tmp_path / f"b{suffix}")
    assert "incomplete" in caplog.text
    assert shown(result) == pytest.approx(extent.seconds * 25, abs=1)
    assert sound_seconds(result) == pytest.approx(float(extent.seconds), abs=0.002)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_header_that_is_a_picture_too_long_is_believed(tmp_path, missing, caplog):
    source = maker.make_video(tmp_path / "a.mkv", rate=25, count=50)
    with_file_duration(source, 2.0 + missing / 25)
    assert video_extent(source).promised is None and video_length(source) == 2
    assert not caplog.records


def test_a_header_that_declares_weeks_isnt_believed(tmp_path, caplog):
    source = with_file_duration(maker.make_video(tmp_path / "a.mkv", rate=25, count=50), 2_142_614.0)
    assert video_length(source) == 2
    assert "595.2 hours" in caplog.text and "2.00 s" in caplog.text
    assert sound_seconds(mux_video(source, maker.tone(0.5), RATE, tmp_path / "b.mp4")) == 2.0


def test_pictures_after_weeks_are_refused(tmp_path):
    times = [Fraction(0), Fraction(1, 25), Fraction(90_000)]
    refuses(maker.make_video(tmp_path / "a.mkv", times=times), "claims to last 25.0 hours")


def test_a_short_header_does_not_lose_the_last_picture(tmp_path):
    times = [Fraction(index * index, 200) for index in range(13)]
    source = with_duration(maker.make_video(tmp_path / "a.mp4", times=times, **IN_ORDER), 0.6)
    result = mux_video(source, maker.tone(2.0), RATE, tmp_path / "b.mp4")
    assert shown(result) == 13
    assert sound_seconds(result) > times[-1]


# Sound


def test_sound_that_changes_midway_is_read_like_its_beginning(tmp_path):
    stereo = maker.make_sound(tmp_path / "a.ac3", maker.tone(1.0))
    surround = maker.make_sound(tmp_path / "b.ac3", maker.tone(1.0, channels=6))
    (tmp_path / "c.ac3").write_bytes(stereo.read_bytes() + surround.read_bytes())
    sound, rate = read_audio(tmp_path / "c.ac3")
    assert rate == RATE and sound.shape[0] == 2 and sound.shape[1] == pytest.approx(2 * RATE, abs=4000)
    faster = maker.make_sound(tmp_path / "d.ac3", maker.tone(1.0, 48000), 48000)
    (tmp_path / "e.ac3").write_bytes(stereo.read_bytes() + faster.read_bytes())
    sound, rate = read_audio(tmp_path / "e.ac3")
    assert sound.shape[1] == pytest.approx(2 * rate, abs=4000)
    late = sound[:, -rate // 2 : -rate // 4]
    crossings = (late[0, 1:] * late[0, :-1] < 0).sum().item()
    assert crossings == pytest.approx(2 * 440 / 4, abs=2)  # at the right speed


def test_sound_that_changes_midway_is_mixed(tmp_path):
    changing = torch.cat(
        [bytes_of(maker.make_sound(tmp_path / f"{n}.ac3", maker.tone(1.0, channels=n))) for n in (2, 6)]
    )
    (tmp_path / "c.ac3").write_bytes(bytes(changing.tolist()))
    pictures = maker.make_video(tmp_path / "a.mkv", rate=25, count=50)
    both = join(pictures, tmp_path / "c.ac3", tmp_path / "both.mkv")
    kept, rate = read_audio(mux_video(both, torch.zeros(2, 9), RATE, tmp_path / "b.mkv", mode="mix"))
    assert kept.shape == (2, 2 * rate) and kept[:, : rate // 2].abs().max() > 0.2 < kept[:, -rate // 2 :].abs().max()


def bytes_of(path: Path) -> torch.Tensor:
    return torch.tensor(list(path.read_bytes()), dtype=torch.uint8)


def join(pictures: Path, sound: Path, path: Path) -> Path:
    """Copy the pictures of one file and the sound of another into a third."""
    with av.open(str(pictures)) as first, av.open(str(sound)) as second, av.open(str(path), "w") as output:
        for file in (first, second):
            output.add_stream_from_template(file.streams[0], opaque=True)
        for index, file in enumerate((first, second)):
            for packet in file.demux(file.streams[0]):
                if packet.size:
                    packet.stream = output.streams[index]
                    output.mux(packet)
    return path


# Streams


def test_a_codec_that_nobody_knows_is_a_sentence(tmp_path):
    source = maker.make_video(tmp_path / "a.mkv", sound=maker.tone(1.0))
    whole = source.read_bytes()
    source.write_bytes(whole.replace(b"V_MPEG4", b"V_ZZZZZ"))
    refuses(source, "pictures of .* codec that this FFmpeg doesn't know", ".mkv")
    for read in (video_length, lambda path: read_clip(path, CLIP)):
        with pytest.raises(AudioXError, match="codec that this FFmpeg doesn't know"):
            read(source)
    source.write_bytes(whole.replace(b"A_FLAC", b"A_ZZZZ"))
    with pytest.raises(AudioXError, match=r"sound of .* codec that this FFmpeg doesn't know"):
        read_audio(source)


def test_a_stream_that_appears_late_does_no_harm(tmp_path):
    silent = maker.make_video(tmp_path / "a.ts", rate=25, count=300)
    loud = maker.make_video(tmp_path / "b.ts", rate=25, count=25, sound=maker.tone(1.0))
    (tmp_path / "c.ts").write_bytes(silent.read_bytes() * 6 + loud.read_bytes())
    with open_media(tmp_path / "c.ts") as container:
        assert sum(packet.size > 0 for packet in packets(container, *container.streams.video)) >= 1800


def test_raw_pictures_have_no_times(tmp_path):
    raw = maker.remux_video(maker.make_video(tmp_path / "a.mp4"), tmp_path / "a.h264")
    refuses(raw, r"no timestamps.*\.mp4 or \.mkv first")
    for read in (video_length, lambda path: read_clip(path, CLIP)):
        with pytest.raises(AudioXError, match="no timestamps"):
            read(raw)


def test_pictures_that_an_edit_list_hides_stay_hidden(tmp_path):
    source = maker.make_video(tmp_path / "a.mp4", rate=25, count=50)
    edited = maker.hide_lead_in(source, tmp_path / "edited.mp4", 0.72)
    refuses(edited, r"hidden pictures.*\.mkv cannot hide", ".mkv")
    assert shown(mux_video(edited, maker.tone(1.0), RATE, tmp_path / "b.mp4")) == shown(edited) == 32


def test_logs_that_go_to_python_switch_threads_off(tmp_path, monkeypatch):
    source = maker.make_video(tmp_path / "a.mp4")
    kinds = []

    def spied(container, stream):
        kinds.append(stream.codec_context.thread_type.name)
        return packets(container, stream)

    monkeypatch.setattr(frames, "packets", spied)
    read_clip(source, CLIP)
    monkeypatch.setattr(av.logging, "get_level", lambda: av.logging.ERROR)
    read_clip(source, CLIP)
    assert kinds == ["AUTO", "SLICE"]


# Everything else


def test_damaged_files_end_in_a_result_or_a_sentence(tmp_path):
    report = fuzz_media.fuzz(tmp_path, 60, 0, tries=2, most_seconds=60.0)
    assert not report.failures and report.read and report.refused
