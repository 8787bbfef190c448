"""Samplers, as plain functions with one signature.

    sampler(denoise, x, sigmas, noise, callback=None) -> latent

denoise(x, sigma) estimates the clean latent, in k-diffusion's sense; x is the start latent (B, C, L); sigmas
descend to 0. noise(x, sigma, following) gives standard normal noise like x for the step from one sigma to the
following one and is the only randomness. callback(step, steps, denoised) may raise to stop a run.

`flow` is for models of rectified flow, `v` for those that predict v; what a sigma means differs between the two.
"""

from .flow import add_flow_noise, flow_sigmas, from_velocity, sample_euler, sample_renoise
from .guidance import away_from, guide, rescale_guidance
from .inpaint import AddNoise, inpaint
from .noise import BrownianNoise, SeededNoise
from .ode import sample_dpm_2, sample_dpmpp_2s_ancestral, sample_heun
from .sde import sample_dpmpp_2m_sde, sample_dpmpp_3m_sde
from .types import Callback, Denoise, Noise, Sampler, Velocity
from .v_prediction import SIGMA_MAX, SIGMA_MIN, add_v_noise, from_v, polyexponential_sigmas, v_scalings, v_sigmas

__all__ = [
    "SIGMA_MAX",
    "SIGMA_MIN",
    "AddNoise",
    "BrownianNoise",
    "Callback",
    "Denoise",
    "Noise",
    "Sampler",
    "SeededNoise",
    "Velocity",
    "add_flow_noise",
    "add_v_noise",
    "away_from",
    "flow_sigmas",
    "from_v",
    "from_velocity",
    "guide",
    "inpaint",
    "polyexponential_sigmas",
    "rescale_guidance",
    "sample_dpm_2",
    "sample_dpmpp_2m_sde",
    "sample_dpmpp_2s_ancestral",
    "sample_dpmpp_3m_sde",
    "sample_euler",
    "sample_heun",
    "sample_renoise",
    "v_scalings",
    "v_sigmas",
]
