"""The last touches to sound, and what happens to an audio prompt."""

import pytest
import torch

from audiox_core.media.peak_limit import limit_peak
from audiox_core.prompts import draw_masks, mask_prompt


def tones(*peaks: float) -> torch.Tensor:
    wave = torch.sin(torch.arange(483328) * 0.05)
    return torch.stack([torch.stack([peak * wave, -0.5 * peak * wave]) for peak in peaks])


def test_only_what_would_clip_is_scaled_and_each_item_alone():
    quiet, loud = limit_peak(tones(0.25, 4.0))
    assert torch.equal(quiet, tones(0.25)[0])
    assert loud.abs().max() == pytest.approx(1.0)
    assert torch.allclose(loud[1], -0.5 * loud[0])  # the channels keep their balance


def test_normalising_fills_the_range_and_leaves_silence_silent():
    sounds = limit_peak(torch.cat((tones(0.25), torch.zeros(1, 2, 483328))), normalize=True)
    assert sounds[0].abs().max() == pytest.approx(1.0)
    assert not sounds[1].any()


def test_masks_silence_a_quarter_to_three_quarters():
    prompts = torch.ones(40, 2, 1000)
    masked = mask_prompt(prompts, torch.Generator().manual_seed(0))
    silent = (masked == 0).all(dim=1)
    shares = silent.float().mean(dim=1)
    assert 0.24 < shares.min() < shares.max() <= 0.75
    edges = silent.int().diff(dim=1).abs().sum(dim=1)
    assert (edges <= 2).all()  # one span each
    assert prompts.all()  # the caller's sound is as it was
    twice = [draw_masks(3, 1000, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert twice[0] == twice[1]
