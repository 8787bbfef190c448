"""Opening media files for reading and writing them whole or not at all."""

import io
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av

from ..errors import AudioXError

Source = str | os.PathLike | BinaryIO
"""A file's path, or an open seekable binary file such as BytesIO."""


def source_name(source: Source) -> str:
    """The name by which messages speak of a source."""
    return repr(os.fspath(source)) if isinstance(source, str | os.PathLike) else "the file given as bytes"


@contextmanager
def open_media(source: Source) -> Iterator["av.container.InputContainer"]:
    """Open a source for reading; raises AudioXError when it is missing, or is no media file, or breaks off."""
    if isinstance(source, str | os.PathLike):
        source = Path(source)
        if not source.is_file():
            raise AudioXError(f"There is no file {source_name(source)}; give the path of a media file that exists.")
        opened = str(source)
    else:
        source.seek(0)
        opened = source
    try:
        with av.open(opened, mode="r", metadata_errors="ignore") as container:
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
    """A second reader of an open file, with a position of its own; it leaves the file's position alone."""

    def __init__(self, file: BinaryIO):
        self.file, self.place = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        before = self.file.tell()
        if whence == io.SEEK_CUR:
            offset, whence = self.place + offset, io.SEEK_SET
        self.place = self.file.seek(offset, whence)
        self.file.seek(before)
        return self.place

    def readinto(self, buffer) -> int:
        before = self.file.tell()
        self.file.seek(self.place)
        data = self.file.read(len(buffer))
        self.file.seek(before)
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)


def second_view(source: Source) -> Source:
    """A source that can be read while `source` is being read."""
    return source if isinstance(source, str | os.PathLike) else FileView(source)


def video_stream(container, source: Source):
    """The stream with the moving pictures; cover art does not count unless there is nothing else."""
    streams = container.streams.video
    if not streams:
        raise AudioXError(f"{source_name(source)} has no video stream; give a file with pictures in it.")
    covers = av.stream.Disposition.attached_pic
    return next((stream for stream in streams if not stream.disposition & covers), streams[0])


def audio_stream(container, source: Source):
    """The first sound stream."""
    if not container.streams.audio:
        raise AudioXError(f"{source_name(source)} has no audio stream; give a file with sound in it.")
    return container.streams.audio[0]


def time_origin(stream) -> Fraction:
    """Container time in seconds of a stream's first picture or sample, which we call time 0."""
    return (stream.start_time or 0) * stream.time_base


def video_seconds(source: Source) -> float:
    """Length of a video's pictures; where the file does not tell it, its packets are read (not decoded)."""
    with open_media(source) as container:
        stream = video_stream(container, source)
        if stream.duration:
            return float(stream.duration * stream.time_base)
        ends = [packet.pts + (packet.duration or 0) for packet in container.demux(stream) if packet.pts is not None]
        return float(max(ends, default=0) * stream.time_base - time_origin(stream))


def check_window(start: float, duration: float | None) -> None:
    """Refuse a part of a clip that cannot exist."""
    if not 0 <= start < float("inf"):
        raise AudioXError(f"The start time is {start} s; it must be 0 s or later.")
    if duration is not None and not 0 < duration < float("inf"):
        raise AudioXError(f"The duration is {duration} s; it must be above 0 s, or left out for everything.")


@contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """Hand out a temporary path beside `path` and rename it when the block succeeds; nothing stays when it fails."""
    path = Path(path)
    if not path.parent.is_dir():
        raise AudioXError(f"There is no folder {str(path.parent)!r} to write {path.name!r} into; make it first.")
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
