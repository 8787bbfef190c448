"""Reading and writing sound files, and preparing the audio prompt that the conditioner expects."""

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Literal, cast

import av
import numpy as np
import torch
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from ..errors import AudioXError
from ..lengths import PROMPT_SAMPLES, SAMPLE_RATE
from .files import Source, audio_stream, check_window, open_media, source_name, time_base, time_origin, written_whole
from .resampling import resample

LAYOUTS = {1: "mono", 2: "stereo"}

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
        rate = stream.codec_context.sample_rate
        first = round(start * rate)
        total = _stated_length(container, stream)
        last = total if duration is None else min(total, first + round(duration * rate))
        blocks, end = [], 0
        for position, block in sound_blocks(container, stream, first=start):
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


def _stated_length(container: InputContainer, stream: AudioStream) -> int:
    """Samples after which only the codec's padding follows, where the container says so."""
    if container.format.name.startswith(SEEKABLE_FORMAT) and stream.duration and stream.time_base:
        return round(stream.duration * stream.time_base * stream.codec_context.sample_rate)
    return sys.maxsize


def sound_blocks(
    container: InputContainer,
    stream: AudioStream,
    *,
    first: float | Fraction = 0,
    rate: int | None = None,
    layout: str | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """(position, float32 (channels, samples)) of a sound stream, block after block.

    The position counts samples from the stream's first one. Blocks cover everything from `first` seconds on, and often
    something before it. `rate` and `layout` convert on the way.
    """
    origin = time_origin(stream)
    position: int | None = 0
    if first > 1 and container.format.name.startswith(SEEKABLE_FORMAT):
        preroll = Fraction(1, 2)  # lets codecs with memory settle
        container.seek(int((origin + Fraction(first) - preroll) / time_base(stream)), stream=stream)
        position = None  # the first frame tells
    converter = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    rate = rate or stream.codec_context.sample_rate
    for frame in _frames_and_end(container, stream):
        if position is None:
            assert frame is not None and frame.pts is not None  # mp4 and mov have a time for every frame
            position = round((frame.pts * time_base(frame) - origin) * rate)
        for converted in converter.resample(frame):
            block = converted.to_ndarray()
            yield position, block
            position += block.shape[1]


def _frames_and_end(container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame | None]:
    """Decoded frames, then None, which flushes a converter; a converter that was given no frame cannot be flushed."""
    decoded = False
    for frame in container.decode(stream):
        decoded = True
        yield frame
    if decoded:
        yield None


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
    if not isinstance(sample_rate, int) or sample_rate <= 0:
        raise AudioXError(f"The sample rate is {sample_rate}; expected a whole number above 0, such as 44100.")
    if not torch.isfinite(waveform).all():
        raise AudioXError(
            "The sound contains NaN or infinite samples; it was damaged before it came here, so generate it again."
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
    codec, sample_format = {".wav": ("pcm_f32le", "flt"), ".flac": ("flac", "s32")}[suffix]
    with written_whole(path) as temporary, av.open(str(temporary), "w") as output:
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
