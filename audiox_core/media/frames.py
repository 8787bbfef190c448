"""Pictures of a video or of images at given times, resized for the vision encoders.

The frame for a time is the one whose timestamp is nearest, the earlier one when two are equally near. So the
choice is right to within half a source frame at constant and at variable rates. Time 0 is the first picture,
whatever its timestamp. The official code takes every n-th frame instead (`stride_sampling`).
"""

import bisect
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import av
import torch
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from ..errors import AudioXError
from ..lengths import CLIP_FPS, CLIP_SECONDS, SYNC_FPS, frames_from_seconds
from .extent import untimed_pictures, warn_of_missing_pictures
from .files import Source, check_window, open_media, packets, source_name, time_base, time_origin, video_stream
from .pixels import display_matrix, frame_pixels, image_pixels, resize_pictures

Progress = Callable[[int, int], None]

SEEK_MARGINS = (0, 2, 10)
"""Seconds to seek before the target: some containers jump to a key frame that is too late."""


@dataclass(frozen=True)
class FrameRequest:
    """`count` square pictures of `size` by `size` pixels, `fps` of them a second."""

    fps: int
    count: int
    size: int


def encoder_requests(clip_size: int, sync_size: int | None = None) -> tuple[FrameRequest, ...]:
    """The pictures that CLIP and, where a size is given for it, Synchformer need, for pictures of these sizes."""
    clip = FrameRequest(CLIP_FPS, frames_from_seconds(CLIP_SECONDS, CLIP_FPS), clip_size)
    if sync_size is None:
        return (clip,)
    return clip, FrameRequest(SYNC_FPS, frames_from_seconds(CLIP_SECONDS, SYNC_FPS), sync_size)


def read_clip(
    source: Source,
    requests: Sequence[FrameRequest],
    *,
    start: float = 0.0,
    duration: float | None = None,
    stride_sampling: bool = False,
    progress: Progress | None = None,
) -> tuple[torch.Tensor, ...]:
    """Read pictures of a video at several rates while decoding it once.

    Picture k of a request shows time start + k/fps; past the end, or past `duration` seconds after the start, the
    last frame is repeated. Only frames that are used are converted to RGB and resized, turned as the file says.

    Args:
        source: path or seekable binary file; time 0 is its first picture.
        start, duration: seconds; the part of the video to look at.
        stride_sampling: choose frames as the official code does; see `stride_ids`.
        progress: called with (pictures done, pictures in all); may raise to interrupt.

    Returns:
        One uint8 tensor (count, 3, size, size) for each request.

    Raises:
        AudioXError: no such file, not a video, no frames, or the start lies beyond the end.
    """
    check_window(start, duration)
    if stride_sampling:
        times, rate = _frame_times(source)
        targets = [_stride_targets(times, rate, request, start, duration) for request in requests]
    else:
        targets = [_targets(request, start) for request in requests]
    picker = _Picker(requests, targets, progress)
    end = math.inf if duration is None else Fraction(start) + Fraction(duration)
    for picture in _pictures_from(source, min(target[0] for target in targets)):
        if picture.time >= end and picker.last is not None:
            break
        picker.offer(picture)
        if picker.complete:
            break
    else:
        if picker.last is not None:
            warn_of_missing_pictures(source, picker.last.time + picker.last.length)
    if picker.last is None:
        raise AudioXError(f"{source_name(source)} contains no frame that can be decoded; give another video.")
    return picker.finish(picker.last, start)


def frames_from_images(
    images: torch.Tensor,
    rate: float | Fraction,
    requests: Sequence[FrameRequest],
    *,
    start: float = 0.0,
    duration: float | None = None,
    stride_sampling: bool = False,
    progress: Progress | None = None,
) -> tuple[torch.Tensor, ...]:
    """The same from images (N, H, W, 3), uint8 or float in 0..1, shown `rate` a second.

    A single image is shown without end. Float images are scaled to 0..255 once and rounded.

    Raises:
        AudioXError: wrong shape, values that are not in 0..1, or a start beyond the last image.
    """
    check_window(start, duration)
    count = _image_count(images)
    if not 0 < rate < math.inf:
        raise AudioXError(f"The frame rate of the images is {rate}; it must be above 0.")
    if images.is_floating_point():
        _check_range(images)
    length = 1 / Fraction(rate)
    times = [index * length for index in range(count)]
    if count == 1:
        targets = [[times[0]] * request.count for request in requests]
        start, length = 0.0, Fraction(1)
    elif stride_sampling:
        targets = [_stride_targets(times, float(rate), request, start, duration) for request in requests]
    else:
        targets = [_targets(request, start) for request in requests]
    picker = _Picker(requests, targets, progress)
    end = math.inf if duration is None else Fraction(start) + Fraction(duration)
    begin = max(bisect.bisect_right(times, targets[0][0]) - 1, 0)
    last = _Picture(times[begin], length, partial(image_pixels, images[begin]))
    picker.offer(last)
    for time, image in zip(times[begin + 1 :], images[begin + 1 :], strict=True):
        if time >= end or picker.complete:
            break
        last = _Picture(time, length, partial(image_pixels, image))
        picker.offer(last)
    return picker.finish(last, start)


