"""Reading and writing sound files, and preparing the audio prompt that the conditioner expects."""

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Literal, NamedTuple, cast

import av
import numpy as np
import torch
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from ..errors import AudioXError
from ..lengths import PROMPT_SAMPLES, SAMPLE_RATE
from .files import (
    Source,
    audio_stream,
    check_window,
    encoder_errors,
    open_media,
    packets,
    source_name,
    time_base,
    time_origin,
    written_whole,
)
from .resampling import resample

LAYOUTS = {1: "mono", 2: "stereo"}

HIGHEST_RATE = 2**31 - 1
"""Sample rates are 32 bits wide."""

HIGHEST_FLAC_RATE = 655_350

BLOCK_SAMPLES = 16384
"""Samples handed to an encoder at a time."""

SEEKABLE_FORMAT = "mov"
"""The container family whose timestamps are exact to the sample; others are decoded from the beginning."""


def read_audio(source: Source, *, start: float = 0.0, duration: float | None = None) -> tuple[torch.Tensor, int]:
    """Read the first sound stream of a sound or video file.

    Args:
        source: path or seekable binary file; time 0 is its first sample.
        start, duration: seconds; the part to read.

    Returns:
        float32 (channels, samples), full scale -1..1, and the sample rate.

    Raises:
        AudioXError: no such file, no sound in it, or a start beyond the end.
    """
    check_window(start, duration)
    with open_media(source) as container:
        stream = audio_stream(container, source)
        blocks, end, rate, total = [], 0, 0, 0
        for position, block, rate in sound_blocks(container, stream, first=start):
            first, total = round(start * rate), _stated_length(container, stream, rate)
            last = total if duration is None else min(total, first + round(duration * rate))
            end = position + block.shape[1]
            blocks.append(block[:, max(first - position, 0) : max(min(end, last) - position, 0)].copy())
            if end >= last:
                break
    if end == 0:
        raise AudioXError(f"{source_name(source)} contains no sound that can be decoded; give another file.")
    waveform = torch.from_numpy(np.concatenate(blocks, axis=1))
    if waveform.shape[1] == 0:
        raise AudioXError(
            f"The start time {start:g} s lies beyond the end of the sound, which is {min(end, total) / rate:.2f} s "
            "long; start earlier."
        )
    return waveform, rate


def _stated_length(container: InputContainer, stream: AudioStream, rate: int) -> int:
    """Samples after which only the codec's padding follows, where the container says so."""
    if container.format.name.startswith(SEEKABLE_FORMAT) and stream.duration and stream.time_base:
        return round(stream.duration * stream.time_base * rate)
    return sys.maxsize


class SoundBlock(NamedTuple):
    """float32 samples (channels, count); `position` counts samples at `rate` from the stream's first one."""

    position: int
    samples: np.ndarray
    rate: int


def sound_blocks(
    container: InputContainer,
    stream: AudioStream,
    *,
    first: float | Fraction = 0,
    rate: int | None = None,
    mix_down: bool = False,
) -> Iterator[SoundBlock]:
    """Blocks of a sound stream, all at one rate and with the same channels, whatever changes midway.

    Blocks cover everything from `first` seconds on, and often something before it. The rate is that of the header, and
    the channels those of the first frame; `rate` and `mix_down` (more than one channel become stereo) convert on the
    way.
    """
    origin = time_origin(stream)
    position: int | None = 0
    if first > 1 and container.format.name.startswith(SEEKABLE_FORMAT):
        preroll = Fraction(1, 2)  # lets codecs with memory settle
        container.seek(int((origin + Fraction(first) - preroll) / time_base(stream)), stream=stream)
        position = None  # the first frame tells
    rate = rate or stream.codec_context.sample_rate
    for begin, converted in _converted(container, stream, rate, mix_down):
        if position is None:
            assert begin.pts is not None  # mp4 and mov have a time for every frame
            position = round((begin.pts * time_base(begin) - origin) * converted.sample_rate)
        block = converted.to_ndarray()
        yield SoundBlock(position, block, converted.sample_rate)
        position += block.shape[1]


