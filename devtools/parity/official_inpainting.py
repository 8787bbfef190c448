"""Which part of a latent is made anew and which is kept, as upstream's inpainting says it.

A mask is 1 where sound is made and 0 where it is kept. At a step only numbers count whose mask the run has not passed
yet, so what lies on a soft edge is given free early in the run and the kept parts at its end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def soft_mask(length: int, settings: Mapping[str, float]) -> Tensor:
    """Mask (length,) from upstream's settings, all but the last in percent of the length.

    settings: maskstart and maskend bound what is made, softnessL and softnessR are the lengths of its edges, half a
    Hann window each; marination (0 to 1) takes off from the whole.
    """
    start = math.floor(settings["maskstart"] / 100 * length)
    end = math.ceil(settings["maskend"] / 100 * length)
    left, right = (round(settings[name] / 100 * length) for name in ("softnessL", "softnessR"))
    mask = torch.zeros(length)
    mask[start:end] = 1
    mask[start : start + left] = torch.hann_window(2 * left, periodic=False)[:left]
    mask[end - right : end] = torch.hann_window(2 * right, periodic=False)[right:]
    return mask * (1 - settings["marination"]) if settings["marination"] > 0 else mask


def kept_at(mask: Tensor, step: int, steps: int) -> Tensor:
    """Which numbers of a latent come from the known sound at a step, noised to it: those of a low enough mask."""
    return mask <= (step + 1) / steps
