"""The measures of benchmarks/steps.py: distances of known differences, and a toy that is the exact model it claims."""

import math

import numpy as np
import pytest
import torch

from audiox_core.lengths import SAMPLE_RATE
from audiox_core.sampling import from_v
from audiox_core.sampling.presets import REFERENCE
from benchmarks import steps


@pytest.fixture(scope="module")
def toy():
    return steps.FrameMixture()


def test_relative_rms_of_a_known_difference():
    latent = torch.randn(1, 64, 236, generator=torch.Generator().manual_seed(0))
    assert steps.relative_rms(latent, latent) == 0
    assert steps.relative_rms(latent, 1.1 * latent) == pytest.approx(0.1, rel=1e-4)


def test_log_spectral_distance_is_a_change_of_level_in_decibels():
    sound = np.random.default_rng(0).standard_normal((2, SAMPLE_RATE)).astype(np.float32) * 0.1
    assert steps.log_spectral_distance(sound, sound) == 0
    assert steps.log_spectral_distance(sound, 0.5 * sound) == pytest.approx(20 * math.log10(2), abs=0.05)


def test_log_spectral_distance_does_not_tell_silence_apart():
    silence = np.zeros((2, SAMPLE_RATE), np.float32)
    whisper = silence + 1e-6 * np.random.default_rng(0).standard_normal(silence.shape).astype(np.float32)
    assert steps.log_spectral_distance(silence, whisper) == 0


def test_each_turn_begins_with_another_one():
    assert [steps.in_turn("abc", first) for first in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]


def test_the_captions_are_different_ones_of_one_sound_and_of_two():
    scenes = steps.some_scenes(8)
    assert len({scene.caption for scene in scenes}) == 8
    assert {len(scene.kinds) for scene in scenes} == {1, 2}


@pytest.mark.parametrize("sigma", [0.3, 3.0, 30.0])
@pytest.mark.parametrize("kinds", [8, 64])
def test_the_toy_estimates_as_the_slope_of_its_density_says(toy, sigma, kinds):
    """Tweedie's formula: the posterior mean is x + sigma^2 times the gradient of the logarithm of the density."""
    x = sigma * torch.randn(2, 64, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x.requires_grad_(True)
    centres = toy.centres[:kinds].double()
    gaps = x.transpose(1, 2)[:, :, None] - centres  # (2, 5, kinds, 64)
    density = (-gaps.square().sum(-1) / (2 * (toy.DEVIATION**2 + sigma**2))).logsumexp(dim=-1).sum()
    expected = x + sigma**2 * torch.autograd.grad(density, x)[0]
    torch.testing.assert_close(toy.estimate(x.detach().float(), sigma, kinds), expected.float(), rtol=1e-3, atol=2e-3)


def test_the_toy_returns_v_with_and_without_the_prompt(toy):
    x = 4 * torch.randn(1, 64, 5, generator=torch.Generator().manual_seed(1))
    made = from_v(toy.velocity)(torch.cat((x, x)), 4.0)
    expected = torch.cat((toy.estimate(x, 4.0, toy.ALLOWED), toy.estimate(x, 4.0, toy.KINDS)))
    torch.testing.assert_close(made, expected, rtol=1e-3, atol=1e-3)


def test_a_run_of_the_toy_ends_at_what_the_prompt_allows(toy):
    made, evaluations = toy.sample(steps.replace(REFERENCE, steps=25, sampler="heun"), [0])
    assert evaluations == 49
    assert toy.kinds_of(made).max() < toy.ALLOWED
