"""Sound longer than a model makes: overlapping windows of a latent, denoised together.

At every step each window's output is computed with that window's own prompt, and neighbours are cross-faded where
they overlap (MultiDiffusion, arXiv 2302.08113, along time). The windows see the same latent there at every step, so
they agree, and memory does not grow with the number of windows.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..lengths import GOOD_FRAMES, LATENT_FRAMES, WINDOW_HOP, windows_from_frames

FADE = GOOD_FRAMES - WINDOW_HOP
"""Latent frames over which one window passes into the next: 44, 2 s."""


class Window(NamedTuple):
    """Which frames of a long latent a window holds, and how much its output counts in each; both (236,)."""

    places: Tensor
    weights: Tensor


def weights(rises: bool, falls: bool) -> Tensor:
    """Shares (236,) of a window in the sum; one after the other they add up to 1.

    The last 20 frames lie beyond the window's prompts and count only where no window follows.
    """
    out = torch.ones(LATENT_FRAMES)
    ramp = (torch.arange(FADE) + 0.5) / FADE
    if rises:
        out[:FADE] = ramp
    if falls:
        out[WINDOW_HOP:GOOD_FRAMES] = 1 - ramp
        out[GOOD_FRAMES:] = 0
    return out


@functools.lru_cache(maxsize=4)
def line(frames: int) -> tuple[Window, ...]:
    """Windows of a latent of 236 + k * 172 frames, from its beginning to its end; AudioXError for other lengths."""
    count = windows_from_frames(frames)
    places = torch.arange(LATENT_FRAMES)
    return tuple(Window(places + i * WINDOW_HOP, weights(i > 0, i < count - 1)) for i in range(count))


@functools.lru_cache(maxsize=4)
def circle(frames: int) -> tuple[Window, ...]:
    """Windows of a latent of any length whose end meets its beginning; a short one is seen several times over."""
    count = math.ceil(frames / WINDOW_HOP)
    shares = weights(True, True)
    windows = [
        Window((torch.arange(LATENT_FRAMES) + i * frames // count) % frames, shares.clone()) for i in range(count)
    ]
    total = torch.zeros(frames)
    for window in windows:
        total.index_add_(0, window.places, window.weights)
    for window in windows:
        window.weights.div_(total[window.places])
    return tuple(windows)


def over_windows(evaluate: Callable[[int, Tensor], Tensor], x: Tensor, windows: Sequence[Window]) -> Tensor:
    """The cross-faded sum (B, C, frames), in float32, of evaluate(i, part) for window i's part (B, C, 236) of x."""
    out = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    for i, window in enumerate(windows):
        places = window.places.to(x.device)
        part = evaluate(i, x.index_select(2, places)).float()
        out.index_add_(2, places, part * window.weights.to(x.device))
    return out
