"""Putting a sound on a video without touching its pictures: packets are copied, never decoded."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import torch

from ..errors import AudioXError
from ..measure.loudness import check_target, loudness_gain
from .audio import LAYOUTS, check_waveform, resample, sound_frame
from .edit_list import limit_edits
from .files import (
    Source,
    check_window,
    open_media,
    source_name,
    time_origin,
    video_stream,
    written_whole,
)
from .mix import Mode, SoundTrack
from .remux import shifted_packets, video_length

CODECS = {".mp4": "aac", ".m4v": "aac", ".mov": "aac", ".mkv": "flac", ".webm": "libopus"}
"""Sound codec of each kind of file that can be written."""

CODEC_RATES = {
    "aac": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
    "libopus": (48000,),
}
"""Sample rates of the codecs that do not take every one; other sounds are resampled to 48000."""

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


def mux_video(
    video_source: Source,
    waveform: torch.Tensor,
    sample_rate: int,
    destination: str | os.PathLike,
    *,
    mode: Mode = "replace",
    gain_db: float = 0.0,
    original_gain_db: float = 0.0,
    duck_db: float = -15.0,
    offset: float = 0.0,
    start: float = 0.0,
    duration: float | None = None,
    subtitles: bool = True,
    loudness: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a copy of a video with a new sound, its picture packets, rotation, HDR and subtitles unchanged.

    The sound is AAC in mp4, m4v and mov, Opus in webm and FLAC in mkv. It is made exactly as long as the result:
    a short one is followed by silence, a long one is cut. In mp4 and mov the length stands in the edit lists to
    the sample; a decoder that ignores them finds up to one AAC frame (1024 samples) of silence more at the end.
    Matroska and webm have no edit lists: they round to a millisecond, webm's header counts the last Opus packet
    (20 ms) in full, and a shorter `duration` may leave a picture or two behind the end that earlier ones refer to.
    The mix is scaled down as a whole when its peak exceeds full scale, and never scaled up.

    Args:
        video_source: path or seekable binary file; time 0 is its first picture.
        waveform: the new sound, (1 or 2, samples).
        destination: .mp4, .m4v, .mov, .mkv or .webm; appears only when it is complete.
        mode: "replace" drops the original sound, "mix" adds to it, "duck" lowers it by `duck_db` while the new
            sound is louder than -50 dB, a quarter of a second around it, and fades in 0.2 s. A video without
            sound works in all three.
        gain_db, original_gain_db: levels of the new and of the original sound.
        offset: seconds of the result at which the new sound begins; a negative one cuts its beginning.
        start, duration: seconds; the part of the video to keep, by default all of it. A duration longer than the
            video leaves its last picture on show.
        subtitles: False leaves the subtitles out.
        loudness: LUFS to bring the new sound to before `gain_db`, as far as its peaks allow; see `loudness_gain`.
            Measured is what of the new sound is heard, alone, as it comes from two loudspeakers.
        progress: called with (steps done, steps in all); may raise to interrupt.

    Returns:
        The destination.

    Raises:
        AudioXError: a source or sound that cannot be used, or streams that the destination cannot hold.
    """
    destination = Path(destination)
    codec = _check_request(video_source, waveform, sample_rate, destination, mode)
    check_window(start, duration)
    if loudness is not None:
        check_target(loudness)
    with open_media(video_source) as source:
        video = video_stream(source, video_source)
        whole = video_length(video_source)
        if start >= whole:
            raise AudioXError(
                f"The start time {start:g} s lies beyond the end of the video, which is {float(whole):.2f} s "
                "long; start earlier."
            )
        length = whole - Fraction(start) if duration is None else Fraction(duration)
        origin = time_origin(video) + Fraction(start)
        has_sound = mode != "replace" and len(source.streams.audio) > 0
        track = _sound_track(
            waveform,
            sample_rate,
            codec,
            length,
            offset,
            gain_db,
            loudness,
            original=video_source if has_sound else None,
            origin=origin,
            original_gain=10 ** (original_gain_db / 20),
            duck_gain=10 ** (duck_db / 20) if mode == "duck" else 1.0,
            progress=progress,
        )
        scale = 1 / max(track.peak(), 1.0)
        with written_whole(destination) as temporary:
            copied = [video, *(source.streams.subtitles if subtitles else ())]
            with _Writer(temporary, source, copied, codec, track, scale, destination.name) as writer:
                if start > 0:
                    source.seek(int(origin / video.time_base), stream=video)
                for packet in shifted_packets(source, copied, origin, length):
                    _check_beginning(packet, video, start, destination)
                    writer.write(packet)
                writer.finish()
            if destination.suffix.lower() in MP4_FAMILY:
                limit_edits(temporary, length)
    return destination


