"""Multistep samplers of the diffusion equation with noise, DPM-Solver++ as k-diffusion has it.

Lu et al., DPM-Solver++ (arXiv 2211.01095); the stochastic variants are k-diffusion's. `noise` should be
`BrownianNoise`: its noise belongs to a point of the schedule, so that more steps refine the same sound.
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
    previous: Tensor | None = None
    h_previous = 0.0
    for i in range(steps):
        sigma, following = sigmas[i], sigmas[i + 1]
        x0 = denoise(x, sigma)
        if callback is not None:
            callback(i, steps, x0)
        if following == 0:
            return x0
        h = math.log(sigma / following)
        toward_x0 = -math.expm1(-h - eta * h)
        x = following / sigma * math.exp(-eta * h) * x + toward_x0 * x0
        if previous is not None:
            x = x + 0.5 * toward_x0 * (h / h_previous) * (x0 - previous)
        x = x + fresh_noise(noise, x, sigma, following, eta)
        previous, h_previous = x0, h
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
    history: list[tuple[Tensor, float]] = []  # the last two steps' estimates and lengths; latest first
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
        x = x + higher_orders(x0, h, history, length)
        x = x + fresh_noise(noise, x, sigma, following, eta)
        history = [(x0, h), *history[:1]]
    return x


def higher_orders(x0: Tensor, h: float, history: list[tuple[Tensor, float]], length: float) -> Tensor | float:
    """What earlier estimates add to a first-order step of the third-order sampler."""
    if not history:
        return 0.0
    phi_2 = math.expm1(-length) / length + 1
    previous, r0 = history[0][0], history[0][1] / h
    slope = (x0 - previous) / r0
    if len(history) == 1:
        return phi_2 * slope
    earlier, r1 = history[1][0], history[1][1] / h
    bend = (slope - (previous - earlier) / r1) / (r0 + r1)
    phi_3 = phi_2 / length - 0.5
    return phi_2 * (slope + bend * r0) - phi_3 * bend


def fresh_noise(noise: Noise, x: Tensor, sigma: float, following: float, eta: float) -> Tensor | float:
    """The noise that a step from sigma to the following one adds."""
    if eta == 0:
        return 0.0
    h = math.log(sigma / following)
    return following * math.sqrt(-math.expm1(-2 * eta * h)) * noise(x, sigma, following)
