"""Samplers of rectified flow, as plain functions with one signature.

    sampler(denoise, x, sigmas, noise, callback=None) -> latent

denoise(x, sigma) estimates the clean latent, in k-diffusion's sense; x is the start latent (B, C, L); sigmas
descend to 0 and are the times of the flow: x = (1 - sigma) * sound + sigma * noise. `noise(x)` gives fresh standard
normal noise like x and is the only randomness. callback(step, steps, denoised) may raise to stop a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .errors import AudioXError

Denoise = Callable[[Tensor, float], Tensor]
Velocity = Callable[[Tensor, Tensor], Tensor]
Noise = Callable[[Tensor], Tensor]
Callback = Callable[[int, int, Tensor], None]


def flow_sigmas(steps: int, start: float = 1.0) -> list[float]:
    """Evenly spaced times from `start` to 0: steps + 1 of them."""
    if steps < 1:
        raise AudioXError(f"The number of steps is {steps}, expected at least 1.")
    if not 0 < start <= 1:
        raise AudioXError(f"The start time is {start}, expected more than 0 and at most 1 (1 starts from pure noise).")
    return [start * (1 - i / steps) for i in range(steps)] + [0.0]


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
        x = following * noise(x) + (1 - following) * x0 if following > 0 else x0
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


def rescale_guidance(guided: Tensor, conditioned: Tensor, phi: float) -> Tensor:
    """Pull the guided velocity's deviation over channels towards the conditioned one's, by the share phi.

    Lin et al., Common Diffusion Noise Schedules and Sample Steps are Flawed (arXiv 2305.08891), section 3.4.
    """
    ratio = conditioned.std(dim=1, keepdim=True) / guided.std(dim=1, keepdim=True)
    return phi * guided * ratio + (1 - phi) * guided


class SeededNoise:
    """Noise from CPU generators, one per batch item, so that a seed means the same on every device.

    Item i of a batch draws from its own seed alone: it equals a run of its own with that seed.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, like: Tensor) -> Tensor:
        """Fresh standard normal noise with the shape, device and type of (B, C, L)."""
        shape = (1, *like.shape[1:])
        drawn = [torch.randn(shape, generator=generator) for generator in self.generators]
        return torch.cat(drawn).to(like)
