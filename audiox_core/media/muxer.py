"""An output file with copied pictures and subtitles and one encoded sound."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from ..errors import AudioXError
from .audio import add_audio_stream, sound_frame
from .files import encoder_errors
from .mix import SoundTrack

AAC_BITS_A_SECOND = 192_000

MP4_FAMILY = (".mp4", ".m4v", ".mov")

MP4_KEYS = {
    "title",
    "artist",
    "album_artist",
    "composer",
    "album",
    "date",
    "encoder",
    "comment",
    "genre",
    "copyright",
    "grouping",
    "lyrics",
    "description",
    "synopsis",
    "show",
    "episode_id",
    "network",
    "creation_time",
    "location",
}
"""Metadata that every mp4 player knows; other keys need the newer list of named keys."""

CONTAINER_KEYS = {"major_brand", "minor_version", "compatible_brands", "encoder"}
"""Metadata that describes the old file and not its contents."""

STATISTICS = ("DURATION", "BPS", "NUMBER_OF_", "_STATISTICS_")
"""Beginnings of Matroska's stream metadata that would be wrong in the new file."""

CopiedStream = VideoStream | SubtitleStream
"""What can be copied unchanged."""


class Muxer:
    """An output file with copied streams and one encoded sound, written side by side."""

    def __init__(
        self,
        path: Path,
        source: InputContainer,
        copied: Sequence[CopiedStream],
        codec: str,
        track: SoundTrack,
        scale: float,
        name: str,
    ):
        self.name, self.scale, self.track, self.pictures = name, scale, track, 0
        metadata = {key: value for key, value in source.metadata.items() if key.lower() not in CONTAINER_KEYS}
        with encoder_errors(name):
            self.output = av.open(str(path), "w", options=_options(path, metadata, track.rate))
        self.output.metadata.update(metadata)
        try:
            self.streams = {stream.index: self._copy_stream(stream, path.suffix) for stream in copied}
        except AudioXError:
            self.output.close()  # or Windows would not let it be removed
            raise
        self.sound = add_audio_stream(self.output, codec, track.rate)
        self.sound.codec_context.layout = "stereo"
        if codec == "aac":
            self.sound.codec_context.bit_rate = AAC_BITS_A_SECOND
        self.encoded = self._encoded()
        self.waiting: Packet | None = None

    def __enter__(self) -> Muxer:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        try:
            with encoder_errors(self.name):
                self.output.close()
        except AudioXError:
            if error is None:  # else the first error tells more
                raise

    def write(self, packet: Packet) -> None:
        """Write a copied packet, after the sound that comes before it."""
        self._write_sound(_decoding_time(packet))
        self.pictures += packet.stream.type == "video"
        packet.stream = self.streams[packet.stream.index]
        self._mux(packet)

    def finish(self) -> None:
        """Write the rest of the sound."""
        self._write_sound(math.inf)

    def _write_sound(self, until: Fraction | float) -> None:
        while True:
            if self.waiting is None:
                self.waiting = next(self.encoded, None)
            if self.waiting is None or _decoding_time(self.waiting) > until:
                return
            self._mux(self.waiting)
            self.waiting = None

    def _encoded(self) -> Iterator[Packet]:
        for start, block in self.track.blocks():
            yield from self.sound.encode(sound_frame(block * self.scale, self.track.rate, start))
        yield from self.sound.encode(None)

    def _copy_stream(self, stream: CopiedStream, suffix: str) -> Stream:
        if stream.codec_context is None:
            raise AudioXError(
                f"The {stream.type} stream {stream.index} is in a codec that this FFmpeg doesn't know, so it cannot be "
                "copied; leave the subtitles out, or convert them."
            )
        try:
            copy: CopiedStream = self.output.add_stream_from_template(stream, opaque=True)
        except ValueError as error:
            kind = stream.codec_context.name
            advice = "or leave the subtitles out" if stream.type == "subtitle" else "which holds nearly everything"
            raise AudioXError(
                f"The {stream.type} stream ({kind}) cannot be copied into {suffix}; write the kind of file that the "
                f"source is, or .mkv, {advice}."
            ) from error
        tag = _codec_tag(stream)
        if suffix.lower() in MP4_FAMILY and tag in ("hvc1", "hev1", "avc1", "avc3"):
            copy.codec_context.codec_tag = tag
        still_true = {key: text for key, text in stream.metadata.items() if not key.upper().startswith(STATISTICS)}
        copy.metadata.update(still_true)
        copy.disposition = stream.disposition.value  # type: ignore[assignment]  # PyAV 14 takes only an int
        return copy

    def _mux(self, packet: Packet) -> None:
        with encoder_errors(self.name):
            self.output.mux(packet)


def _codec_tag(stream: CopiedStream) -> str:
    """The four letters by which an mp4 names a codec; empty for those that are no letters."""
    try:
        return stream.codec_context.codec_tag
    except UnicodeDecodeError:
        return ""


def _decoding_time(packet: Packet) -> Fraction:
    assert packet.dts is not None  # `shifted_packets` and encoders set it
    return packet.dts * packet.time_base


def _options(path: Path, metadata: dict[str, str], rate: int) -> dict[str, str]:
    if path.suffix.lower() not in MP4_FAMILY:
        return {}
    # lengths to the sample; plays while it loads
    options = {"movie_timescale": str(rate), "movflags": "+faststart"}
    if not {key.lower() for key in metadata} <= MP4_KEYS:
        options["movflags"] += "+use_metadata_tags"
    return options
