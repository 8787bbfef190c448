"""Loudness and true peak of a sound by ITU-R BS.1770-4, and the gain that brings it to a loudness.

Why our own: the filters of torchaudio.functional.loudness clip at full scale, so that a 997 Hz sine of 0 dBFS in one
channel reads -3.28 LUFS instead of -3.01 and a loud one of 8 kHz 2.8 LU too little; silence gives NaN, sound shorter
than a block RuntimeError, and there is no 5.1. FFmpeg's ebur128 filter agrees with this module at 44.1 and 48 kHz, but
PyAV 17 and older don't expose its figures. Neither is needed: a filter is a product in the frequency domain, and
oversampling is a longer inverse transform.
"""

import logging
import math
from collections.abc import Iterator

import torch

from ..errors import AudioXError
from ..media.slicing import padded_slice

STAGES = (
    ((1.53512485958697, -2.69169619810638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585)),
    ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)),
)
"""K-weighting: numerator and denominator of the two filters as published, for STAGES_RATE samples a second."""

STAGES_RATE = 48000

CHANNEL_WEIGHTS = {
    1: (1.0,),
    2: (1.0, 1.0),
    5: (1.0, 1.0, 1.0, 1.41, 1.41),  # L R C Ls Rs
    6: (1.0, 1.0, 1.0, 0.0, 1.41, 1.41),  # L R C LFE Ls Rs
}

OFFSET = -0.691
"""LUFS of a power of 1; makes up for what K-weighting adds at 997 Hz."""

GATE = -70.0
"""LUFS; quieter blocks don't count."""

RELATIVE_GATE = 0.1
"""Blocks with less than this share of the mean power (-10 LU) do not count either."""

STEPS_A_SECOND, BLOCK_STEPS = 10, 4
"""A block is 400 ms long, and every 100 ms begins one."""

CHUNK_STEPS, MARGIN_STEPS = 50, 5
"""Sound is measured in chunks, so that a long one needs little memory; the filters fade within the margin."""

PADDED_STEPS = CHUNK_STEPS + 2 * MARGIN_STEPS

OVERSAMPLING = 4

HIGHEST_PEAK_DB = -1.0
"""True peak up to which sound is made louder, in dBTP, as EBU R 128 has it."""


def loudness(waveform: torch.Tensor, sample_rate: int) -> float:
    """Integrated loudness in LUFS of (channels, samples) at any rate, gated; above -70.

    Minus infinity for silence (nothing above the gate) and for sound shorter than a block of 0.4 s. What follows
    the last whole step of 0.1 s doesn't count. One channel is one loudspeaker: on two it is 3 LU louder.

    Raises:
        AudioXError: other than 1, 2, 5 (L R C Ls Rs) or 6 (L R C LFE Ls Rs) channels.
    """
    weights = CHANNEL_WEIGHTS.get(waveform.shape[0])
    if weights is None:
        raise AudioXError(f"The sound has {waveform.shape[0]} channels; loudness is defined for 1, 2, 5 and 6.")
    step = samples_of_step(sample_rate)
    steps = waveform.shape[1] // step
    if steps < BLOCK_STEPS:
        return -math.inf
    gains = k_weighting(torch.fft.rfftfreq(PADDED_STEPS * step, 1 / sample_rate, dtype=torch.float64))
    powers = []
    for spectrum in _spectra(waveform, step):
        weighted = torch.fft.irfft(spectrum * gains, PADDED_STEPS * step).unflatten(1, (PADDED_STEPS, step))
        powers.append(weighted[:, MARGIN_STEPS:-MARGIN_STEPS].square().mean(2))  # (channels, CHUNK_STEPS)
    power = torch.tensor(weights, dtype=torch.float64) @ torch.cat(powers, 1)[:, :steps]
    blocks = power.unfold(0, BLOCK_STEPS, 1).mean(1)
    blocks = blocks[blocks > 10 ** ((GATE - OFFSET) / 10)]
    blocks = blocks[blocks > RELATIVE_GATE * blocks.mean()]
    return OFFSET + 10 * math.log10(blocks.mean().item()) if len(blocks) else -math.inf


def k_weighting(frequencies: torch.Tensor) -> torch.Tensor:
    """Complex gain of K-weighting at frequencies in hertz.

    This is the published filters' response whatever the rate of the sound; above their 24 kHz it stays as it is there.
    """
    delay = torch.exp(-2j * math.pi * frequencies.clamp(max=STAGES_RATE / 2) / STAGES_RATE)
    gains = torch.ones_like(delay)
    for numerator, denominator in STAGES:
        above, below = (c[0] + c[1] * delay + c[2] * delay**2 for c in (numerator, denominator))
        gains = gains * above / below
    return gains


def true_peak(waveform: torch.Tensor, sample_rate: int) -> float:
    """Largest absolute value of (channels, samples), 1 for full scale, between the samples too: 4 times oversampled."""
    step, peak = samples_of_step(sample_rate), 0.0
    margin = OVERSAMPLING * MARGIN_STEPS * step
    for spectrum in _spectra(waveform, step):
        spectrum[:, -1] /= 2  # half the sample rate is its own mirror image, and no longer so after oversampling
        dense = OVERSAMPLING * torch.fft.irfft(spectrum, OVERSAMPLING * PADDED_STEPS * step)
        peak = max(peak, dense[:, margin:-margin].abs().max().item())
    return peak


def samples_of_step(sample_rate: int) -> int:
    return math.ceil(sample_rate / STEPS_A_SECOND)


def _spectra(waveform: torch.Tensor, step: int) -> Iterator[torch.Tensor]:
    """Spectra of the chunks, each PADDED_STEPS long: with a margin of its neighbours at both ends."""
    for start in range(0, waveform.shape[1], CHUNK_STEPS * step):
        chunk = padded_slice(waveform, start - MARGIN_STEPS * step, PADDED_STEPS * step)
        yield torch.fft.rfft(chunk.detach().to("cpu", torch.float64))


def check_target(target: float) -> None:
    """AudioXError for a loudness that no sound can be brought to."""
    if not GATE <= target < 0:
        raise AudioXError(
            f"The requested loudness is {target:g} LUFS; choose one from {GATE:g} to below 0, such as -23 or -14."
        )


def loudness_gain(waveform: torch.Tensor, sample_rate: int, target: float) -> float:
    """Factor for all samples of (channels, samples) that brings the sound to `target` LUFS.

    The factor is smaller, with a line in the log, where the true peak would exceed -1 dBTP; the loudness then stays
    below the target. Sound without a loudness (see `loudness`) keeps its level: the factor is 1.

    Raises:
        AudioXError: a target outside -70 to below 0, or channels that `loudness` does not take.
    """
    check_target(target)
    measured = loudness(waveform, sample_rate)
    log = logging.getLogger(__name__)
    if measured == -math.inf:
        log.warning("The sound is silent or shorter than 0.4 s and has no loudness; its level stays as it is.")
        return 1.0
    needed = 10 ** ((target - measured) / 20)
    most = 10 ** (HIGHEST_PEAK_DB / 20) / true_peak(waveform, sample_rate)
    if most < needed:
        log.warning(
            "The sound gets a loudness of %.1f LUFS instead of %.1f: more would bring its peaks above %g dBTP.",
            measured + 20 * math.log10(most),
            target,
            HIGHEST_PEAK_DB,
        )
    return min(needed, most)