def _check_request(source: Source, waveform, sample_rate: int, destination: Path, mode: str) -> str:
    check_waveform(waveform, sample_rate)
    if waveform.shape[0] not in LAYOUTS:
        raise AudioXError(f"The sound has {waveform.shape[0]} channels; 1 or 2 can be put on a video.")
    if mode not in ("replace", "mix", "duck"):
        raise AudioXError(f"The mode is {mode!r}; choose replace, mix or duck.")
    codec = CODECS.get(destination.suffix.lower())
    if codec is None:
        raise AudioXError(f"A video cannot be written to {destination.name!r}; choose {', '.join(CODECS)}.")
    is_path = isinstance(source, str | os.PathLike)
    if is_path and destination.exists() and Path(source).exists() and os.path.samefile(source, destination):
        raise AudioXError(f"{source_name(source)} is both source and destination; choose another destination.")
    return codec


def _sound_track(
    waveform,
    sample_rate: int,
    codec: str,
    length: Fraction,
    offset: float,
    gain_db: float,
    loudness: float | None,
    **original,
) -> SoundTrack:
    rates = CODEC_RATES.get(codec, (sample_rate,))
    rate = sample_rate if sample_rate in rates else 48000
    sound = resample(waveform.detach().float().cpu(), sample_rate, rate)
    first, total = round(offset * rate), round(length * rate)
    gain = 10 ** (gain_db / 20)
    if loudness is not None:
        heard = sound[:, max(-first, 0) : max(total - first, 0)].expand(2, -1)
        gain *= loudness_gain(heard, rate, loudness)
    return SoundTrack(sound * gain, rate, first, total, **original)


def _check_beginning(packet, video, start: float, destination: Path) -> None:
    early = packet.pts < 0 and packet.stream.index == video.index and start > 0
    if early and destination.suffix.lower() not in MP4_FAMILY:
        raise AudioXError(
            f"The start time {start:g} s is no key frame of the video, and {destination.suffix} cannot hide the "
            "pictures before it; write an .mp4 or .mov, or start at a key frame."
        )


class _Writer:
    """An output file with copied streams and one encoded sound, written side by side."""

    def __init__(self, path: Path, source, copied: list, codec: str, track: SoundTrack, scale: float, name: str):
        self.name, self.scale, self.track = name, scale, track
        metadata = {key: value for key, value in source.metadata.items() if key.lower() not in CONTAINER_KEYS}
        with self._errors():
            self.output = av.open(str(path), "w", options=_options(path, metadata, track.rate))
        self.output.metadata.update(metadata)
        self.streams = {}
        for stream in copied:
            self.streams[stream.index] = self._copy_stream(stream, path.suffix)
        self.sound = self.output.add_stream(codec, rate=track.rate)
        self.sound.codec_context.layout = "stereo"
        if codec == "aac":
            self.sound.codec_context.bit_rate = AAC_BITS_A_SECOND
        self.encoded = self._encoded()
        self.waiting = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with self._errors():
            self.output.close()

    def write(self, packet: "av.Packet") -> None:
        """Write a copied packet, after the sound that comes before it."""
        time = packet.dts * packet.time_base
        self._write_sound(time)
        packet.stream = self.streams[packet.stream.index]
        self._mux(packet)

    def finish(self) -> None:
        """Write the rest of the sound."""
        self._write_sound(math.inf)

    def _write_sound(self, until: Fraction | float) -> None:
        while True:
            if self.waiting is None:
                self.waiting = next(self.encoded, None)
            if self.waiting is None or self.waiting.dts * self.waiting.time_base > until:
                return
            self._mux(self.waiting)
            self.waiting = None

    def _encoded(self) -> Iterator["av.Packet"]:
        for start, block in self.track.blocks():
            yield from self.sound.encode(sound_frame(block * self.scale, self.track.rate, start))
        yield from self.sound.encode(None)

    def _copy_stream(self, stream, suffix: str):
        try:
            copy = self.output.add_stream_from_template(stream, opaque=True)
        except ValueError as error:
            kind = stream.codec_context.name
            advice = "or leave the subtitles out" if stream.type == "subtitle" else "which holds nearly everything"
            raise AudioXError(
                f"The {stream.type} stream ({kind}) cannot be copied into {suffix}; write the kind of file that the "
                f"source is, or .mkv, {advice}."
            ) from error
        if suffix.lower() in MP4_FAMILY and stream.codec_context.codec_tag in (
            "hvc1",
            "hev1",
            "avc1",
            "avc3",
        ):
            copy.codec_context.codec_tag = stream.codec_context.codec_tag
        kept = {key: text for key, text in stream.metadata.items() if not key.upper().startswith(STATISTICS)}
        copy.metadata.update(kept)
        copy.disposition = stream.disposition.value  # PyAV 14 takes nothing but an int
        return copy

    def _mux(self, packet: "av.Packet") -> None:
        with self._errors():
            self.output.mux(packet)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except av.FFmpegError as error:
            reason = error.strerror or type(error).__name__
            raise AudioXError(f"{self.name!r} could not be written ({reason}); try another kind of file.") from error


def _options(path: Path, metadata: dict[str, str], rate: int) -> dict[str, str]:
    if path.suffix.lower() not in MP4_FAMILY:
        return {}
    options = {
        "movie_timescale": str(rate),
        "movflags": "+faststart",
    }  # lengths to the sample; plays while loading
    if not {key.lower() for key in metadata} <= MP4_KEYS:
        options["movflags"] += "+use_metadata_tags"
    return options
