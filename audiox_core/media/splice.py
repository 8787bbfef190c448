"""Sound of which a part is kept: room around it, the frames to make, and the way back into the original."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import AudioXError
from ..lengths import SAMPLE_RATE, SAMPLES_PER_LATENT, check_length, latent_frames, samples_from_seconds

FADE_SAMPLES = 2205
"""Samples, 50 ms, within a range over which the sound made there passes into the one kept around it."""

MIRROR_SAMPLES = 16 * SAMPLES_PER_LATENT
"""Samples at either end that are mirrored outwards: more than the VAE's encoder looks at."""


@dataclass(frozen=True)
class Placed:
    """A sound to work on. padded (B, 2, frames * 2048): with room around it, up to what windows hold.

    samples: how long the result shall be; ranges: the room, as (first, last) samples.
    """

    padded: Tensor
    samples: int
    ranges: tuple[tuple[int, int], ...]

    @property
    def original(self) -> Tensor:
        """The sound (B, 2, samples) without what windows add."""
        return self.padded[..., : self.samples]


def place(sound: Tensor, before: float = 0.0, after: float = 0.0) -> Placed:
    """Put a sound (B, 2, samples) at 44.1 kHz between seconds of room; AudioXError where that is too long."""
    first, length = samples_from_seconds(before), sound.shape[-1]
    samples = first + length + samples_from_seconds(after)
    check_length(samples / SAMPLE_RATE)
    held = latent_frames(samples / SAMPLE_RATE) * SAMPLES_PER_LATENT
    room = ((0, first), (first + length, samples))
    return Placed(with_room(sound, first, held - first - length), samples, tuple(r for r in room if r[0] < r[1]))


def with_room(sound: Tensor, before: int, after: int) -> Tensor:
    """A sound (B, 2, samples) with room around it.

    The room begins with the sound mirrored: where it simply broke off, the last frames kept would say so.
    """
    edge = min(MIRROR_SAMPLES, sound.shape[-1] - 1)
    left, right = min(before, edge), min(after, edge)
    mirrored = F.pad(sound, (left, right), mode="reflect")
    return F.pad(mirrored, (before - left, after - right))


def made_frames(ranges: Sequence[tuple[int, int]], samples: int, frames: int) -> Tensor:
    """Mask (frames,) of a sound: 1 for frames that ranges (first, last) of samples touch or that lie after it."""
    mask = torch.zeros(frames)
    for first, last in (*ranges, (samples, frames * SAMPLES_PER_LATENT)):
        if first < last:
            mask[first // SAMPLES_PER_LATENT : math.ceil(last / SAMPLES_PER_LATENT)] = 1
    return mask


def checked_range(start: float, end: float, samples: int) -> tuple[int, int]:
    """(first, last) samples of a range in seconds of a sound, an end of 0 being the sound's; AudioXError outside."""
    first, last = samples_from_seconds(start), samples_from_seconds(end) if end else samples
    if not 0 <= first < min(last, samples):
        raise AudioXError(
            f"The range is {start:g} to {end:g} s of a sound of {samples / SAMPLE_RATE:.2f} s, expected a start before "
            "its end and within the sound: change start or end."
        )
    return first, min(last, samples)


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
