"""How long a video is: what its header says, checked against the pictures that are there."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from ..errors import AudioXError
from .files import (
    LATEST_SECONDS,
    Source,
    open_media,
    packets,
    second_view,
    source_name,
    time_base,
    time_origin,
    video_stream,
)

EXACT_FORMAT = "mov"
"""The container family whose header tells the length of each track; in others it is rounded or estimated."""

ROUGH_FORMAT = "matroska"
"""The family whose header tells how long the whole file is, and no more."""

TOLERANCE_SECONDS, TOLERANCE_SHARE, TOLERANCE_PICTURES = Fraction(1, 2), Fraction(1, 20), 2
"""How much pictures may fall short of a header: the smaller of time and share, but always some pictures."""

FURTHEST_TICK = 2**62
"""Timestamps are 64 bits wide."""


@dataclass(frozen=True)
class VideoExtent:
    """Length of a video, and the length that its header promises where the pictures end early."""

    seconds: Fraction
    promised: Fraction | None = None

    def shortfall(self, source: Source) -> str | None:
        """A sentence about what is missing, or None."""
        if self.promised is None:
            return None
        return (
            f"{source_name(source)} is incomplete or damaged: its header says {_duration(self.promised)}, but its "
            f"pictures end after {_duration(self.seconds)}. Only these are used; download or copy it again for all."
        )


def video_length(source: Source) -> Fraction:
    """Seconds from the first picture of a video to the end of its last, with a warning in the log if some are missing.

    Raises:
        AudioXError: no such file, not a video, no pictures in it, or pictures later than a day.
    """
    extent = video_extent(source)
    shortfall = extent.shortfall(source)
    if shortfall is not None:
        logging.getLogger(__name__).warning("%s", shortfall)
    return extent.seconds


def video_seconds(source: Source) -> float:
    """`video_length` as a float, for arithmetic with other times in seconds."""
    return float(video_length(source))


def warn_of_missing_pictures(source: Source, end: Fraction) -> None:
    """The warning of `video_length` for a reader whose pictures ran out after `end` seconds."""
    with open_media(second_view(source)) as container:
        stream = video_stream(container, source)
        promised = max((stream.duration or 0) * time_base(stream), _file_length(container) or Fraction(0))
        is_cover = bool(stream.disposition & av.stream.Disposition.attached_pic)
        incomplete = end < promised - _tolerance(stream, promised)
    if incomplete and not is_cover:
        video_length(source)


def video_extent(source: Source) -> VideoExtent:
    """The header's length where the pictures bear it out, else that of the pictures; nothing is decoded.

    Only the last packets are read, unless the header tells no length or a wrong one. See `video_length`.
    """
    promised = None
    with open_media(second_view(source)) as container:
        stream = video_stream(container, source)
        stated = (stream.duration or 0) * time_base(stream)
        tolerance = _tolerance(stream, stated)
        pictures = _last_pictures(container, stream, stated) if stated else None
        exact = container.format.name.startswith(EXACT_FORMAT)
    if pictures is None or pictures.end < stated - tolerance:
        with open_media(second_view(source)) as container:
            pictures, promised = _all_pictures(container, video_stream(container, source), source)
        if stated:
            promised = stated if pictures.end < stated - tolerance else None
    by_header = stated and promised is None and not (exact and pictures.last >= stated)
    seconds = stated if by_header else pictures.end
    if seconds > LATEST_SECONDS:
        raise AudioXError(
            f"{source_name(source)} claims to last {_duration(seconds)}, but at most "
            f"{_duration(Fraction(LATEST_SECONDS))} can be used; its timestamps are probably damaged, so give another "
            "file."
        )
    return VideoExtent(seconds, promised)


@dataclass(frozen=True)
class _Span:
    """When the last picture begins and ends, in seconds after the first one."""

    last: Fraction
    end: Fraction


def _tolerance(stream: VideoStream, stated: Fraction) -> Fraction:
    return max(TOLERANCE_PICTURES * _shortest(stream), min(TOLERANCE_SECONDS, stated * TOLERANCE_SHARE))


def _shortest(stream: VideoStream) -> Fraction:
    """Seconds that a picture is taken to last at least."""
    return 1 / (stream.average_rate or stream.guessed_rate or Fraction(25))


def _last_pictures(container: InputContainer, stream: VideoStream, stated: Fraction) -> _Span | None:
    """From the last key frame on; None where nothing can be read there."""
    tick = time_base(stream)
    end = int((time_origin(stream) + stated) / tick)
    try:
        container.seek(min(end, FURTHEST_TICK), stream=stream)
        return _span(packets(container, stream), stream)
    except av.FFmpegError:  # no way to seek, or the end of the file is missing
        return None


def _all_pictures(container: InputContainer, stream: VideoStream, source: Source) -> tuple[_Span, Fraction | None]:
    """All pictures, and the length that a Matroska header promises if no stream comes near it."""
    ends, timed, untimed = [Fraction(0)], [], 0
    media = [each for each in container.streams if each.type in ("video", "audio", "subtitle")]
    for packet in packets(container, *media):
        if packet.pts is None:
            untimed += packet.stream.index == stream.index and packet.size > 0
            continue
        ends.append((packet.pts + (packet.duration or 0)) * packet.time_base)
        if packet.stream.index == stream.index:
            timed.append(packet)
    span = _span(timed, stream)
    if span is None and untimed > 1:
        raise untimed_pictures(source)
    if span is None:
        raise AudioXError(f"{source_name(source)} contains no pictures; give another video.")
    promised = _file_length(container)
    whole = promised is None or max(ends) - time_origin(stream) >= promised - _tolerance(stream, promised)
    return span, None if whole else promised


def _file_length(container: InputContainer) -> Fraction | None:
    """Seconds of the longest stream, where the header tells just that."""
    if container.duration is None or not container.format.name.startswith(ROUGH_FORMAT):
        return None
    return Fraction(container.duration, av.time_base)


def _span(pictures: Iterable[Packet], stream: VideoStream) -> _Span | None:
    """The last of some pictures; those that an edit list hides don't count."""
    shortest, tick = _shortest(stream), time_base(stream)
    times = [
        (packet.pts * packet.time_base, max((packet.duration or 0) * packet.time_base, shortest))
        for packet in pictures
        if packet.pts is not None and not packet.is_discard
    ]
    if not times:
        return None
    end = round(max(begin + length for begin, length in times) / tick) * tick
    return _Span(max(begin for begin, _ in times) - time_origin(stream), end - time_origin(stream))


def untimed_pictures(source: Source) -> AudioXError:
    """The error for a raw stream such as .h264, whose pictures have no times."""
    return AudioXError(
        f"The pictures of {source_name(source)} have no timestamps, as in a raw .h264 file, so no sound can be in step "
        "with them; put them into an .mp4 or .mkv first."
    )


def _duration(seconds: Fraction) -> str:
    return f"{float(seconds):.2f} s" if seconds < 3600 else f"{float(seconds) / 3600:.1f} hours"
