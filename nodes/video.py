"""Reading a ComfyUI VIDEO without decoding it whole."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

import comfy.model_management
import folder_paths
import torch
from comfy_api.latest import Input

from ..audiox_core.media.extent import video_seconds
from ..audiox_core.media.files import open_media
from ..audiox_core.media.frames import FrameRequest, frames_from_images, read_clip


def made_of_tensors(video: Input.Video) -> bool:
    """Whether the video exists as images only (CreateVideo): asking for its stream would encode it first."""
    return type(video).get_stream_source is Input.Video.get_stream_source


def trim_window(video: Input.Video) -> tuple[float, float] | None:
    """(start, duration) in seconds of a trimmed video, duration 0 to the end; None where ComfyUI (< 0.23) hides it."""
    window = getattr(video, "get_active_trim_window", None)
    return window() if window is not None else None


def has_other_pictures(video: Input.Video) -> bool:
    """Whether the video is cropped or resized: its stream then still has the whole pictures.

    Newer versions of ComfyUI tell. Those that can crop but don't tell (from 0.35 on) give other dimensions.
    """
    tells = getattr(video, "has_pending_frame_edits", None)
    if tells is not None:
        return tells()
    if not hasattr(video, "as_cropped"):
        return False
    with open_media(video.get_stream_source()) as container:
        pictures = container.streams.video
        return bool(pictures) and video.get_dimensions() != (pictures[0].width, pictures[0].height)


@dataclass(frozen=True)
class Footage:
    """A video or images to encode. read(start) gives uint8 frames (N, 3, size, size) for each request.

    seconds: its length; None for a single image, which has none.
    """

    read: Callable[[float], tuple[torch.Tensor, ...]]
    seconds: float | None


@contextlib.contextmanager
def video_footage(video: Input.Video, requests: Sequence[FrameRequest], stride_sampling: bool) -> Iterator[Footage]:
    """A video within its trim window; readable inside the block."""
    if made_of_tensors(video):
        parts = video.get_components()
        yield image_footage(parts.images, parts.frame_rate, requests, stride_sampling)
        return
    window = None if has_other_pictures(video) else trim_window(video)
    with contextlib.nullcontext(video.get_stream_source()) if window is not None else edited_file(video) as source:
        begin, duration = window or (0, 0)
        length = min(video_seconds(source) - begin, duration or math.inf)

        def read(start: float) -> tuple[torch.Tensor, ...]:
            return read_clip(
                source,
                requests,
                start=begin + start,
                duration=length - start if duration else None,
                stride_sampling=stride_sampling,
                progress=interruptible,
            )

        yield Footage(read, length)


def image_footage(images: torch.Tensor, fps: float, requests: Sequence[FrameRequest], stride_sampling: bool) -> Footage:
    """Images (N, H, W, C) shown at `fps`; a single one forever."""

    def read(start: float) -> tuple[torch.Tensor, ...]:
        return frames_from_images(images[..., :3], fps, requests, start=start, stride_sampling=stride_sampling)

    return Footage(read, None if len(images) == 1 else len(images) / float(fps))


def interruptible(done: int, total: int) -> None:
    """A progress callback that shows nothing but lets the user interrupt."""
    comfy.model_management.throw_exception_if_processing_interrupted()


@contextlib.contextmanager
def edited_file(video: Input.Video) -> Iterator[str | BytesIO]:
    """A file with just the frames of the video: its own file if it was not edited, else a temporary one.

    ComfyUI copies the packets of an unedited file and re-encodes what it must cut, crop or resize. A list of videos
    (VideoFromList) gives the stream of all of them, joined.
    """
    if not made_of_tensors(video) and trim_window(video) == (0, 0) and not has_other_pictures(video):
        yield video.get_stream_source()
        return
    os.makedirs(folder_paths.get_temp_directory(), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder_paths.get_temp_directory()) as folder:
        path = os.path.join(folder, "video.mp4")
        video.save_to(path)
        yield path
