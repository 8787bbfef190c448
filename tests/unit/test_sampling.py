"""Samplers and noise: what a seed means, what a batch is, and what is refused."""

import pytest
import torch

from audiox_core import sampling
from audiox_core.errors import AudioXError
from audiox_core.sampling.presets import resolve_settings


def toy_denoise(x, sigma):
    """A nonlinear model that treats every number alone, without functions whose rounding depends on the length."""
    return torch.relu(x * (1 + sigma)) * 0.7 - 0.1


def run(sampler, seeds, steps=4, callback=None):
    noise = sampling.SeededNoise(seeds)
    start = noise(torch.empty(len(seeds), 64, 236))
    return sampler(toy_denoise, start, sampling.flow_sigmas(steps), noise, callback)


@pytest.mark.parametrize("sampler", [sampling.sample_renoise, sampling.sample_euler])
class TestBothSamplers:
    def test_same_seed_same_bytes(self, sampler):
        assert run(sampler, [7]).numpy().tobytes() == run(sampler, [7]).numpy().tobytes()

    def test_another_seed_another_result(self, sampler):
        assert not torch.allclose(run(sampler, [7]), run(sampler, [8]))

    def test_a_batch_item_equals_its_own_run(self, sampler):
        batch = run(sampler, [7, 8, 9])
        for item, seed in zip(batch, [7, 8, 9], strict=True):
            assert torch.equal(item, run(sampler, [seed])[0])

    def test_the_global_generator_is_neither_used_nor_moved(self, sampler):
        torch.manual_seed(1)
        first = run(sampler, [7])
        state = torch.get_rng_state()
        torch.manual_seed(2)
        assert torch.equal(run(sampler, [7]), first)
        torch.manual_seed(1)
        assert torch.equal(torch.get_rng_state(), state)

    def test_the_callback_sees_each_step_and_may_stop(self, sampler):
        seen = []

        def stop_at_two(step, steps, denoised):
            seen.append((step, steps, tuple(denoised.shape)))
            if step == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(sampler, [7], callback=stop_at_two)
        assert seen == [(i, 4, (1, 64, 236)) for i in range(3)]


def test_euler_follows_the_exact_flow():
    """A constant sound: the velocity is noise - sound, so every number of steps lands on the sound."""
    sound = torch.full((1, 64, 236), 0.25)
    noise = sampling.SeededNoise([3])
    start = noise(sound)
    for steps in (1, 4, 50):
        out = sampling.sample_euler(lambda x, sigma: sound, start, sampling.flow_sigmas(steps), noise)
        assert torch.allclose(out, sound, atol=1e-6)


def test_velocity_and_estimate_agree():
    x = torch.randn(2, 64, 236, generator=torch.Generator().manual_seed(0))
    times = []

    def velocity(x, t):
        times.append(t)
        return 2 * x

    assert torch.allclose(sampling.from_velocity(velocity)(x, 0.25), x - 0.5 * x)
    assert torch.equal(times[0], torch.tensor([0.25, 0.25]))


def test_flow_sigmas_are_evenly_spaced_and_end_at_zero():
    assert sampling.flow_sigmas(4) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert sampling.flow_sigmas(2, 0.5) == [0.5, 0.25, 0.0]


@pytest.mark.parametrize(("steps", "start"), [(0, 1.0), (-1, 1.0), (4, 0.0), (4, 1.5)])
def test_impossible_schedules_are_refused(steps, start):
    with pytest.raises(AudioXError, match="expected"):
        sampling.flow_sigmas(steps, start)


def test_a_given_setting_replaces_the_models_own_and_leaves_the_rest():
    default, given = resolve_settings("base"), resolve_settings("base", steps=9, sampler="renoise")
    assert (given.steps, given.sampler, given.cfg) == (9, "renoise", default.cfg)


def test_guidance_on_turbo_is_refused_with_the_reason():
    with pytest.raises(AudioXError, match="distilled with its guidance built in"):
        resolve_settings("turbo", cfg=3.0)
    assert resolve_settings("turbo", cfg=1.0).cfg == 1.0


def test_rescaled_guidance_has_the_conditioned_deviation():
    generator = torch.Generator().manual_seed(0)
    guided, conditioned = (scale * torch.randn(1, 64, 236, generator=generator) for scale in (5.0, 1.0))
    full = sampling.rescale_guidance(guided, conditioned, 1.0)
    assert torch.allclose(full.std(dim=1), conditioned.std(dim=1), rtol=1e-5)
    assert torch.equal(sampling.rescale_guidance(guided, conditioned, 0.0), guided)
