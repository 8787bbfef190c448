"""Editing a sound: padding around it, the frames to regenerate, and splicing the result into the original."""

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
"""Samples (50 ms) inside a range over which the generated sound passes into the original around it."""

MIRROR_SAMPLES = 16 * SAMPLES_PER_LATENT
"""Samples mirrored outwards at either end: more than the VAE's encoder looks at."""


@dataclass(frozen=True)
class PaddedSound:
    """A sound to edit, with padding around it. waveform (B, 2, frames * 2048): padded to whole windows.

    samples: length of the result; ranges: the padding within it, as (first, last) samples.
    """

    waveform: Tensor
    samples: int
    ranges: tuple[tuple[int, int], ...]

    @property
    def original(self) -> Tensor:
        """The sound (B, 2, samples) without what windows add."""
        return self.waveform[..., : self.samples]


def pad_sound(sound: Tensor, before: float = 0.0, after: float = 0.0) -> PaddedSound:
    """Pad a sound (B, 2, samples) at 44.1 kHz by seconds at either end; AudioXError where that is too long."""
    first, length = samples_from_seconds(before), sound.shape[-1]
    samples = first + length + samples_from_seconds(after)
    check_length(samples / SAMPLE_RATE)
    whole = latent_frames(samples / SAMPLE_RATE) * SAMPLES_PER_LATENT
    ranges = tuple((start, end) for start, end in ((0, first), (first + length, samples)) if start < end)
    return PaddedSound(mirror_pad(sound, first, whole - first - length), samples, ranges)


def mirror_pad(sound: Tensor, before: int, after: int) -> Tensor:
    """A sound (B, 2, samples) with samples before and after it: first its own mirror image, then silence.

    With silence alone, the last source frames would encode a sound that breaks off.
    """
    edge = min(MIRROR_SAMPLES, sound.shape[-1] - 1)
    left, right = min(before, edge), min(after, edge)
    mirrored = F.pad(sound, (left, right), mode="reflect")
    return F.pad(mirrored, (before - left, after - right))


def regenerated_frames(ranges: Sequence[tuple[int, int]], samples: int, frames: int) -> Tensor:
    """Mask (frames,): 1 for frames that touch one of the ranges (first, last) of samples or lie behind the sound."""
    mask = torch.zeros(frames)
    for first, last in (*ranges, (samples, frames * SAMPLES_PER_LATENT)):
        if first < last:
            mask[first // SAMPLES_PER_LATENT : math.ceil(last / SAMPLES_PER_LATENT)] = 1
    return mask


def checked_range(start: float, end: float, samples: int) -> tuple[int, int]:
    """(first, last) samples of a range in seconds; an end of 0 is the sound's end. AudioXError outside the sound."""
    first, last = samples_from_seconds(start), samples_from_seconds(end) if end else samples
    if not 0 <= first < min(last, samples):
        raise AudioXError(
            f"The range is {start:g} to {end:g} s of a sound of {samples / SAMPLE_RATE:.2f} s, expected a start before "
            "its end and within the sound: change start or end."
        )
    return first, min(last, samples)


def splice(generated: Tensor, original: Tensor, ranges: Sequence[tuple[int, int]]) -> Tensor:
    """The original (B, 2, samples) with ranges (first, last) of it replaced by a generated sound of the same shape.

    Outside the ranges the result is the original to the last bit. A generated sound that would clip is scaled down.
    """
    share = generated_share(ranges, generated.shape[-1]).to(generated)
    peak = (generated * (share > 0)).abs().amax(dim=(1, 2), keepdim=True).clamp(min=1.0)
    return torch.where(share > 0, original + share * (generated / peak - original), original)


def generated_share(ranges: Sequence[tuple[int, int]], samples: int) -> Tensor:
    """Share of the generated sound (samples,): 1 in a range, ramps at its edges, none at the sound's own ends."""
    share = torch.zeros(samples)
    for first, last in merge_ranges(ranges):
        last = min(last, samples)
        inside = torch.arange(last - first, dtype=torch.float32)
        rise = (inside + 1) / FADE_SAMPLES if first > 0 else torch.ones_like(inside)
        fall = (last - first - inside) / FADE_SAMPLES if last < samples else torch.ones_like(inside)
        share[first:last] = rise.minimum(fall).clamp(max=1)
    return share


def merge_ranges(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same ranges in order, those that touch joined to one."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
