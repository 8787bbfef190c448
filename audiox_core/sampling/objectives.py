"""What the networks were trained to predict: rectified flow's velocity, or v."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..release.variants import FLOW_SAMPLERS, V_SAMPLERS
from .flow import add_flow_noise, flow_sigmas, from_velocity, sample_euler, sample_renoise
from .multistep import sample_dpmpp_2m_sde, sample_dpmpp_3m_sde
from .noise import BrownianNoise, SeededNoise
from .second_order import sample_dpm_2, sample_dpmpp_2s_ancestral, sample_heun
from .types import Denoise, Noise, Sampler, Velocity
from .v_prediction import add_v_noise, from_v, v_scalings, v_sigmas


@dataclass(frozen=True)
class Objective:
    """What sampling has to know about a network's training. samplers: those that fit it, by name."""

    samplers: Mapping[str, Sampler]

    def denoiser(self, velocity: Velocity) -> Denoise:
        """Estimates of the clean latent from the network's output."""
        raise NotImplementedError

    def sigmas(self, steps: int, denoise: float = 1.0) -> list[float]:
        """The schedule: steps + 1 values down to 0. denoise below 1 starts part of the way down."""
        raise NotImplementedError

    def add_noise(self, latent: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """A clean latent (B, C, L) noised to a sigma."""
        raise NotImplementedError

    def step_noise(self, noise: SeededNoise, sigmas: Sequence[float]) -> Noise:
        """Where samplers draw noise during a run. noise: what the start was drawn from."""
        raise NotImplementedError

    def skip_scale(self, sigma: float) -> float:
        """The share of the noised latent in an estimate; the rest is the network's output times a number."""
        raise NotImplementedError


class RectifiedFlow(Objective):
    """A sigma is the time of the flow, 1 to 0; see `flow`."""

    def denoiser(self, velocity: Velocity) -> Denoise:
        return from_velocity(velocity)

    def sigmas(self, steps: int, denoise: float = 1.0) -> list[float]:
        return flow_sigmas(steps, denoise)

    def add_noise(self, latent: Tensor, noise: Tensor, sigma: float) -> Tensor:
        return add_flow_noise(latent, noise, sigma)

    def step_noise(self, noise: SeededNoise, sigmas: Sequence[float]) -> Noise:
        return noise

    def skip_scale(self, sigma: float) -> float:
        return 1.0


class VPrediction(Objective):
    """A sigma is the noise's standard deviation, 500 to 0; see `v_prediction`."""

    def denoiser(self, velocity: Velocity) -> Denoise:
        return from_v(velocity)

    def sigmas(self, steps: int, denoise: float = 1.0) -> list[float]:
        return v_sigmas(steps, denoise)

    def add_noise(self, latent: Tensor, noise: Tensor, sigma: float) -> Tensor:
        return add_v_noise(latent, noise, sigma)

    def step_noise(self, noise: SeededNoise, sigmas: Sequence[float]) -> Noise:
        return BrownianNoise(noise.seeds, sigmas)

    def skip_scale(self, sigma: float) -> float:
        return v_scalings(sigma)[0]


FLOW = RectifiedFlow(dict(zip(FLOW_SAMPLERS, (sample_renoise, sample_euler), strict=True)))
V = VPrediction(
    dict(
        zip(
            V_SAMPLERS,
            (sample_dpmpp_3m_sde, sample_dpmpp_2m_sde, sample_heun, sample_dpm_2, sample_dpmpp_2s_ancestral),
            strict=True,
        )
    )
)

OBJECTIVES: dict[str, Objective] = {"turbo": FLOW, "base": FLOW, "maf-mmdit": V, "maf": V, "v1": V}
"""Variant -> objective."""
