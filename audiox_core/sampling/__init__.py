"""Samplers, as plain functions with one signature.

    sampler(denoise, x, sigmas, noise, callback=None) -> latent

denoise(x, sigma) estimates the clean latent, as in k-diffusion; x is the start latent (B, C, L); sigmas
descend to 0. noise(x, sigma, following) gives standard normal noise like x for the step from one sigma to the
following one and is the only randomness. callback(step, steps, denoised) may raise to stop a run.

`flow` serves the models of rectified flow, `v_prediction` those that predict v; a sigma means something else in each.
`objectives` says which model is which, `presets` how each runs by default, `run` puts it all together.

To add a sampler: write the function in `multistep` or `second_order`, name it in `release.variants` (which the command
line reads without torch), and pair the two in `objectives`.
"""

from .flow import add_flow_noise, flow_sigmas, from_velocity, sample_euler, sample_renoise
from .guidance import guide, rescale_guidance, with_separate_scales
from .inpaint import inpaint
from .multistep import sample_dpmpp_2m_sde, sample_dpmpp_3m_sde
from .noise import BrownianNoise, SeededNoise
from .second_order import sample_dpm_2, sample_dpmpp_2s_ancestral, sample_heun
from .types import AddNoise, Callback, Denoise, Noise, Sampler, Velocity
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
    "with_separate_scales",
]
