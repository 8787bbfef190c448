"""Spectrograms of sounds, as numbers and as pictures: time to the right, pitch upwards, level as colour."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import AudioXError
from ..lengths import SAMPLE_RATE

SIZE = 2048
LOWEST_HERTZ, HIGHEST_HERTZ = 40.0, 16000.0
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


def mel(hertz: np.ndarray | float) -> np.ndarray:
    """The mel scale: pitch as ears space it."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def mel_edges(bands: int) -> np.ndarray:
    """Hertz (bands + 1) between which the bands lie, from low to high."""
    places = np.linspace(mel(LOWEST_HERTZ), mel(HIGHEST_HERTZ), bands + 1)
    return 700 * (10 ** (places / 2595) - 1)


def mel_levels(sound: Any, columns: int, bands: int, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Level in dB of full scale, float (bands, columns), low bands first.

    sound: (channels, samples), an array or a tensor on the CPU; powers add up over channels.

    Raises:
        AudioXError: not (channels, samples), or no samples.
    """
    sound = np.asarray(sound, dtype=np.float32)
    if sound.ndim != 2 or 0 in sound.shape:
        raise AudioXError(f"The sound has the shape {tuple(sound.shape)}, expected (channels, samples).")
    padded = np.pad(sound, ((0, 0), (SIZE // 2, SIZE // 2)))
    starts = np.linspace(0, sound.shape[1] - 1, columns).astype(int)
    frames = np.stack([padded[:, start : start + SIZE] for start in starts], axis=1)  # (channels, columns, SIZE)
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(SIZE).astype(np.float32)))).sum(axis=0)
    # The power between two frequencies, also where a band is narrower than a bin: differences of the running sum.
    edges = mel_edges(bands) * SIZE / sample_rate + 0.5
    sums = np.concatenate((np.zeros((columns, 1)), power.cumsum(axis=1)), axis=1)
    bins = np.arange(sums.shape[1])
    at_edges = np.stack([np.interp(edges, bins, row) for row in sums])
    scale = (SIZE / 4) ** 2  # of a full-scale sine's peak under the window
    return 10 * np.log10(np.diff(at_edges, axis=1).T / scale + 1e-12)


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
    places = np.linspace(0, 1, len(COLOURS))
    return np.stack([np.interp(values, places, channel) for channel in COLOURS.T], axis=-1).round().astype(np.uint8)
