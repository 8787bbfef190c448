"""Put a sound on a video without touching its pictures: packets are copied, never decoded."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import get_args

import torch
from av.packet import Packet
from av.stream import Stream

from ..errors import AudioXError
from ..measure.loudness import check_target, loudness_gain
from .audio import LAYOUTS, check_waveform
from .edit_list import limit_edits
from .extent import video_length
from .files import (
    LATEST_SECONDS,
    Source,
    check_number,
    check_window,
    open_media,
    source_name,
    time_base,
    time_origin,
    video_stream,
    written_whole,
)
from .mix import OriginalSound, SoundTrack
from .mix_modes import MixMode
from .muxer import MP4_FAMILY, CopiedStream, Muxer
from .remux import shifted_packets
from .resampling import resample

CODECS = {".mp4": "aac", ".m4v": "aac", ".mov": "aac", ".mkv": "flac", ".webm": "libopus"}
"""Sound codec of each kind of file that can be written."""

CODEC_RATES = {
    "aac": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
    "libopus": (48000,),
}
"""Sample rates of the codecs that don't take every rate; other sounds are resampled to 48000."""

MOST_GAIN_DB = 200.0
"""Gains up to this, in either direction, fit into float32 with any usual sound."""


@dataclass(frozen=True)
class SoundPlacement:
    """Where and how loud the new sound is.

    offset: seconds of the result at which it begins; a negative one cuts its beginning.
    gain_db: its level in dB.
    loudness: LUFS to bring it to before `gain_db`, as far as its peaks allow (see `loudness_gain`). Measured is what is
        heard of the new sound, alone, as two loudspeakers play it.
    """

    offset: float = 0.0
    gain_db: float = 0.0
    loudness: float | None = None


@dataclass(frozen=True)
class Cut:
    """The part of a video to keep, in seconds; by default all. A duration beyond the end holds the last picture."""

    start: float = 0.0
    duration: float | None = None