def read_image(path: str | os.PathLike) -> torch.Tensor:
    """Read a png, jpg or webp as uint8 (1, H, W, 3), turned as its EXIF orientation says; alpha is ignored."""
    with open_media(path) as container:
        stream = video_stream(container, path)
        for frame in container.decode(stream):
            picture = frame_pixels(frame, display_matrix(frame), VideoReformatter())  # (3, H, W)
            return picture.permute(1, 2, 0).unsqueeze(0).contiguous()  # (1, H, W, 3)
    raise AudioXError(f"{source_name(path)} contains no picture that can be decoded; give another image.")


def stride_ids(frame_rate: float, frame_count: int, fps: int, count: int, start: float = 0.0) -> list[int]:
    """Numbers of the source frames that the official code takes: every ceil(frame_rate / fps)-th, the last repeated.

    The times drift unless the source's rate is a multiple of `fps`: 30 fps read at 25 gives 15 frames a second.

    Raises:
        AudioXError: the start lies beyond the last frame.
    """
    first = int(start * frame_rate)
    step = math.ceil(frame_rate / fps)
    if first >= frame_count:
        raise _beyond_end(start, frame_count / frame_rate)
    ids = list(range(first, min(first + count * step, frame_count), step))
    return ids + [ids[-1]] * (count - len(ids))


class _Picture:
    """A source frame with its time and length in seconds, converted and resized when first used."""

    def __init__(self, time: Fraction, length: Fraction, load: Callable[[], torch.Tensor], is_key: bool = True):
        self.time, self.length, self.load, self.is_key = time, length, load, is_key
        self.resized: dict[int, torch.Tensor] = {}

    def at(self, size: int) -> torch.Tensor:
        if size not in self.resized:
            self.resized[size] = resize_pictures(self.load().unsqueeze(0), size)[0]  # (3, size, size)
        return self.resized[size]


class _Picker:
    """Fills all requests from pictures offered in order of time."""

    def __init__(self, requests: Sequence[FrameRequest], targets: list[list[Fraction]], progress: Progress | None):
        self.requests, self.targets, self.progress = requests, targets, progress
        self.outputs = [torch.empty(each.count, 3, each.size, each.size, dtype=torch.uint8) for each in requests]
        self.filled = [0] * len(requests)
        self.last: _Picture | None = None

    @property
    def complete(self) -> bool:
        return all(filled == request.count for filled, request in zip(self.filled, self.requests, strict=True))

    def offer(self, picture: _Picture) -> None:
        """Serve every target up to the picture's time with this picture or the one before it."""
        before = self.last or picture
        for index, targets in enumerate(self.targets):
            while self.filled[index] < len(targets) and targets[self.filled[index]] <= picture.time:
                target = targets[self.filled[index]]
                self._put(index, picture if picture.time - target < target - before.time else before)
        self.last = picture

    def finish(self, last: _Picture, start: float) -> tuple[torch.Tensor, ...]:
        """Fill what is missing with the last picture; AudioXError where the start lies behind its end."""
        end = last.time + last.length
        if not any(self.filled) and start >= end:
            raise _beyond_end(start, end)
        for index, request in enumerate(self.requests):
            while self.filled[index] < request.count:
                self._put(index, last)
        return tuple(self.outputs)

    def _put(self, index: int, picture: _Picture) -> None:
        self.outputs[index][self.filled[index]] = picture.at(self.requests[index].size)
        self.filled[index] += 1
        if self.progress is not None:
            self.progress(sum(self.filled), sum(request.count for request in self.requests))


