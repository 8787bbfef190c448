"""When something begins in a sound, and how regularly. Sounds are float (channels, samples) at 44.1 kHz."""

from __future__ import annotations

import numpy as np

from ..lengths import SAMPLE_RATE
from .levels import Sound, decibels

HOP = 221
"""Samples from one value of an envelope to the next: 5 ms."""

HOP_SECONDS = HOP / SAMPLE_RATE
RISE_DB = 10.0
"""How far the level has to rise within some 50 ms to be an onset."""

BELOW_LOUDEST_DB = 16.0
"""Onsets more than this below the loudest one are artefacts, not events."""

REFRACTORY = 0.1
"""Seconds after an onset in which no other one is found."""


def envelope(sound: Sound, seconds: float) -> np.ndarray:
    """Amplitude every HOP samples, smoothed by a Hann window of `seconds`; value k stands for time k * HOP_SECONDS."""
    power = np.square(sound, dtype=np.float64).sum(axis=0)
    count = len(power) // HOP
    fine = power[: count * HOP].reshape(count, HOP).mean(axis=1)
    kernel = np.hanning(max(3, round(seconds / HOP_SECONDS) | 1) + 2)
    return np.sqrt(np.convolve(fine, kernel / kernel.sum(), mode="same"))


def modulation_depth(sound: Sound) -> float:
    """How deep the level dips, in dB: large for what repeats with gaps, small for what is steady."""
    levels = decibels(envelope(sound, 0.045))
    levels = levels[8:-8]  # the smoothing window sticks out over the ends
    return float(np.percentile(levels, 97) - np.percentile(levels, 20)) if len(levels) else 0.0


def find_onsets(sound: Sound, floor_db: float = -46.0) -> np.ndarray:
    """Times in seconds at which something begins, correct to about 10 ms for sharp attacks.

    An onset is a rise of the level by RISE_DB within about 50 ms to within BELOW_LOUDEST_DB of the loudest, above
    floor_db of full scale; a sound that is there at time 0 begins there.
    """
    smooth = envelope(sound, 0.02)
    if len(smooth) < 30:
        return np.empty(0)
    levels = decibels(smooth)
    loudest = np.percentile(levels, 99.5)
    levels = np.maximum(levels, max(loudest - 35, floor_db))
    padded = np.concatenate((np.full(16, levels.min()), levels, np.full(10, levels.min())))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 6)
    after = windows[16 : 16 + len(levels)].max(axis=1)  # the next 30 ms
    before = np.lib.stride_tricks.sliding_window_view(padded, 10)[: len(levels)].mean(axis=1)  # 80 to 30 ms ago
    rise = np.where(after >= max(loudest - BELOW_LOUDEST_DB, floor_db), after - before, 0)
    return refine_times(envelope(sound, 0.008), pick_peaks(rise))


def pick_peaks(rise: np.ndarray) -> list[int]:
    """Indices of the local maxima of a rise above RISE_DB, found from the largest down, REFRACTORY apart."""
    apart = round(REFRACTORY / HOP_SECONDS)
    remaining, indices = rise.copy(), []
    while remaining.max() >= RISE_DB:
        best = int(remaining.argmax())
        indices.append(best)
        remaining[max(0, best - apart) : best + apart + 1] = 0
    return sorted(indices)


def refine_times(fine: np.ndarray, indices: list[int]) -> np.ndarray:
    """Times in seconds at which the amplitude passes half of what it reaches around each index."""
    times = []
    for index in indices:
        first = max(0, index - 8)
        part = fine[first : index + 14]
        peak = int(part[: index - first + 12].argmax())
        low = part[: peak + 1].min()
        half = low + 0.5 * (part[peak] - low)
        below = np.nonzero(part[:peak] < half)[0]
        times.append((first + (below[-1] + 1 if len(below) else 0)) * HOP_SECONDS)
    return np.array(times)


def median_period(times: np.ndarray) -> float:
    """Median distance of neighbouring onsets in seconds; infinite for fewer than three."""
    return float(np.median(np.diff(times))) if len(times) > 2 else float("inf")
