"""The last touches to decoded sound: length and level."""

from __future__ import annotations

from torch import Tensor

from ..lengths import samples_from_seconds

SILENCE_PEAK = 1e-8
"""Sound below this peak is left alone when normalising: there is nothing in it to make louder."""


def finish(waveform: Tensor, *, seconds: float, normalize: bool = False) -> Tensor:
    """Trim decoded sound (B, channels, samples) to `seconds` and keep each item within -1..1.

    An item that would clip is scaled down to a peak of 1, all channels alike; `normalize` scales every item to it.
    """
    waveform = waveform[..., : samples_from_seconds(seconds)]
    peak = waveform.abs().amax(dim=(1, 2), keepdim=True)
    return waveform / peak.clamp(min=SILENCE_PEAK if normalize else 1.0)
