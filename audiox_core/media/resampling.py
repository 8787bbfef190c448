"""Resampling by windowed-sinc interpolation.

Source: J. O. Smith, "Digital Audio Resampling", ccrma.stanford.edu/~jos/resample. The filter is the one that AudioX was
trained with, `torchaudio.functional.resample` at its defaults: a sinc under a Hann window that ends at its sixth zero
crossing on either side, with its corner at 0.99 of the lower of both Nyquist frequencies. Results agree to float32
rounding. We do without torchaudio itself: it does not import where its build does not match torch's, and ComfyUI is
dropping it.

How much an input sample adds to an output sample depends only on the time between them. With rates of `old` to `new`
(without their common divisor) these times repeat after `new` output samples, so there are `new` short filters, the
phases. Neighbouring phases look at nearly the same input samples: a group of them is one matrix product over frames of
the sound that begin `old` samples apart.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import AudioXError
from .slicing import padded_slice

ZERO_CROSSINGS = 6
ROLLOFF = 0.99

PHASES_A_GROUP = 64
"""More would multiply by more zeros, fewer would make the matrix products too small to be fast."""

LEAST_STEP, MOST_PHASES = 64, 1024
"""Rates in a simple ratio, such as 1 to 2, are multiplied until frames begin LEAST_STEP apart and overlap less."""

COARSE_RATES = 1000
"""Rates without their common divisor, up to which float32 is exact enough for the filters: 48 to 44.1 kHz has 160."""

BLOCK_SAMPLES = 1 << 18
"""Input samples converted at a time, so that a long sound needs little memory beside its result."""

MOST_WEIGHTS = 30_000_000
"""Numbers in all filters together. Only rates of a megahertz without a common divisor need more: gigabytes."""


@dataclass(frozen=True)
class PhaseGroup:
    """Filters of neighbouring phases: `weights` (taps, phases) for frames that begin at input sample `offset`.

    phase: number of the first one; offset: counted from the first sample that phase 0 looks at.
    """

    phase: int
    offset: int
    weights: Tensor


def resample(waveform: Tensor, rate: int, new_rate: int) -> Tensor:
    """Resample (..., samples) of floats from `rate` to `new_rate` samples a second.

    The result has ceil(samples * new_rate / rate) samples; the first ones of both stand for the same time.

    Raises:
        AudioXError: rates of a megahertz or more with almost no common divisor.
    """
    if rate == new_rate:
        return waveform
    old, new = rate // math.gcd(rate, new_rate), new_rate // math.gcd(rate, new_rate)
    reach = math.ceil(ZERO_CROSSINGS * max(1.0, old / new) / ROLLOFF)  # input samples seen on either side
    if PHASES_A_GROUP * old + new * 2 * (reach + 1) > MOST_WEIGHTS:
        raise AudioXError(
            f"Sound at {rate} samples a second cannot be resampled to {new_rate}: the rates have almost no common "
            "divisor; convert it to a usual rate such as 44100 or 48000 first."
        )
    multiple = max(1, min(LEAST_STEP // old, MOST_PHASES // new))
    groups = phase_groups(old, new, reach, multiple, waveform)
    old, new = old * multiple, new * multiple
    sounds = waveform.reshape(-1, waveform.shape[-1])  # (channels, samples)
    samples = -(-sounds.shape[1] * new // old)
    result = waveform.new_empty(len(sounds), samples)
    periods = min(math.ceil(samples / new), max(1, BLOCK_SAMPLES // old))  # of `old` input and `new` output samples
    spare = math.ceil(2 * (reach + 1) / old)  # periods that the last frame reaches into
    for first in range(0, math.ceil(samples / new), periods):
        block = padded_slice(sounds, first * old - reach, (periods + spare) * old)
        part = result[:, first * new : (first + periods) * new]
        part.copy_(convert(block, old, new, groups)[:, : part.shape[1]])
    return result.view(*waveform.shape[:-1], samples)


def convert(block: Tensor, old: int, new: int, groups: list[PhaseGroup]) -> Tensor:
    """All periods of a block (channels, periods * old), as (channels, periods * new); the last ones are not filled."""
    channels, periods = len(block), block.shape[1] // old
    converted = block.new_empty(channels * periods, new)
    samples = block.reshape(-1)  # one matrix product serves all channels; frames across their seams are not used
    for group in groups:
        taps, phases = group.weights.shape
        frames = samples[group.offset :].unfold(0, taps, old)  # (frames, taps)
        converted[: len(frames), group.phase : group.phase + phases] = frames @ group.weights
    return converted.view(channels, periods * new)


def phase_groups(old: int, new: int, reach: int, multiple: int, like: Tensor) -> list[PhaseGroup]:
    """The filters of `multiple` periods of rates `old` to `new`, in the type and on the device of `like`."""
    groups = []
    for phase in range(0, multiple * new, PHASES_A_GROUP):
        phases = torch.arange(phase, min(phase + PHASES_A_GROUP, multiple * new))
        offset = phase * old // new
        taps = int(phases[-1]) * old // new - offset + 2 * (reach + 1)
        positions = torch.arange(offset - reach, offset - reach + taps)
        weights = filter_weights(positions[:, None], phases, old, new)
        groups.append(PhaseGroup(phase, offset, weights.to(like)))
    return groups


def filter_weights(positions: Tensor, phases: Tensor, old: int, new: int) -> Tensor:
    """How much the input sample at each position (taps, 1) adds to each phase (phases,): (taps, phases)."""
    # torchaudio computes in float32, and usual rates have to sound as they do there; between rates of which hardly
    # anything divides both, that would be noise at -50 dB.
    dtype = torch.float32 if max(old, new) <= COARSE_RATES else torch.float64
    periods = phases.div(new, rounding_mode="floor")
    inputs = (positions - periods * old).to(dtype) / old
    outputs = (phases - periods * new).to(dtype) / new
    corner = ROLLOFF * min(old, new)
    crossings = ((inputs - outputs) * corner).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(crossings * (math.pi / (2 * ZERO_CROSSINGS))) ** 2
    return torch.sinc(crossings) * window * (corner / old)
