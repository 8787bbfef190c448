"""Reading a ComfyUI VIDEO without decoding it whole."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from io import BytesIO

import comfy.model_management
import folder_paths
import torch
from comfy_api.latest import Input

from ..audiox_core.errors import AudioXError
from ..audiox_core.media.frames import FrameRequest, frames_from_images, read_clip


def made_of_tensors(video: Input.Video) -> bool:
    """Whether the video exists as images only (CreateVideo): its stream source would be an encoding made for us."""
    return type(video).get_stream_source is Input.Video.get_stream_source


def trim_window(video: Input.Video) -> tuple[float, float] | None:
    """(start, duration) in seconds of a trimmed video, duration 0 to the end; None where ComfyUI (< 0.23) hides it."""
    window = getattr(video, "get_active_trim_window", None)
    return window() if window is not None else None


def frames_of_video(
    video: Input.Video, requests: Sequence[FrameRequest], start: float, stride_sampling: bool
) -> tuple[torch.Tensor, ...]:
    """uint8 frames (N, 3, size, size) of each request, from `start` seconds into the video as trimmed."""
    if made_of_tensors(video):
        parts = video.get_components()
        return frames_from_images(
            parts.images, parts.frame_rate, requests, start=start, stride_sampling=stride_sampling
        )
    window = trim_window(video)
    if window is None:
        with untrimmed_file(video) as source:
            return read_clip(source, requests, start=start, stride_sampling=stride_sampling, progress=interruptible)
    if window[1] and start >= window[1]:
        raise AudioXError(
            f"The start time {start:g} s lies beyond the end of the trimmed video, which is {window[1]:.2f} s long; "
            "start earlier."
        )
    return read_clip(
        video.get_stream_source(),
        requests,
        start=window[0] + start,
        duration=window[1] - start if window[1] else None,
        stride_sampling=stride_sampling,
        progress=interruptible,
    )


def interruptible(done: int, total: int) -> None:
    """Progress that shows nothing and lets the user's interrupt through."""
    comfy.model_management.throw_exception_if_processing_interrupted()


@contextlib.contextmanager
def untrimmed_file(video: Input.Video) -> Iterator[str | BytesIO]:
    """A file with just the frames of the video: its own file where that is so, else a temporary one.

    ComfyUI copies the packets of an untrimmed file and encodes anew what it must cut.
    """
    if not made_of_tensors(video) and trim_window(video) == (0, 0):
        yield video.get_stream_source()
        return
    os.makedirs(folder_paths.get_temp_directory(), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder_paths.get_temp_directory()) as folder:
        path = os.path.join(folder, "video.mp4")
        video.save_to(path)
        yield path
