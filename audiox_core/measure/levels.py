"""Levels of a sound, as float (channels, samples) with a full scale of -1..1.

Powers add up over channels, so that a sound measures alike from the left, from the right, or out of phase.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import AudioXError
from ..lengths import SAMPLE_RATE

Sound = np.ndarray
"""float (channels, samples), full scale -1..1."""

SMALLEST_POWER = 1e-12
"""Powers below this count as this: -120 dB."""

SIDE_DB = 6.0
"""dB by which one channel has to be louder for a sound to come from its side."""


def as_sound(sound: Any) -> Sound:
    """An array, or a tensor on the CPU, as float32 (channels, samples).

    Raises:
        AudioXError: not (channels, samples), or no samples.
    """
    sound = np.asarray(sound, dtype=np.float32)
    if sound.ndim != 2 or 0 in sound.shape:
        raise AudioXError(f"The sound has the shape {tuple(sound.shape)}, expected (channels, samples).")
    return sound


def excerpt(sound: Sound, start: float, end: float) -> Sound:
    """The part of a sound at 44.1 kHz between two times in seconds."""
    return sound[:, round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]


def rms_level(sound: Sound) -> float:
    """Root mean square of the power of all channels together."""
    return float(np.sqrt(np.square(sound, dtype=np.float64).sum(axis=0).mean()))


def decibels(amplitude: np.ndarray) -> np.ndarray:
    """dB of full scale of amplitudes; -120 for silence."""
    return 20 * np.log10(np.maximum(amplitude, SMALLEST_POWER**0.5))


def side(sound: Sound) -> str:
    """left or right where that channel of (2, samples) is more than 6 dB louder than the other, else centre."""
    left, right = (10 * np.log10(np.square(channel, dtype=np.float64).mean() + SMALLEST_POWER) for channel in sound)
    return "left" if left - right > SIDE_DB else "right" if right - left > SIDE_DB else "centre"
