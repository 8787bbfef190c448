"""The final level of decoded sound."""

from __future__ import annotations

from torch import Tensor

SILENCE_PEAK = 1e-8
"""Sound below this peak is not normalised: there is nothing in it to make louder."""


def limit_peak(waveform: Tensor, *, normalize: bool = False) -> Tensor:
    """Keep each item of a sound (B, channels, samples) within -1..1, in place.

    An item that would clip is scaled down to a peak of 1, all channels alike; `normalize` scales every item to it.
    """
    low, high = waveform.amin(dim=(1, 2), keepdim=True), waveform.amax(dim=(1, 2), keepdim=True)
    peak = high.maximum(-low).clamp(min=SILENCE_PEAK if normalize else 1.0)
    return waveform if (peak == 1).all() else waveform.div_(peak)
