"""What a sound is like in a few coarse numbers, so that two people can see whether they have the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..lengths import SAMPLE_RATE
from ..measure.loudness import loudness
from ..measure.onsets import find_onsets
from ..measure.spectra import mean_spectrum, power_share

EDGES = (40, 250, 500, 1000, 2000, 4000, 12000)
"""Hertz between which the shares of power are counted."""

ONSETS = 6
"""As many onsets are listed."""

LOUDNESS_SLACK, CENTROID_SLACK = 1.5, 0.15
"""Difference in LU, and relative difference of the centroid, within which sounds count as the same. Other types and
other devices round differently, which four steps of sampling enlarge."""


@dataclass(frozen=True)
class Fingerprint:
    """loudness: LUFS. centroid: hertz. shares: percent of the power between EDGES. onsets: seconds."""

    loudness: float
    centroid: float
    shares: tuple[int, ...]
    onsets: tuple[float, ...]

    @classmethod
    def of(cls, sound: Tensor) -> Fingerprint:
        """Of a sound (2, samples) at 44.1 kHz on the CPU."""
        samples = sound.numpy()
        hertz, shares = mean_spectrum(samples)
        return cls(
            loudness=round(loudness(sound, SAMPLE_RATE), 1),
            centroid=round(float((hertz * shares).sum()), -1),
            shares=tuple(round(100 * power_share(hertz, shares, low, high)) for low, high in pairwise(EDGES)),
            onsets=tuple(round(float(time), 2) for time in find_onsets(samples)[:ONSETS]),
        )

    @property
    def words(self) -> str:
        """One line."""
        bands = " ".join(f"{share}%" for share in self.shares)
        onsets = ", ".join(f"{time:.2f}" for time in self.onsets) or "none"
        return (
            f"{self.loudness:.1f} LUFS, centroid {self.centroid:.0f} Hz, power between {EDGES[0]} and {EDGES[-1]} Hz: "
            f"{bands}, onsets at {onsets} s"
        )

    @property
    def values(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def resembles(self, expected: Mapping[str, Any]) -> bool:
        """Whether loudness and centroid are about those of another fingerprint's values."""
        loud = abs(self.loudness - expected["loudness"]) <= LOUDNESS_SLACK  # false for silence
        return loud and abs(self.centroid / expected["centroid"] - 1) <= CENTROID_SLACK


def is_sound(sound: Tensor) -> bool:
    """Whether it is finite and not silent."""
    return bool(torch.isfinite(sound).all()) and sound.abs().max().item() > 1e-4
