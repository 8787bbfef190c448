"""Spectrograms as pictures: time to the right, pitch upwards, level as colour."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..lengths import SAMPLE_RATE
from ..measure.spectra import mel_levels

RANGE_DB = 70.0
"""Levels below the loudest that a picture shows."""

QUIETEST_TOP_DB = -45.0
"""A sound quieter than this is not made to look louder: silence stays dark."""

COLOURS = np.array(
    [
        (4, 4, 18),
        (28, 16, 68),
        (79, 18, 123),
        (137, 34, 106),
        (187, 55, 84),
        (227, 89, 51),
        (249, 140, 10),
        (249, 201, 50),
        (252, 255, 200),
    ],
    np.float32,
)
"""From quiet to loud: lightness rises all the way, so that the picture also reads in grey."""


def spectrogram_picture(sound: Any, width: int, height: int, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """A picture uint8 (height, width, 3) of a sound (channels, samples): mel axis upwards, 70 dB from dark to light.

    Raises:
        AudioXError: not (channels, samples), or no samples.
    """
    levels = mel_levels(sound, width, height, sample_rate)
    top = max(float(levels.max()), QUIETEST_TOP_DB)
    return coloured(np.clip((levels - top) / RANGE_DB + 1, 0, 1)[::-1])


def coloured(values: np.ndarray) -> np.ndarray:
    """Colours uint8 (..., 3) of values 0..1."""
    stops = np.linspace(0, 1, len(COLOURS))
    return np.stack([np.interp(values, stops, channel) for channel in COLOURS.T], axis=-1).round().astype(np.uint8)
