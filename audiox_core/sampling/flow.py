"""Rectified flow: the estimate of the clean latent, the schedule, and the two samplers.

A sigma is the time of the flow: x = (1 - sigma) * sound + sigma * noise.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..errors import AudioXError
from .types import Callback, Denoise, Noise, Velocity


def flow_sigmas(steps: int, denoise: float = 1.0) -> list[float]:
    """Evenly spaced times from `denoise` to 0: steps + 1 of them."""
    if steps < 1:
        raise AudioXError(f"The number of steps is {steps}, expected at least 1.")
    if not 0 < denoise <= 1:
        raise AudioXError(f"denoise is {denoise}, expected more than 0 and at most 1 (1 starts from pure noise).")
    return [denoise * (1 - i / steps) for i in range(steps)] + [0.0]


def add_flow_noise(latent: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """A clean latent at a time of the flow."""
    return (1 - sigma) * latent + sigma * noise


def sample_renoise(
    denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise, callback: Callback | None = None
) -> Tensor:
    """Few-step sampler of the distilled model: estimate the sound, noise it again to the next time, repeat.

    Distribution matching distillation's generator (arXiv 2405.14867, carried to flow matching in arXiv 2606.12555).
    """
    steps = len(sigmas) - 1
    for i in range(steps):
        x0 = denoise(x, float(sigmas[i]))
        if callback is not None:
            callback(i, steps, x0)
        following = float(sigmas[i + 1])
        x = following * noise(x, float(sigmas[i]), following) + (1 - following) * x0 if following > 0 else x0
    return x


def sample_euler(
    denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise, callback: Callback | None = None
) -> Tensor:
    """Euler's method on the flow's ordinary differential equation, the teacher's sampler; draws no noise."""
    steps = len(sigmas) - 1
    for i in range(steps):
        sigma, following = float(sigmas[i]), float(sigmas[i + 1])
        x0 = denoise(x, sigma)
        if callback is not None:
            callback(i, steps, x0)
        x = x + (x - x0) * ((following - sigma) / sigma)
    return x


def from_velocity(velocity: Velocity) -> Denoise:
    """Clean-latent estimate of a model that returns v = noise - sound; the model gets one time per batch item."""

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return x - sigma * velocity(x, x.new_full((x.shape[0],), sigma))

    return denoise
