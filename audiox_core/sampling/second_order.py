"""Samplers that evaluate the model twice a step: Karras et al. (arXiv 2206.00364), DPM-Solver (arXiv 2206.00927)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from .types import Callback, Denoise, Noise


def sample_heun(
    denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise, callback: Callback | None = None
) -> Tensor:
    """Heun's method, algorithm 2 of Karras et al. without churn; draws no noise."""
    steps = len(sigmas) - 1
    for i in range(steps):
        sigma, following = sigmas[i], sigmas[i + 1]
        x0 = denoise(x, sigma)
        slope = (x - x0) / sigma
        if callback is not None:
            callback(i, steps, x0)
        if following > 0:
            predicted = x + slope * (following - sigma)
            slope = (slope + (predicted - denoise(predicted, following)) / following) / 2
        x = x + slope * (following - sigma)
    return x


def sample_dpm_2(
    denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise, callback: Callback | None = None
) -> Tensor:
    """DPM-Solver-2: the slope half way, in the logarithm of sigma, serves the whole step; draws no noise."""
    steps = len(sigmas) - 1
    for i in range(steps):
        sigma, following = sigmas[i], sigmas[i + 1]
        x0 = denoise(x, sigma)
        slope = (x - x0) / sigma
        if callback is not None:
            callback(i, steps, x0)
        if following > 0:
            middle = math.sqrt(sigma * following)
            halfway = x + slope * (middle - sigma)
            slope = (halfway - denoise(halfway, middle)) / middle
        x = x + slope * (following - sigma)
    return x


def sample_dpmpp_2s_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise, callback: Callback | None = None
) -> Tensor:
    """Ancestral sampling with steps of DPM-Solver++(2S): down below the next sigma, then noise up to it."""
    steps = len(sigmas) - 1
    for i in range(steps):
        sigma, following = sigmas[i], sigmas[i + 1]
        x0 = denoise(x, sigma)
        if callback is not None:
            callback(i, steps, x0)
        if following == 0:
            return x0
        up = following * math.sqrt(1 - (following / sigma) ** 2)
        down = math.sqrt(following**2 - up**2)
        middle = math.sqrt(sigma * down)
        x0 = denoise(middle / sigma * x + (1 - middle / sigma) * x0, middle)
        x = down / sigma * x + (1 - down / sigma) * x0
        x = x + up * noise(x, sigma, following)
    return x
