"""Slices of a sound that may reach beyond its ends."""

from torch import Tensor
from torch.nn import functional as F


def padded_slice(sound: Tensor, start: int, length: int) -> Tensor:
    """Samples start … start + length - 1 of (channels, samples), silence where the sound has none."""
    length = max(length, 0)
    begin, end = max(start, 0), max(min(start + length, sound.shape[1]), 0)
    if begin >= end:
        return sound.new_zeros(sound.shape[0], length)
    return F.pad(sound[:, begin:end], (begin - start, start + length - end))
