"""What happens to an audio prompt before the network sees it."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_masks(count: int, samples: int, generator: torch.Generator) -> list[tuple[int, int]]:
    """(first, length) of a span of 25 to 75 % for each item, in upstream's order of draws and rounding."""
    ratios = 0.25 + 0.5 * torch.rand(count, generator=generator)
    spans = []
    for ratio in ratios:
        length = int((samples * ratio).item())
        first = int(torch.randint(0, samples - length + 1, (1,), generator=generator).item())
        spans.append((first, length))
    return spans


def mask_prompt(prompts: Tensor, generator: torch.Generator) -> Tensor:
    """Silence one random span of each prompt (B, channels, samples), as upstream does even when it generates.

    Upstream trained on masked prompts, so that the model learns to fill gaps; a masked prompt is never heard whole.
    """
    out = prompts.clone()
    for item, (first, length) in zip(out, draw_masks(len(out), out.shape[-1], generator), strict=True):
        item[:, first : first + length] = 0
    return out


def posterior_sample(mean: Tensor, std: Tensor, generator: torch.Generator) -> Tensor:
    """mean + std * noise, the noise from a CPU generator."""
    return mean + std * torch.randn(mean.shape, generator=generator).to(mean)
