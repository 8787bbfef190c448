"""Sound files in and out, and the sound prompt that the audio conditioner expects."""

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Literal

import av
import numpy as np
import torch

from ..errors import AudioXError
from ..lengths import PROMPT_SAMPLES, SAMPLE_RATE
from .files import Source, audio_stream, check_window, open_media, source_name, time_origin, written_whole

LAYOUTS = {1: "mono", 2: "stereo"}

BLOCK_SAMPLES = 16384
"""Samples handed to an encoder at a time."""

SEEKABLE_FORMAT = "mov"
"""The container family whose timestamps are exact to the sample; others are decoded from the beginning."""

LARGEST_RESAMPLING_KERNEL = 30_000_000
"""Numbers in torchaudio's resampling filter; rates without a common divisor need gigabytes."""


def read_audio(source: Source, *, start: float = 0.0, duration: float | None = None) -> tuple[torch.Tensor, int]:
    """Read the first sound stream of a sound or video file.

    Args:
        source: path or seekable binary file; time 0 is its first sample.
        start, duration: seconds; the part to read.

    Returns:
        float32 (channels, samples), full scale -1..1, and the samples a second.

    Raises:
        AudioXError: no such file, no sound in it, or the start lies beyond the end.
    """
    check_window(start, duration)
    with open_media(source) as container:
        stream = audio_stream(container, source)
        rate = stream.codec_context.sample_rate
        first = round(start * rate)
        total = _stated_length(container, stream)
        last = total if duration is None else min(total, first + round(duration * rate))
        parts, end = [], 0
        for place, block in sound_blocks(container, stream, first=start):
            end = place + block.shape[1]
            parts.append(block[:, max(first - place, 0) : max(min(end, last) - place, 0)].copy())
            if end >= last:
                break
    if end == 0:
        raise AudioXError(f"{source_name(source)} holds no sound that can be decoded; give another file.")
    waveform = torch.from_numpy(np.concatenate(parts, axis=1))
    if waveform.shape[1] == 0:
        raise AudioXError(
            f"The start time {start:g} s lies beyond the end of the sound, which is {min(end, total) / rate:.2f} s "
            "long; start earlier."
        )
    return waveform, rate


def _stated_length(container, stream) -> int:
    """Samples after which only the codec's padding follows, where the container says so."""
    if container.format.name.startswith(SEEKABLE_FORMAT) and stream.duration:
        return round(stream.duration * stream.time_base * stream.codec_context.sample_rate)
    return sys.maxsize


