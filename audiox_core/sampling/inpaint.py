"""Inpainting: sampling that keeps part of a source."""

from __future__ import annotations

from torch import Tensor

from .types import AddNoise, Denoise


def inpaint(denoise: Denoise, source: Tensor, mask: Tensor, noise: Tensor, add_noise: AddNoise) -> Denoise:
    """Estimates that know part of the latent: the model sees it noised to each step, and it is its own estimate.

    source: latent (B, C, L). mask: 1 where sound is generated and 0 where the source is kept, (L,) or (B, 1, L).
    noise: the run's start noise. ComfyUI's noise masks mean and do the same.
    """

    def estimate(x: Tensor, sigma: float) -> Tensor:
        noised = add_noise(source, noise, sigma)
        return denoise(x * mask + noised * (1 - mask), sigma) * mask + source * (1 - mask)

    return estimate
