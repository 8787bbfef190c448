"""Sound of which a part is kept: room around it, the frames to make, and the way back into the original."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..lengths import SAMPLES_PER_LATENT

FADE_SAMPLES = 2205
"""Samples, 50 ms, within a range over which the sound made there passes into the one kept around it."""

MIRROR_SAMPLES = 16 * SAMPLES_PER_LATENT
"""Samples at either end that are mirrored outwards: more than the VAE's encoder looks at."""


def with_room(sound: Tensor, before: int, after: int) -> Tensor:
    """A sound (B, 2, samples) with room around it.

    The room begins with the sound mirrored: where it simply broke off, the last frames kept would say so.
    """
    mirrored = sound
    edge = min(MIRROR_SAMPLES, sound.shape[-1] - 1)
    left, right = min(before, edge), min(after, edge)
    mirrored = F.pad(sound, (left, right), mode="reflect")
    return F.pad(mirrored, (before - left, after - right))


def made_frames(ranges: Sequence[tuple[int, int]], frames: int) -> Tensor:
    """Mask (frames,): 1 for the latent frames that ranges (first, last) of samples touch."""
    mask = torch.zeros(frames)
    for first, last in ranges:
        if first < last:
            mask[first // SAMPLES_PER_LATENT : math.ceil(last / SAMPLES_PER_LATENT)] = 1
    return mask


def splice(made: Tensor, original: Tensor, ranges: Sequence[tuple[int, int]]) -> Tensor:
    """The original (B, 2, samples) with ranges (first, last) of it replaced by the sound made, of the same shape.

    Outside the ranges the result is the original to the last bit. A sound made that would clip is scaled down.
    """
    share = made_share(ranges, made.shape[-1]).to(made)
    peak = (made * (share > 0)).abs().amax(dim=(1, 2), keepdim=True).clamp(min=1.0)
    return torch.where(share > 0, original + share * (made / peak - original), original)


def made_share(ranges: Sequence[tuple[int, int]], samples: int) -> Tensor:
    """How much of each sample (samples,) is made: 1 in a range, ramps at its edges but not at the sound's ends."""
    share = torch.zeros(samples)
    for first, last in merged(ranges):
        last = min(last, samples)
        inside = torch.arange(last - first, dtype=torch.float32)
        rise = (inside + 1) / FADE_SAMPLES if first > 0 else torch.ones_like(inside)
        fall = (last - first - inside) / FADE_SAMPLES if last < samples else torch.ones_like(inside)
        share[first:last] = rise.minimum(fall).clamp(max=1)
    return share


def merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same ranges in order, those that touch made one."""
    out: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1]:
            out[-1] = (out[-1][0], max(last, out[-1][1]))
        else:
            out.append((first, last))
    return out
