"""The functions that samplers are made of; see the package."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]
Velocity = Callable[[Tensor, Tensor], Tensor]
Noise = Callable[[Tensor, float, float], Tensor]
Callback = Callable[[int, int, Tensor], None]
Sampler = Callable[[Denoise, Tensor, Sequence[float], Noise, "Callback | None"], Tensor]
AddNoise = Callable[[Tensor, Tensor, float], Tensor]
"""add_noise(latent, noise, sigma): a clean latent as it is at a sigma."""
