"""What the nodes do with VIDEO objects of any ComfyUI, and with the files they write, without a ComfyUI."""

import gc
import importlib
import io
import sys
import types
from pathlib import Path

import av
import pytest
import torch

from devtools import media_maker as maker
from devtools.paths import ROOT


class Video:
    """The part of ComfyUI's VIDEO that is the same in all versions."""

    def get_stream_source(self):
        buffer = io.BytesIO()
        self.save_to(buffer)
        return buffer


class FileVideo(Video):
    """VideoFromFile as it was before videos could be cropped."""

    def __init__(self, file, window=(0.0, 0.0)):
        self.file, self.window = file, window

    def get_stream_source(self):
        return self.file

    def get_active_trim_window(self):
        return self.window

    def get_dimensions(self):
        return maker.WIDTH, maker.HEIGHT

    def as_trimmed(self, start, duration):
        return FileVideo(self.file, (start, duration))

    def save_to(self, path):
        maker.make_video(Path(path), count=6)


class CroppingVideo(FileVideo):
    """A version that can crop but does not say so."""

    def __init__(self, file, area=None):
        super().__init__(file)
        self.area = area

    def as_cropped(self, *area):
        return type(self)(self.file, area)

    def get_dimensions(self):
        return self.area[2:] if self.area else super().get_dimensions()


class TellingVideo(CroppingVideo):
    """A version that says so."""

    def has_pending_frame_edits(self):
        return self.area is not None

    def get_dimensions(self):
        raise AssertionError("not needed")


class ListVideo(Video):
    """VideoFromList: its stream is that of all its videos, joined."""

    def __init__(self, joined):
        self.joined = joined

    def get_stream_source(self):
        return io.BytesIO(self.joined.read_bytes())

    def get_active_trim_window(self):
        return 0.0, 0.0

    def has_pending_frame_edits(self):
        return False


@pytest.fixture
def nodes(monkeypatch, tmp_path):
    """A function that imports a module of nodes/ beside stand-ins for ComfyUI."""
    latest = types.ModuleType("comfy_api.latest")
    latest.Input = types.SimpleNamespace(Video=Video)
    latest.InputImpl = types.SimpleNamespace(VideoFromFile=FileVideo)
    folders = types.ModuleType("folder_paths")
    folders.get_temp_directory = lambda: str(tmp_path / "temp")
    management = types.ModuleType("comfy.model_management")
    management.throw_exception_if_processing_interrupted = lambda: None
    pack, package = types.ModuleType("pack"), types.ModuleType("pack.nodes")
    pack.__path__, package.__path__ = [str(ROOT)], [str(ROOT / "nodes")]
    comfy = types.ModuleType("comfy")
    comfy.model_management = management
    for module in (latest, folders, management, pack, package, comfy, types.ModuleType("comfy_api")):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    yield lambda name: importlib.import_module(f"pack.nodes.{name}")
    for name in [name for name in sys.modules if name.startswith("pack.")]:
        del sys.modules[name]


def picture_count(file) -> int:
    with av.open(file) as opened:
        return sum(packet.size > 0 for packet in opened.demux(opened.streams.video[0]))


@pytest.mark.parametrize("kind", [FileVideo, CroppingVideo, TellingVideo])
def test_an_unedited_video_is_its_file(nodes, tmp_path, kind):
    path = str(maker.make_video(tmp_path / "a.mp4", count=12))
    with nodes("video").edited_file(kind(path)) as file:
        assert file == path


@pytest.mark.parametrize("kind", [CroppingVideo, TellingVideo])
def test_a_cropped_video_is_encoded_first(nodes, tmp_path, kind):
    cropped = kind(str(maker.make_video(tmp_path / "a.mp4", count=12))).as_cropped(0, 0, 64, 48)
    video = nodes("video")
    with video.edited_file(cropped) as file:
        assert picture_count(file) == 6  # those of save_to
    requests = [video.FrameRequest(25, 5, 32)]
    with video.video_footage(cropped, requests, False) as footage:
        assert footage.seconds == pytest.approx(0.2) and len(footage.read(0.0)[0]) == 5
    assert not any(path.is_file() for path in (tmp_path / "temp").rglob("*"))


def test_a_trimmed_video_is_encoded_for_mux_and_read_in_place_for_the_encoder(nodes, tmp_path):
    trimmed = FileVideo(str(maker.make_video(tmp_path / "a.mp4", count=12))).as_trimmed(0.1, 0.2)
    video = nodes("video")
    with video.edited_file(trimmed) as file:
        assert picture_count(file) == 6
    with video.video_footage(trimmed, [video.FrameRequest(30, 3, 64)], False) as footage:
        assert maker.picture_numbers(footage.read(0.0)[0]) == [3, 4, 5]


def test_a_list_of_videos_is_one_stream(nodes, tmp_path):
    joined = ListVideo(maker.make_video(tmp_path / "a.mp4", count=9))
    video = nodes("video")
    with video.edited_file(joined) as file:
        assert picture_count(file) == 9
    with video.video_footage(joined, [video.FrameRequest(30, 9, 64)], False) as footage:
        assert maker.picture_numbers(footage.read(0.0)[0]) == list(range(9))


# Temporary files


def test_a_file_is_written_once_and_goes_with_the_last_video_of_it(nodes, tmp_path):
    temporary = nodes("temporary")
    written = []

    def write(path):
        written.append(path)
        Path(path).write_bytes(b"video")

    first = temporary.temporary_video("a", write)
    again = temporary.temporary_video("a", write)
    assert len(written) == 1 and first.get_stream_source() == again.get_stream_source() == written[0]
    part = again.as_trimmed(0.0, 1.0).as_trimmed(0.0, 0.5)
    del first, again
    gc.collect()
    assert Path(part.get_stream_source()).exists()
    del part
    gc.collect()
    assert not Path(written[0]).exists()
    temporary.temporary_video("a", write)
    assert len(written) == 2


def test_an_emptied_folder_is_noticed_once(nodes):
    temporary = nodes("temporary")

    def write(path):
        Path(path).write_bytes(b"video")

    video = temporary.temporary_video("a", write)
    before = temporary.count_losses()
    assert temporary.count_losses() == before
    Path(video.get_stream_source()).unlink()
    assert temporary.count_losses() == temporary.count_losses() == before + 1
    again = temporary.temporary_video("a", write)
    del video
    gc.collect()
    assert Path(again.get_stream_source()).exists() and temporary.count_losses() == before + 1


def test_a_key_tells_contents_apart(nodes, tmp_path):
    key = nodes("temporary").content_key
    path = tmp_path / "a.mp4"
    path.write_bytes(b"one")
    (tmp_path / "temp").mkdir()
    (tmp_path / "temp" / "b.mp4").write_bytes(b"one")
    (tmp_path / "temp" / "c.mp4").write_bytes(b"one")
    sound, other = torch.zeros(2, 9), torch.zeros(1, 18)
    keys = [
        key(str(path), sound, 44100),
        key(str(path), sound, 48000),
        key(str(path), other, 44100),
        key(io.BytesIO(b"one"), sound, 44100),
        key(io.BytesIO(b"two"), sound, 44100),
    ]
    assert len(set(keys)) == 5 and keys[0] == key(str(path), sound.clone(), 44100)
    inside = [key(str(tmp_path / "temp" / name), sound, 44100) for name in ("b.mp4", "c.mp4")]
    assert inside[0] == inside[1]
    path.write_bytes(b"another")
    assert key(str(path), sound, 44100) != keys[0]
    key(str(tmp_path / "missing.mp4"), sound, 44100)
