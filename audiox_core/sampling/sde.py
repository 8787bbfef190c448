"""Multistep samplers of the diffusion equation with noise, DPM-Solver++ as k-diffusion has it.

Lu et al., DPM-Solver++ (arXiv 2211.01095); the stochastic variants are of k-diffusion. `noise` should be
`BrownianNoise`: its noise belongs to a place of the schedule, so that more steps refine the same sound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from .types import Callback, Denoise, Noise


def sample_dpmpp_2m_sde(
    denoise: Denoise,
    x: Tensor,
    sigmas: Sequence[float],
    noise: Noise,
    callback: Callback | None = None,
    eta: float = 1.0,
) -> Tensor:
    """DPM-Solver++(2M) SDE, midpoint variant; eta 0 draws no noise."""
    steps = len(sigmas) - 1
    before, h_before = None, 0.0
    for i in range(steps):
        sigma, following = sigmas[i], sigmas[i + 1]
        x0 = denoise(x, sigma)
        if callback is not None:
            callback(i, steps, x0)
        if following == 0:
            return x0
        h = math.log(sigma / following)
        towards = -math.expm1(-h - eta * h)
        x = following / sigma * math.exp(-eta * h) * x + towards * x0
        if before is not None:
            x = x + 0.5 * towards * (h / h_before) * (x0 - before)
        x = x + fresh_noise(noise, x, sigma, following, eta)
        before, h_before = x0, h
    return x


def sample_dpmpp_3m_sde(
    denoise: Denoise,
    x: Tensor,
    sigmas: Sequence[float],
    noise: Noise,
    callback: Callback | None = None,
    eta: float = 1.0,
) -> Tensor:
    """DPM-Solver++(3M) SDE, the reference sampler of all models that predict v; eta 0 draws no noise."""
    steps = len(sigmas) - 1
    known: list[tuple[Tensor, float]] = []  # estimates of the last two steps, with the steps' lengths; latest first
    for i in range(steps):
        sigma, following = sigmas[i], sigmas[i + 1]
        x0 = denoise(x, sigma)
        if callback is not None:
            callback(i, steps, x0)
        if following == 0:
            return x0
        h = math.log(sigma / following)
        length = h * (1 + eta)
        x = math.exp(-length) * x - math.expm1(-length) * x0
        x = x + higher_orders(x0, h, known, length)
        x = x + fresh_noise(noise, x, sigma, following, eta)
        known = [(x0, h), *known[:1]]
    return x


def higher_orders(x0: Tensor, h: float, known: list[tuple[Tensor, float]], length: float) -> Tensor | float:
    """What earlier estimates add to a first-order step of the third-order sampler."""
    if not known:
        return 0.0
    phi_2 = math.expm1(-length) / length + 1
    before, r0 = known[0][0], known[0][1] / h
    slope = (x0 - before) / r0
    if len(known) == 1:
        return phi_2 * slope
    earlier, r1 = known[1][0], known[1][1] / h
    bend = (slope - (before - earlier) / r1) / (r0 + r1)
    phi_3 = phi_2 / length - 0.5
    return phi_2 * (slope + bend * r0) - phi_3 * bend


def fresh_noise(noise: Noise, x: Tensor, sigma: float, following: float, eta: float) -> Tensor | float:
    """The noise that a step from sigma to the following one adds."""
    if eta == 0:
        return 0.0
    h = math.log(sigma / following)
    return following * math.sqrt(-math.expm1(-2 * eta * h)) * noise(x, sigma, following)
