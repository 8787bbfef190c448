"""Opening media files and their streams, and writing files whole or not at all."""

import errno
import io
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.frame import Frame
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from ..disk import temporary_path
from ..errors import AudioXError

Source = str | os.PathLike | BinaryIO
"""A file's path, or an open seekable binary file such as BytesIO."""

LENIENT: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
"""Options that let PyAV read texts that aren't UTF-8, which it does anyway from version 19 on."""

AnyStream = TypeVar("AnyStream", VideoStream, AudioStream)

LATEST_SECONDS = 86_400.0
"""Latest time in a media file: a day. A single wrong bit in a header can declare weeks."""

SHORTEST_SECONDS = 1e-3
"""Shortest part of a media file that can be asked for."""

LONGEST_NAME = 255
"""Bytes of a file name that the usual file systems allow."""

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EFBIG)
"""Reasons for which a file cannot be written that another kind of file would not mend."""


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
        with av.open(source, mode="r", **LENIENT) as container:
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


def packets(container: InputContainer, *streams: Stream) -> Iterator[Packet]:
    """Packets of some streams; each stream ends with an empty one.

    PyAV trips over streams that turn up after the file was opened, but only once all other packets have been read.
    """
    try:
        yield from container.demux(streams)
    except IndexError:
        return


def video_stream(container: InputContainer, source: Source) -> VideoStream:
    """The stream of moving pictures; cover art counts only where there is nothing else."""
    streams = container.streams.video
    if not streams:
        raise AudioXError(f"{source_name(source)} has no video stream; give a file with pictures in it.")
    covers = av.stream.Disposition.attached_pic
    moving = [stream for stream in streams if not stream.disposition & covers] or list(streams)
    return _known(moving, "pictures", source)


def audio_stream(container: InputContainer, source: Source) -> AudioStream:
    """The first sound stream that can be decoded."""
    if not container.streams.audio:
        raise AudioXError(f"{source_name(source)} has no audio stream; give a file with sound in it.")
    return _known(container.streams.audio, "sound", source)


def _known(streams: Sequence[AnyStream], contents: str, source: Source) -> AnyStream:
    """The first stream that this FFmpeg has a decoder for."""
    for stream in streams:
        if stream.codec_context is not None:
            return stream
    raise AudioXError(
        f"The {contents} of {source_name(source)} are in a codec that this FFmpeg doesn't know; convert the file, for "
        "example to an .mp4 with H.264 and AAC."
    )


def time_base(timed: Stream | Frame) -> Fraction:
    """Seconds of one tick of the timestamps; whatever was read from a file has it."""
    assert timed.time_base is not None
    return Fraction(timed.time_base.numerator, timed.time_base.denominator)  # PyAV 19 gives its own type


def time_origin(stream: Stream) -> Fraction:
    """Container time in seconds of a stream's first picture or sample, which we call time 0."""
    return (stream.start_time or 0) * time_base(stream)


def check_number(name: str, value: float, unit: str = "", *, low: float = -math.inf, high: float = math.inf) -> None:
    """AudioXError for a value that isn't a number between two others."""
    if isinstance(value, int | float) and math.isfinite(value) and low <= value <= high:
        return
    raise AudioXError(f"The {name} is {value!r}, expected a number from {low:g} to {high:g}{unit and ' ' + unit}.")


def check_window(start: float, duration: float | None) -> None:
    """AudioXError for a part of a clip that cannot exist."""
    if not 0 <= start <= LATEST_SECONDS:
        raise AudioXError(f"The start time is {start} s; it must be 0 s or later, and within {LATEST_SECONDS:g} s.")
    if duration is not None and not SHORTEST_SECONDS <= duration <= LATEST_SECONDS:
        raise AudioXError(
            f"The duration is {duration} s; it must be from {SHORTEST_SECONDS:g} to {LATEST_SECONDS:g} s, or left out "
            "for everything."
        )


def check_file_name(name: str) -> None:
    """AudioXError for a name or path that no file can have."""
    try:
        parts = [os.fsencode(part) for part in name.replace("\\", "/").split("/")]
    except UnicodeEncodeError:
        raise AudioXError(f"The file name {name!a} has a broken character in it; write it again.") from None
    if any(b"\0" in part for part in parts):
        raise AudioXError(f"The file name {name!r} has a NUL character in it; leave it out.")
    longest = max(len(part) for part in parts)
    if longest > LONGEST_NAME:
        raise AudioXError(
            f"The file name {name[:40]!r}... is {longest} bytes long, but at most {LONGEST_NAME} can be written; "
            "choose a shorter one."
        )


@contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block succeeds; a block that fails leaves nothing."""
    path = Path(path)
    check_file_name(path.name)
    if not path.parent.is_dir():
        raise AudioXError(f"There is no folder {str(path.parent)!r} to write {path.name!r} into; create it first.")
    temporary = temporary_path(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def encoder_errors(name: str) -> Iterator[None]:
    """Turns what PyAV raises while a file is written into an AudioXError that names the file."""
    try:
        yield
    except av.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        advice = "try another kind of file"
        if error.errno in DISK_ERRORS:
            advice = "make room on the disk, or write into another folder"
        raise AudioXError(f"{name!r} could not be written ({reason}); {advice}.") from error
