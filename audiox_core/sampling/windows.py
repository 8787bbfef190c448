"""Sound longer than a model makes: overlapping windows of a latent, denoised together.

At every step each window's output is computed with that window's own prompt, and neighbours are cross-faded where
they overlap (MultiDiffusion, arXiv 2302.08113, along time). The windows see the same latent there at every step, so
they agree, and memory doesn't grow with the number of windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..lengths import COVERED_FRAMES, LATENT_FRAMES, WINDOW_HOP, padded_frames, windows_from_frames

FADE = COVERED_FRAMES - WINDOW_HOP
"""Latent frames over which one window passes into the next: 44, 2 s."""


class Window(NamedTuple):
    """Which frames of a long latent a window holds, and how much its output counts in each; both (236,)."""

    indices: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> Window:
        """The same on a device."""
        return Window(self.indices.to(device), self.weights.to(device))


def fade_weights(fades_in: bool, fades_out: bool) -> Tensor:
    """A window's share (236,) in the cross-faded sum; those of neighbours add up to 1.

    The last 20 frames lie beyond the window's prompts and count only where no window follows.
    """
    weights = torch.ones(LATENT_FRAMES)
    ramp = (torch.arange(FADE) + 0.5) / FADE
    if fades_in:
        weights[:FADE] = ramp
    if fades_out:
        weights[WINDOW_HOP:COVERED_FRAMES] = 1 - ramp
        weights[COVERED_FRAMES:] = 0
    return weights


def layout_windows(frames: int, *, loop: bool = False) -> list[Window]:
    """The windows that cover a latent; see `linear_windows` and `circular_windows`."""
    return circular_windows(frames) if loop else linear_windows(frames)


def linear_windows(frames: int) -> list[Window]:
    """Windows of a latent of 236 + k * 172 frames, from its beginning to its end; AudioXError for other lengths."""
    count = windows_from_frames(frames)
    indices = torch.arange(LATENT_FRAMES)
    return [Window(indices + i * WINDOW_HOP, fade_weights(i > 0, i < count - 1)) for i in range(count)]


def circular_windows(frames: int) -> list[Window]:
    """Windows of a latent of any length whose end meets its beginning; a short one is seen several times over."""
    count = math.ceil(frames / WINDOW_HOP)
    weights = fade_weights(True, True)
    indices = [(torch.arange(LATENT_FRAMES) + i * frames // count) % frames for i in range(count)]
    total = torch.zeros(frames)
    for window in indices:
        total.index_add_(0, window, weights)
    return [Window(window, weights / total[window]) for window in indices]


def pad_to_windows(latent: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """A latent (B, C, frames) padded at its end to whole windows, and its mask (..., frames) likewise.

    The padding is zeros in the latent and ones, to be generated, in the mask.
    """
    missing = padded_frames(latent.shape[-1]) - latent.shape[-1]
    return F.pad(latent, (0, missing)), None if mask is None else F.pad(mask, (0, missing), value=1.0)


def over_windows(evaluate: Callable[[int, Tensor], Tensor], x: Tensor, windows: Sequence[Window]) -> Tensor:
    """The cross-faded sum (B, C, frames), in float32, of evaluate(i, window) for window i (B, C, 236) of x."""
    out = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    for i, window in enumerate(windows):
        indices, weights = window.to(x.device)
        out.index_add_(2, indices, evaluate(i, x.index_select(2, indices)).float() * weights)
    return out
