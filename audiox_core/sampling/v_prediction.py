"""v-prediction in continuous time: the estimate of the clean latent, and the schedule.

A latent at sigma is sound + sigma * noise. The network sees it scaled to unit variance, and time is the angle between
sound and noise: t = atan(sigma) * 2 / pi.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import AudioXError
from .types import Denoise, Velocity

SIGMA_MIN, SIGMA_MAX = 0.3, 500.0
"""Range of the reference settings of AudioX, AudioX-MAF and AudioX-MAF-MMDiT."""


def polyexponential_sigmas(
    steps: int, sigma_min: float = SIGMA_MIN, sigma_max: float = SIGMA_MAX, rho: float = 1.0
) -> list[float]:
    """`steps` sigmas from largest to smallest, evenly spaced in their logarithm's rho-th root, and 0 after them.

    As k-diffusion computes them, in float32: Brownian noise is a function of the sigmas to the last digit.
    """
    if steps < 1:
        raise AudioXError(f"The number of steps is {steps}, expected at least 1.")
    ramp = torch.linspace(1, 0, steps) ** rho
    low, high = math.log(sigma_min), math.log(sigma_max)
    return [*torch.exp(ramp * (high - low) + low).tolist(), 0.0]


def v_sigmas(steps: int, denoise: float = 1.0) -> list[float]:
    """The reference schedule; denoise below 1 starts at that share of its logarithmic range.

    KSampler means the same by `denoise`: 0.5 starts at sigma 12.2.
    """
    if not 0 < denoise <= 1:
        raise AudioXError(f"denoise is {denoise}, expected more than 0 and at most 1 (1 starts from pure noise).")
    return polyexponential_sigmas(steps, SIGMA_MIN, SIGMA_MIN * (SIGMA_MAX / SIGMA_MIN) ** denoise)


def add_v_noise(latent: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """A clean latent at a sigma."""
    return latent + sigma * noise


def v_scalings(sigma: float) -> tuple[float, float, float, float]:
    """What k-diffusion calls c_skip, c_out and c_in, and the network's time."""
    total = sigma**2 + 1
    return 1 / total, -sigma / math.sqrt(total), 1 / math.sqrt(total), math.atan(sigma) * 2 / math.pi


def from_v(velocity: Velocity) -> Denoise:
    """Clean-latent estimate of a model that returns v; the model gets one time per batch item."""

    def denoise(x: Tensor, sigma: float) -> Tensor:
        c_skip, c_out, c_in, time = v_scalings(sigma)
        return c_skip * x + c_out * velocity(c_in * x, x.new_full((x.shape[0],), time))

    return denoise