def _converted(
    container: InputContainer, stream: AudioStream, rate: int, mix_down: bool
) -> Iterator[tuple[av.AudioFrame, av.AudioFrame]]:
    """The first decoded frame, with each one after conversion: planar floats at `rate` (0: its own), its channels."""
    begin: av.AudioFrame | None = None
    converter: av.AudioResampler | None = None
    shape, layout = None, None
    for packet in packets(container, stream):
        for frame in cast(list[av.AudioFrame], packet.decode()):
            if begin is None:
                begin, rate = frame, rate or frame.sample_rate
                layout = "stereo" if mix_down and frame.layout.nb_channels > 1 else frame.layout.name
            if converter is None or shape != _shape(frame):
                if converter is not None:
                    yield from ((begin, rest) for rest in converter.resample(None))
                converter, shape = av.AudioResampler(format="fltp", layout=layout, rate=rate), _shape(frame)
            yield from ((begin, converted) for converted in converter.resample(frame))
    if begin is not None and converter is not None:
        yield from ((begin, rest) for rest in converter.resample(None))


def _shape(frame: av.AudioFrame) -> tuple[str, str, int]:
    """What a converter cannot bear to change."""
    return frame.format.name, frame.layout.name, frame.sample_rate


RESAMPLING_MARGIN = 0.1
"""Seconds after the requested part that are resampled too: more than the filter reaches."""


def prepare_prompt(
    waveform: torch.Tensor,
    sample_rate: int,
    *,
    samples: int = PROMPT_SAMPLES,
    start: float = 0.0,
    pad: Literal["front", "end"] = "front",
) -> torch.Tensor:
    """Bring a sound into the form of an audio prompt: 44.1 kHz, two channels, exactly `samples` long.

    Mono is duplicated; of more than two channels the first two are used. A longer sound is cut; a shorter one is
    padded with silence, in front as in the official code or at its end.

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


def check_waveform(waveform: torch.Tensor, sample_rate: int) -> None:
    """AudioXError for a tensor that is not a sound."""
    if waveform.ndim != 2 or waveform.shape[0] == 0:
        raise AudioXError(f"The sound has shape {tuple(waveform.shape)}; expected (channels, samples).")
    if waveform.shape[1] == 0:
        raise AudioXError("The sound has no samples; give one that is longer than 0 s.")
    check_rate(sample_rate)
    if not torch.isfinite(waveform).all():
        raise AudioXError(
            "The sound contains NaN or infinite samples; it was damaged before it came here, so generate it again."
        )


def check_rate(sample_rate: int) -> None:
    """AudioXError for something that is not a sample rate."""
    if not isinstance(sample_rate, int) or not 0 < sample_rate <= HIGHEST_RATE:
        raise AudioXError(
            f"The sample rate is {sample_rate!r}; expected a whole number from 1 to {HIGHEST_RATE}, such as 44100."
        )


def write_audio(
    path: str | os.PathLike,
    waveform: torch.Tensor,
    sample_rate: int,
    metadata: Mapping[str, str] | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a sound as .wav (32-bit float, no sample changed) or .flac (24 bit, clipped at full scale).

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
    if suffix == ".flac" and sample_rate > HIGHEST_FLAC_RATE:
        raise AudioXError(
            f"The sample rate is {sample_rate}, but flac goes up to {HIGHEST_FLAC_RATE}; write a .wav, or resample it."
        )
    codec, sample_format = {".wav": ("pcm_f32le", "flt"), ".flac": ("flac", "s32")}[suffix]
    with (
        written_whole(path) as temporary,
        encoder_errors(os.path.basename(path)),
        av.open(str(temporary), "w") as output,
    ):
        output.metadata.update(metadata or {})
        stream = add_audio_stream(output, codec, sample_rate)
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


def add_audio_stream(output: OutputContainer, codec: str, sample_rate: int) -> AudioStream:
    """A new sound stream of an output file."""
    return cast(AudioStream, output.add_stream(codec, rate=sample_rate))  # PyAV's types go by literal codec names


def sound_frame(block: torch.Tensor, sample_rate: int, position: int) -> av.AudioFrame:
    """A PyAV frame of (channels, samples) whose first sample is number `position` of the stream."""
    array = np.ascontiguousarray(block.detach().to("cpu", torch.float32).numpy())
    frame = av.AudioFrame.from_ndarray(array, format="fltp", layout=LAYOUTS[array.shape[0]])
    frame.sample_rate, frame.pts, frame.time_base = sample_rate, position, Fraction(1, sample_rate)
    return frame
