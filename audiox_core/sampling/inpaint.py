"""Sampling that keeps part of a known sound."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .types import Denoise

AddNoise = Callable[[Tensor, Tensor, float], Tensor]
"""add_noise(sound, noise, sigma): the known latent as it is at a sigma."""


def inpaint(denoise: Denoise, known: Tensor, made: Tensor, noise: Tensor, add_noise: AddNoise) -> Denoise:
    """Estimates that know part of the latent: the model sees it noised to each step, and it is its own estimate.

    known: the latent (B, C, L). made: 1 where sound is made and 0 where the known one is kept, (L,) or (B, 1, L).
    noise: the run's start noise. ComfyUI's noise masks mean and do the same.
    """

    def estimate(x: Tensor, sigma: float) -> Tensor:
        there = add_noise(known, noise, sigma)
        return denoise(x * made + there * (1 - made), sigma) * made + known * (1 - made)

    return estimate
