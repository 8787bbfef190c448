"""Numbers and names that cannot be meant: one sentence that names them, and nothing written."""

import errno
import math

import numpy as np
import pytest
import torch
from PIL import Image

from audiox_core.errors import AudioXError
from audiox_core.media.audio import write_audio
from audiox_core.media.drawing import write_png
from audiox_core.media.files import check_file_name, encoder_errors, written_whole
from audiox_core.media.mux import Cut, SoundPlacement, mux_video
from devtools import media_maker as maker

NAN, INFINITE = math.nan, math.inf


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return maker.make_video(tmp_path_factory.mktemp("video") / "a.mp4", count=10)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *[({"placement": SoundPlacement(offset=bad)}, "offset is") for bad in (NAN, INFINITE, -1e9)],
        *[({"placement": SoundPlacement(gain_db=bad)}, "gain is") for bad in (NAN, -INFINITE, 1e308)],
        ({"placement": SoundPlacement(loudness=NAN)}, "loudness is nan"),
        ({"mode": "mix", "original_gain_db": NAN}, "gain of the original sound is nan"),
        ({"mode": "duck", "duck_db": NAN}, "ducking is nan"),
        *[({"cut": Cut(start=bad)}, "start time is") for bad in (NAN, INFINITE, -1.0, 1e9)],
        *[({"cut": Cut(duration=bad)}, "duration is") for bad in (NAN, INFINITE, 1e-9, 1e9, -1.0)],
    ],
)
def test_a_number_is_named(video, tmp_path, options, words):
    with pytest.raises(AudioXError, match=words):
        mux_video(video, maker.tone(0.2), 44100, tmp_path / "b.mp4", **options)
    assert not list(tmp_path.iterdir())


def test_a_gain_that_leaves_floats_is_named(video, tmp_path):
    with pytest.raises(AudioXError, match="too loud"):
        mux_video(video, maker.tone(0.2) * 1e30, 44100, tmp_path / "b.mp4", placement=SoundPlacement(gain_db=200.0))


@pytest.mark.parametrize("rate", [0, -1, 2**31, "44100", 44100.0, NAN, None, True - 1])
def test_a_sample_rate_is_named(video, tmp_path, rate):
    for write in (
        lambda: write_audio(tmp_path / "a.flac", maker.tone(0.1), rate),
        lambda: mux_video(video, maker.tone(0.1), rate, tmp_path / "b.mp4"),
    ):
        with pytest.raises(AudioXError, match="sample rate is"):
            write()
    assert not list(tmp_path.iterdir())


def test_a_rate_that_flac_does_not_know_is_named(tmp_path):
    with pytest.raises(AudioXError, match="flac goes up to 655350"):
        write_audio(tmp_path / "a.flac", maker.tone(0.1), 700_000)
    write_audio(tmp_path / "a.wav", maker.tone(0.1), 700_000)


@pytest.mark.parametrize(
    ("name", "words"), [("a\0b", "NUL"), ("a\ud800", "broken character"), ("x" * 300, r"30\d bytes")]
)
def test_names_that_no_file_has(tmp_path, name, words):
    with pytest.raises(AudioXError, match=words):
        check_file_name(f"sounds/{name}")
    with pytest.raises(AudioXError, match=words), written_whole(tmp_path / f"{name}.wav"):
        pass


@pytest.mark.parametrize("name", ["x" * 251, "雨" * 83])
def test_the_longest_names_are_written(tmp_path, name):
    write_audio(tmp_path / f"{name}.wav", maker.tone(0.1), 44100)
    assert [path.stem for path in tmp_path.iterdir()] == [name]


def test_a_full_disk_is_not_blamed_on_the_kind_of_file():
    import av

    with pytest.raises(AudioXError, match=r"No space left on device\); make room"), encoder_errors("a.mp4"):
        raise av.FFmpegError(errno.ENOSPC, "No space left on device")
    with pytest.raises(AudioXError, match="another kind of file"), encoder_errors("a.mp4"):
        raise av.FFmpegError(errno.EINVAL, "Invalid argument")


@pytest.mark.parametrize("name", ["雨", "half\ud800", "x" * 100, "é"])
def test_a_png_takes_texts_of_any_name(tmp_path, name):
    write_png(tmp_path / "a.png", Image.fromarray(np.zeros((2, 2, 3), np.uint8)), {name: "1", "workflow": "{}"})
    with Image.open(tmp_path / "a.png") as picture:
        picture.load()
        assert sorted(picture.text.values()) == ["1", "{}"] and picture.text["workflow"] == "{}"


def test_a_sound_of_nothing_is_named(video, tmp_path):
    with pytest.raises(AudioXError, match="no samples"):
        mux_video(video, torch.zeros(2, 0), 44100, tmp_path / "b.mp4")
