"""What happens to an audio prompt before the network sees it."""

from __future__ import annotations

import torch
from torch import Tensor

LATENT_SHARES = (0.25, 0.75)
"""Least and largest part of a prompt that is masked before the VAE encodes it."""

MEL_SHARES = (0.7, 1.0)
"""The same for a log mel spectrogram."""


def draw_masks(
    count: int, length: int, generator: torch.Generator, shares: tuple[float, float] = LATENT_SHARES
) -> list[tuple[int, int]]:
    """(first, length) of a span for each item of a batch, in upstream's order of draws and rounding."""
    least, most = shares
    ratios = least + (most - least) * torch.rand(count, generator=generator)
    spans = []
    for ratio in ratios:
        span = int((length * ratio).item())
        first = int(torch.randint(0, length - span + 1, (1,), generator=generator).item())
        spans.append((first, span))
    return spans


def mask_prompt(prompts: Tensor, generator: torch.Generator, shares: tuple[float, float] = LATENT_SHARES) -> Tensor:
    """Set one random span of each prompt (B, channels, length) to zero, as upstream does even when it generates.

    Upstream trained on masked prompts, so that the model learns to fill gaps; a masked prompt is never heard whole.
    The prompts are sound, with LATENT_SHARES, or log mel spectrograms, with MEL_SHARES.
    """
    out = prompts.clone()
    for item, (first, span) in zip(out, draw_masks(len(out), out.shape[-1], generator, shares), strict=True):
        item[:, first : first + span] = 0
    return out


def posterior_sample(mean: Tensor, std: Tensor, generator: torch.Generator) -> Tensor:
    """mean + std * noise, the noise from a CPU generator."""
    return mean + std * torch.randn(mean.shape, generator=generator).to(mean)
