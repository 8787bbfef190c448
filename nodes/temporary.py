"""Videos in ComfyUI's temp folder: reused where the inputs are the same, and removed when nothing refers to them."""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Callable
from io import BytesIO
from typing import Any

import folder_paths
import torch
from comfy_api.latest import Input, InputImpl


class TemporaryFile:
    """A file in the temp folder that is removed when nothing refers to this object."""

    def __init__(self, path: str):
        self.path = path
        weakref.finalize(self, _remove, path).atexit = False  # ComfyUI empties the folder on start and stop


class TemporaryVideo(InputImpl.VideoFromFile):
    """A VIDEO that keeps its file. What is trimmed or cropped from it keeps the file too."""

    def __init__(self, file: TemporaryFile):
        super().__init__(file.path)
        self.temporary_file = file

    def as_trimmed(self, *args: Any, **options: Any) -> Input.Video | None:
        return self._keeping(super().as_trimmed(*args, **options))

    def as_cropped(self, *args: Any, **options: Any) -> Input.Video | None:
        return self._keeping(super().as_cropped(*args, **options))

    def as_resized(self, *args: Any, **options: Any) -> Input.Video | None:
        return self._keeping(super().as_resized(*args, **options))

    def _keeping(self, video: Input.Video | None) -> Input.Video | None:
        if video is not None and type(video) is InputImpl.VideoFromFile:  # the same file, with a window or an area
            video.__class__ = TemporaryVideo
            video.temporary_file = self.temporary_file
        return video


_files: weakref.WeakValueDictionary[str, TemporaryFile] = weakref.WeakValueDictionary()
_missing: set[str] = set()
_losses = 0


def temporary_video(key: str, write: Callable[[str], object]) -> TemporaryVideo:
    """The mp4 (the format of Save Video) of a key; `write` is called with its path unless the file exists."""
    file = _files.get(key)
    if file is None or not os.path.isfile(file.path):
        os.makedirs(folder_paths.get_temp_directory(), exist_ok=True)
        path = os.path.join(folder_paths.get_temp_directory(), f"audiox_{key}.mp4")
        write(path)
        file = file or TemporaryFile(path)
        _files[key] = file
        _missing.discard(key)
    return TemporaryVideo(file)


def count_losses() -> int:
    """How many files have gone missing that a VIDEO refers to, as when somebody empties the temp folder."""
    global _losses
    gone = {key for key, file in _files.items() if not os.path.isfile(file.path)}
    _losses += len(gone - _missing)
    _missing.clear()
    _missing.update(gone)
    return _losses


def content_key(source: str | BytesIO, sound: torch.Tensor, *settings: object) -> str:
    """A name for the video that comes of a source, a sound and settings."""
    digest = hashlib.sha256(repr(settings).encode())
    if isinstance(source, BytesIO):
        digest.update(source.getbuffer())
    elif _is_inside(source, folder_paths.get_temp_directory()):  # encoded just now, under a new name
        with open(source, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    elif os.path.isfile(source):
        state = os.stat(source)
        digest.update(
            repr((os.path.abspath(source), state.st_size, state.st_mtime_ns)).encode("utf-8", "surrogatepass")
        )
    samples = sound.detach().to("cpu", torch.float32).contiguous()
    digest.update(repr(tuple(samples.shape)).encode())
    digest.update(samples.numpy().data)
    return digest.hexdigest()[:32]


def _is_inside(path: str, folder: str) -> bool:
    return os.path.abspath(path).startswith(os.path.join(os.path.abspath(folder), ""))


def _remove(path: str) -> None:
    if os.path.isfile(path):
        os.remove(path)
