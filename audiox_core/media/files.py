"""Opening media files, their streams and lengths; and writing files whole or not at all."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.frame import Frame
from av.stream import Stream
from av.video.stream import VideoStream

from ..disk import temporary_path
from ..errors import AudioXError

Source = str | os.PathLike | BinaryIO
"""A file's path, or an open seekable binary file such as BytesIO."""


def source_name(source: Source) -> str:
    """The name by which messages speak of a source."""
    return repr(os.fspath(source)) if isinstance(source, str | os.PathLike) else "the file given as bytes"


@contextmanager
def open_media(source: Source) -> Iterator[InputContainer]:
    """Open a source for reading; AudioXError where it is missing, isn't a media file, or breaks off."""
    if isinstance(source, str | os.PathLike):
        if not Path(source).is_file():
            raise AudioXError(f"There is no file {source_name(source)}; give the path of a media file that exists.")
        source = os.fspath(source)
    else:
        source.seek(0)
    try:
        with av.open(source, mode="r", metadata_errors="ignore") as container:
            if not len(container.streams):
                raise _unreadable(source, "nothing in it")
            yield container
    except av.FFmpegError as error:
        raise _unreadable(source, error.strerror or type(error).__name__) from error


def _unreadable(source: Source, reason: str) -> AudioXError:
    return AudioXError(
        f"{source_name(source)} cannot be read as a media file ({reason}); it is damaged, incomplete or of a kind "
        "that FFmpeg does not know, so give another file."
    )


class FileView(io.RawIOBase):
    """A second reader of an open file, with its own position; it leaves the file's position alone."""

    def __init__(self, file: BinaryIO):
        self.file, self.position = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        before = self.file.tell()
        if whence == io.SEEK_CUR:
            offset, whence = self.position + offset, io.SEEK_SET
        self.position = self.file.seek(offset, whence)
        self.file.seek(before)
        return self.position

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        before = self.file.tell()
        self.file.seek(self.position)
        data = self.file.read(len(buffer))
        self.file.seek(before)
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)


def second_view(source: Source) -> Source:
    """A source that can be read while `source` is being read."""
    return source if isinstance(source, str | os.PathLike) else cast(BinaryIO, FileView(source))


def video_stream(container: InputContainer, source: Source) -> VideoStream:
    """The stream of moving pictures; cover art counts only where there is nothing else."""
    streams = container.streams.video
    if not streams:
        raise AudioXError(f"{source_name(source)} has no video stream; give a file with pictures in it.")
    covers = av.stream.Disposition.attached_pic
    return next((stream for stream in streams if not stream.disposition & covers), streams[0])


def audio_stream(container: InputContainer, source: Source) -> AudioStream:
    """The first sound stream."""
    if not container.streams.audio:
        raise AudioXError(f"{source_name(source)} has no audio stream; give a file with sound in it.")
    return container.streams.audio[0]


def time_base(timed: Stream | Frame) -> Fraction:
    """Seconds of one tick of the timestamps; whatever was read from a file has it."""
    assert timed.time_base is not None
    return timed.time_base


def time_origin(stream: Stream) -> Fraction:
    """Container time in seconds of a stream's first picture or sample, which we call time 0."""
    return (stream.start_time or 0) * time_base(stream)


def video_length(source: Source) -> Fraction:
    """Seconds from the first picture of a video to the end of its last.

    Taken from the header, or else from all packets, which are read but not decoded.

    Raises:
        AudioXError: no such file, not a video, or no pictures in it.
    """
    with open_media(second_view(source)) as container:
        stream = video_stream(container, source)
        tick = time_base(stream)
        if stream.duration:
            return stream.duration * tick
        shortest = 1 / (stream.average_rate or stream.guessed_rate or Fraction(25))
        ends = (
            packet.pts * packet.time_base + max((packet.duration or 0) * packet.time_base, shortest)
            for packet in container.demux(stream)
            if packet.pts is not None
        )
        end = max(ends, default=None)
        if end is None:
            raise AudioXError(f"{source_name(source)} contains no pictures; give another video.")
        return round(end / tick) * tick - time_origin(stream)


def video_seconds(source: Source) -> float:
    """`video_length` as a float, for arithmetic with other times in seconds."""
    return float(video_length(source))


def check_window(start: float, duration: float | None) -> None:
    """AudioXError for a part of a clip that cannot exist."""
    if not 0 <= start < float("inf"):
        raise AudioXError(f"The start time is {start} s; it must be 0 s or later.")
    if duration is not None and not 0 < duration < float("inf"):
        raise AudioXError(f"The duration is {duration} s; it must be above 0 s, or left out for everything.")


@contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block succeeds; a block that fails leaves nothing."""
    path = Path(path)
    if not path.parent.is_dir():
        raise AudioXError(f"There is no folder {str(path.parent)!r} to write {path.name!r} into; create it first.")
    temporary = temporary_path(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
