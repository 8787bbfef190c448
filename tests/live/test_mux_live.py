"""The temporary files of AudioX Mux Video in a real ComfyUI, and numbers that only the API lets through."""

import pytest

from devtools.comfy_server import PromptError
from devtools.graphs import node, video_packets
from devtools.media_maker import make_cover_art, tone


def muxing(prefix: str = "mux/video", **inputs) -> dict:
    """A sound onto the example video."""
    return {
        "video": node("LoadVideo", file="example.mp4"),
        "audio": node("LabAudio", kind="noise", channels=2, samples=22050),
        "mux": node("AudioXMuxVideo", video=["video", 0], audio=["audio", 0], **inputs),
        "save": node("SaveVideo", video=["mux", 0], filename_prefix=prefix, format="auto", codec="auto"),
    }


def temporary_files(server) -> list[str]:
    return sorted(path.name for path in (server.base / "temp").rglob("audiox_*.mp4"))


def test_files_are_reused_removed_and_written_again(lab):
    lab.run(muxing(gain_db=-1.0))
    [first] = temporary_files(lab)
    lab.run(muxing(gain_db=-2.0))
    lab.run(muxing(gain_db=-3.0))
    assert len(temporary_files(lab)) <= 2 and first not in temporary_files(lab)
    for name in temporary_files(lab):
        (lab.base / "temp" / name).unlink()
    run = lab.run(muxing("mux/again", gain_db=-3.0))
    assert "mux" in run.executed
    assert video_packets(lab.output_path(run.files("save")[0]))
    run = lab.run(muxing("mux/third", gain_db=-3.0))
    assert "mux" in run.cached


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"offset": "nan"}, "offset to a number: it is nan"),
        ({"gain_db": "nan"}, "gain_db to a number: it is nan"),
        ({"start": "nan"}, "start to a number: it is nan"),
        ({"duration": "nan"}, "duration to a number: it is nan"),
        ({"duration": 1e-9}, "duration is 1e-09"),
    ],
)
def test_a_number_is_named(lab, inputs, words):
    with pytest.raises(PromptError, match=words):
        lab.run(muxing(**inputs))


def test_a_cover_isnt_a_video(lab, tmp_path):
    lab.place_input(make_cover_art(tmp_path / "cover.mp3", tone(1.0)))
    prompt = muxing()
    prompt["video"] = node("LoadVideo", file="cover.mp3")
    with pytest.raises(PromptError, match="contains no pictures"):
        lab.run(prompt)


@pytest.mark.parametrize(
    ("prefix", "words"), [("a\0b", "NUL"), ("a\ud800", "broken character"), ("x" * 300, "300 bytes")]
)
def test_a_name_that_no_file_has(lab, prefix, words):
    sound = node("LabAudio", kind="noise", channels=2, samples=2205)
    with pytest.raises(PromptError, match=words):
        lab.run({"audio": sound, "file": node("AudioXSaveSound", audio=["audio", 0], filename_prefix=prefix)})