def _targets(request: FrameRequest, start: float) -> list[Fraction]:
    return [Fraction(start) + Fraction(k, request.fps) for k in range(request.count)]


def _stride_targets(
    times: list[Fraction], rate: float, request: FrameRequest, start: float, duration: float | None
) -> list[Fraction]:
    end = math.inf if duration is None else Fraction(start) + Fraction(duration)
    within = bisect.bisect_left(times, end)
    return [times[index] for index in stride_ids(rate, within, request.fps, request.count, start)]


def _frame_times(source: Source) -> tuple[list[Fraction], float]:
    """Times of all frames, read from the packets without decoding, and the average rate."""
    with open_media(source) as container:
        stream = video_stream(container, source)
        origin = time_origin(stream)
        shown = [packet for packet in packets(container, stream) if not packet.is_discard]
        times = sorted(packet.pts * packet.time_base - origin for packet in shown if packet.pts is not None)
        if not times or not stream.average_rate:
            raise AudioXError(
                f"{source_name(source)} has no timestamps or no frame rate, which stride sampling needs; "
                "switch stride sampling off."
            )
        return times, float(stream.average_rate)


def _pictures_from(source: Source, first: Fraction) -> Iterator[_Picture]:
    """Pictures in order of time from a key frame at or before `first`, or else from the beginning."""
    for margin in SEEK_MARGINS:
        if first - margin <= 0:
            break
        with open_media(source) as container:
            stream = video_stream(container, source)
            if not _seek(container, stream, first - margin):
                break
            pictures = _decoded(container, stream, source)
            head = next((picture for picture in pictures if picture.is_key), None)
            if head is not None and head.time <= first:
                yield head
                yield from pictures
                return
    with open_media(source) as container:
        yield from _decoded(container, video_stream(container, source), source)


def _seek(container: InputContainer, stream: VideoStream, time: Fraction) -> bool:
    try:
        container.seek(int((time_origin(stream) + time) / time_base(stream)), stream=stream)
    except av.FFmpegError:  # this kind of file has no way to seek
        return False
    return True


def _decoded(container: InputContainer, stream: VideoStream, source: Source) -> Iterator[_Picture]:
    if av.logging.get_level() is None:  # logs that go to Python lock up with decoders that run ahead in threads
        stream.thread_type = "AUTO"
    origin, reformatter = time_origin(stream), VideoReformatter()
    following = Fraction(0)  # the time of a picture without a timestamp, such as cover art
    rotation, matrix = None, None
    untimed: float = 0
    for frame in (frame for packet in packets(container, stream) for frame in packet.decode()):
        untimed = untimed + 1 if frame.pts is None else -math.inf
        if untimed > 1:
            raise untimed_pictures(source)
        if matrix is None or frame.rotation != rotation:
            rotation, matrix = frame.rotation, display_matrix(frame)
        length = _length(frame, stream)
        time = following if frame.pts is None else frame.pts * time_base(frame) - origin
        following = time + length
        yield _Picture(time, length, partial(frame_pixels, frame, matrix, reformatter), frame.key_frame)


def _length(frame: VideoFrame, stream: VideoStream) -> Fraction:
    ticks = getattr(frame, "duration", None)  # PyAV 14 does not have it
    if ticks:
        return ticks * time_base(frame)
    rate = stream.average_rate or stream.guessed_rate
    return 1 / rate if rate else Fraction(1, 25)


def _image_count(images: torch.Tensor) -> int:
    if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
        raise AudioXError(
            f"The images have shape {tuple(images.shape)}; expected (count, height, width, 3), none of them 0."
        )
    if not images.is_floating_point() and images.dtype != torch.uint8:
        raise AudioXError(f"The images are {images.dtype}; expected uint8, or float between 0 and 1.")
    return images.shape[0]


def _check_range(images: torch.Tensor) -> None:
    low, high = (value.item() for value in torch.aminmax(images))
    if not (low >= -1 and high <= 2):  # also refuses NaN
        raise AudioXError(f"The images contain values from {low:g} to {high:g}; float images must lie between 0 and 1.")


def _beyond_end(start: float, end: float | Fraction) -> AudioXError:
    return AudioXError(
        f"The start time {start:g} s lies beyond the end of the video, which is {float(end):.2f} s long; start earlier."
    )