def sound_blocks(
    container, stream, *, first: float | Fraction = 0, rate: int | None = None, layout: str | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """(place, float32 (channels, samples)) of a sound stream, block after block.

    `place` counts samples from the stream's first one. Everything from `first` seconds on comes, and often
    something before it. `rate` and `layout` convert on the way.
    """
    origin, place = time_origin(stream), 0
    if first > 1 and container.format.name.startswith(SEEKABLE_FORMAT):
        preroll = Fraction(1, 2)  # lets codecs with memory settle
        container.seek(int((origin + Fraction(first) - preroll) / stream.time_base), stream=stream)
        place = None
    converter = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    rate = rate or stream.codec_context.sample_rate
    for frame in _frames_and_end(container, stream):
        if place is None:
            place = round((frame.pts * frame.time_base - origin) * rate)
        for converted in converter.resample(frame):
            block = converted.to_ndarray()
            yield place, block
            place += block.shape[1]


def _frames_and_end(container, stream) -> Iterator:
    """Decoded frames, then None, which makes a converter hand out what it still holds."""
    found = False
    for frame in container.decode(stream):
        found = True
        yield frame
    if found:
        yield None


RESAMPLING_MARGIN = 0.1
"""Seconds of sound after the part wanted that the resampling filter can look at, with room to spare."""


def prepare_prompt(
    waveform: torch.Tensor,
    sample_rate: int,
    *,
    samples: int = PROMPT_SAMPLES,
    start: float = 0.0,
    pad: Literal["front", "end"] = "front",
) -> torch.Tensor:
    """Bring a sound into the form of an audio prompt: 44.1 kHz, two channels, exactly `samples` long.

    One channel is doubled, of more than two the first two are taken. A longer sound is cut, a shorter one gets
    silence in front as upstream does it, or at its end.

    Args:
        waveform: (channels, samples) at `sample_rate`.
        start: seconds to leave out at the beginning.

    Returns:
        float32 (2, samples).

    Raises:
        AudioXError: no samples, not two dimensions, NaN or infinite values, or a start beyond the end.
    """
    check_waveform(waveform, sample_rate)
    check_window(start, None)
    stereo = waveform.float().expand(2, -1) if waveform.shape[0] == 1 else waveform[:2].float()
    needed = math.ceil((start + samples / SAMPLE_RATE + RESAMPLING_MARGIN) * sample_rate)
    prompt = resample(stereo[:, :needed], sample_rate, SAMPLE_RATE)[:, round(start * SAMPLE_RATE) :][:, :samples]
    if prompt.shape[1] == 0:
        seconds = waveform.shape[1] / sample_rate
        raise AudioXError(
            f"The start time {start:g} s lies beyond the end of the sound, which is {seconds:.2f} s long; "
            "start earlier."
        )
    missing = samples - prompt.shape[1]
    return torch.nn.functional.pad(prompt, (missing, 0) if pad == "front" else (0, missing))


def whole_sound(waveform: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """All of a sound (channels, samples) in the form of an audio prompt: see `prepare_prompt`."""
    samples = max(1, round(waveform.shape[-1] * SAMPLE_RATE / sample_rate))
    return prepare_prompt(waveform, sample_rate, samples=samples, pad="end")


def resample(waveform: torch.Tensor, rate: int, new_rate: int) -> torch.Tensor:
    """Resample (..., samples) by torchaudio's default filter: windowed sinc, Hann, width 6, roll-off 0.99."""
    if rate == new_rate:
        return waveform
    divisor = math.gcd(rate, new_rate)
    old, new = rate // divisor, new_rate // divisor
    if new * (old + 14 * max(old / new, 1)) > LARGEST_RESAMPLING_KERNEL:
        raise AudioXError(
            f"Sound at {rate} samples a second cannot be resampled to {new_rate}: the rates have almost no common "
            "divisor; convert it to a usual rate such as 44100 or 48000 first."
        )
    from torchaudio.functional import resample as torchaudio_resample

    return torchaudio_resample(waveform, rate, new_rate)


def check_waveform(waveform: torch.Tensor, sample_rate: int) -> None:
    """Refuse what is no sound."""
    if waveform.ndim != 2 or waveform.shape[0] == 0:
        raise AudioXError(f"The sound has shape {tuple(waveform.shape)}; expected (channels, samples).")
    if waveform.shape[1] == 0:
        raise AudioXError("The sound has no samples; give one that is longer than 0 s.")
    if not isinstance(sample_rate, int) or sample_rate <= 0:
        raise AudioXError(f"The sample rate is {sample_rate}; expected a whole number above 0, such as 44100.")
    if not torch.isfinite(waveform).all():
        raise AudioXError(
            "The sound holds NaN or infinite samples; it was damaged before it came here, so make it anew."
        )


def write_audio(
    path: str | os.PathLike,
    waveform: torch.Tensor,
    sample_rate: int,
    metadata: Mapping[str, str] | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a sound as .wav (32-bit float, values kept as they are) or .flac (24 bit, clipped at full scale).

    A wav keeps the metadata keys that RIFF has a name for (title, artist, album, comment, copyright, date, genre);
    flac keeps all. The file appears under its name only when it is complete.

    Args:
        waveform: (channels, samples), one or two channels.
        progress: called with (samples done, samples in all); may raise to interrupt.
    """
    check_waveform(waveform, sample_rate)
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in (".wav", ".flac"):
        raise AudioXError(f"Sound cannot be written to {os.fspath(path)!r}; choose a name that ends in .wav or .flac.")
    if waveform.shape[0] not in LAYOUTS:
        raise AudioXError(f"The sound has {waveform.shape[0]} channels; 1 or 2 can be written.")
    codec, sample_format = {".wav": ("pcm_f32le", "flt"), ".flac": ("flac", "s32")}[suffix]
    with written_whole(path) as temporary, av.open(str(temporary), "w") as output:
        output.metadata.update(metadata or {})
        stream = output.add_stream(codec, rate=sample_rate)
        stream.codec_context.layout = LAYOUTS[waveform.shape[0]]
        stream.codec_context.format = sample_format
        for start in range(0, waveform.shape[1], BLOCK_SAMPLES):
            block = waveform[:, start : start + BLOCK_SAMPLES]
            if suffix == ".flac":
                block = block.clamp(-1, 1)
            output.mux(stream.encode(sound_frame(block, sample_rate, start)))
            if progress is not None:
                progress(start + block.shape[1], waveform.shape[1])
        output.mux(stream.encode(None))


def sound_frame(block: torch.Tensor, sample_rate: int, place: int) -> "av.AudioFrame":
    """A PyAV frame of (channels, samples), whose first sample is number `place`."""
    array = np.ascontiguousarray(block.detach().to("cpu", torch.float32).numpy())
    frame = av.AudioFrame.from_ndarray(array, format="fltp", layout=LAYOUTS[array.shape[0]])
    frame.sample_rate, frame.pts, frame.time_base = sample_rate, place, Fraction(1, sample_rate)
    return frame