def mux_video(
    video_source: Source,
    waveform: torch.Tensor,
    sample_rate: int,
    destination: str | os.PathLike,
    *,
    mode: MixMode = "replace",
    placement: SoundPlacement = SoundPlacement(),
    cut: Cut = Cut(),
    original_gain_db: float = 0.0,
    duck_db: float = -15.0,
    subtitles: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a copy of a video with a new sound, its picture packets, rotation, HDR and subtitles unchanged.

    The sound is AAC in mp4, m4v and mov, Opus in webm and FLAC in mkv. It becomes exactly as long as the result: a
    short one is followed by silence, a long one is cut. In mp4 and mov the edit lists hold the length to the sample;
    a decoder that ignores them finds up to one AAC frame (1024 samples) more of silence at the end. Matroska and webm
    have no edit lists: they round to a millisecond, webm's header counts the last Opus packet (20 ms) in full, and a
    shorter cut may leave a picture or two behind the end that earlier ones refer to. The whole mix is scaled down
    where its peak exceeds full scale, and never scaled up.

    Args:
        video_source: path or seekable binary file; time 0 is its first picture.
        waveform: the new sound, (1 or 2, samples).
        destination: .mp4, .m4v, .mov, .mkv or .webm; appears only once it is complete.
        mode: "replace" drops the original sound, "mix" adds to it, "duck" lowers it by `duck_db` while the new
            sound is louder than -50 dB, a quarter of a second around it, and fades in 0.2 s. A video without
            sound works in all three.
        original_gain_db: level of the original sound.
        subtitles: False leaves the subtitles out.
        progress: called with (steps done, steps in all); may raise to interrupt.

    Returns:
        The destination.

    Raises:
        AudioXError: a source or sound that cannot be used, or streams that the destination cannot hold.
    """
    destination = Path(destination)
    codec = _check_request(video_source, waveform, sample_rate, destination, mode)
    check_window(cut.start, cut.duration)
    _check_levels(placement, {"gain of the original sound": original_gain_db, "ducking": duck_db})
    with open_media(video_source) as source:
        video = video_stream(source, video_source)
        whole = video_length(video_source)
        if cut.start >= whole:
            raise AudioXError(
                f"The start time {cut.start:g} s lies beyond the end of the video, which is {float(whole):.2f} s "
                "long; start earlier."
            )
        length = whole - Fraction(cut.start) if cut.duration is None else Fraction(cut.duration)
        origin = time_origin(video) + Fraction(cut.start)
        original = None
        if mode != "replace" and source.streams.audio:
            duck_gain = 10 ** (duck_db / 20) if mode == "duck" else 1.0
            original = OriginalSound(video_source, origin, 10 ** (original_gain_db / 20), duck_gain)
        rate = _codec_rate(codec, sample_rate)
        sound = resample(waveform.detach().float().cpu(), sample_rate, rate)
        first, total = round(placement.offset * rate), round(length * rate)
        sound = sound * _gain(sound[:, max(-first, 0) : max(total - first, 0)], rate, placement)
        track = SoundTrack(sound, rate, first, total, original=original, progress=progress)
        scale = 1 / max(_finite_peak(track), 1.0)
        with written_whole(destination) as temporary:
            copied: list[CopiedStream] = [video, *(source.streams.subtitles if subtitles else ())]
            with Muxer(temporary, source, copied, codec, track, scale, destination.name) as muxer:
                if cut.start > 0:
                    source.seek(int(origin / time_base(video)), stream=video)
                for packet in shifted_packets(source, copied, origin, length):
                    _check_hidden(packet, video, cut.start, length, destination)
                    muxer.write(packet)
                if not muxer.pictures:
                    raise AudioXError(
                        f"{source_name(video_source)} holds no pictures that could be copied from {cut.start:g} s on; "
                        "it is damaged, so give another video."
                    )
                muxer.finish()
            if destination.suffix.lower() in MP4_FAMILY:
                limit_edits(temporary, length)
    return destination


def _check_request(source: Source, waveform: torch.Tensor, sample_rate: int, destination: Path, mode: str) -> str:
    """The sound codec of the destination; AudioXError for what cannot be written."""
    check_waveform(waveform, sample_rate)
    if waveform.shape[0] not in LAYOUTS:
        raise AudioXError(f"The sound has {waveform.shape[0]} channels; 1 or 2 can be put on a video.")
    if mode not in get_args(MixMode):
        raise AudioXError(f"The mode is {mode!r}; choose replace, mix or duck.")
    codec = CODECS.get(destination.suffix.lower())
    if codec is None:
        raise AudioXError(f"A video cannot be written to {destination.name!r}; choose {', '.join(CODECS)}.")
    if (
        isinstance(source, str | os.PathLike)
        and destination.exists()
        and os.path.exists(source)
        and os.path.samefile(source, destination)
    ):
        raise AudioXError(f"{source_name(source)} is both source and destination; choose another destination.")
    return codec


def _check_levels(placement: SoundPlacement, gains: dict[str, float]) -> None:
    """AudioXError for a placement or a gain that no sound can have."""
    check_number("offset", placement.offset, "s", low=-LATEST_SECONDS, high=LATEST_SECONDS)
    for name, gain in {"gain": placement.gain_db, **gains}.items():
        check_number(name, gain, "dB", low=-MOST_GAIN_DB, high=MOST_GAIN_DB)
    if placement.loudness is not None:
        check_target(placement.loudness)


def _finite_peak(track: SoundTrack) -> float:
    """Largest absolute value of a track; AudioXError where it is too loud to be a number."""
    peak = track.peak()
    if not math.isfinite(peak):
        raise AudioXError("The sound is too loud to be mixed: raised by the gain, its samples exceed 3e38; lower both.")
    return peak


def _codec_rate(codec: str, sample_rate: int) -> int:
    """The sound's own rate, or 48000 where the codec doesn't take it."""
    return sample_rate if sample_rate in CODEC_RATES.get(codec, (sample_rate,)) else 48000


def _gain(heard: torch.Tensor, rate: int, placement: SoundPlacement) -> float:
    """Factor for the new sound, of which (1 or 2, samples) is heard."""
    gain = 10 ** (placement.gain_db / 20)
    if placement.loudness is not None:
        gain *= loudness_gain(heard.expand(2, -1), rate, placement.loudness)
    return gain


def _check_hidden(packet: Packet, video: Stream, start: float, length: Fraction, destination: Path) -> None:
    """AudioXError for a picture that players must not show where the container cannot hide it.

    These are the pictures from a key frame to the start, and those that an edit list of the source leaves out.
    """
    if packet.pts is None or packet.stream.index != video.index:
        return
    early = packet.pts < 0 and (start > 0 or packet.is_discard)
    if early and destination.suffix.lower() not in MP4_FAMILY:
        cause = f"The start time {start:g} s is no key frame of the video"
        if start == 0:
            cause = "The video begins with hidden pictures (an edit list, as of a cut without re-encoding)"
        raise AudioXError(
            f"{cause}, and {destination.suffix} cannot hide the pictures before it; write an .mp4 or .mov, or start at "
            "a key frame."
        )
    if packet.is_discard and 0 <= packet.pts * packet.time_base < length:
        raise AudioXError(
            f"The video hides pictures at {float(packet.pts * packet.time_base):.2f} s by an edit list, which cannot "
            "be copied; encode it again first."
        )
