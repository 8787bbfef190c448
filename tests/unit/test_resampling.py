"""Our resampler against torchaudio where it is installed, and against the sound that it should be where it isn't."""

import math

import pytest
import torch

from audiox_core.media import resampling
from audiox_core.media.resampling import resample
from devtools import media_maker as maker

RATES = [
    *((rate, 44100) for rate in (8000, 11025, 16000, 22050, 24000, 32000, 48000, 64000, 88200, 96000, 192000)),
    (44100, 48000),
    (44100, 8000),
    (7, 3),
    (1, 1000),
]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.2


@pytest.mark.parametrize(("rate", "new_rate"), RATES)
def test_it_is_torchaudios_default_to_the_rounding_of_float32(rate, new_rate):
    reference = pytest.importorskip("torchaudio.functional")
    sound = noise(2, 2 * min(rate, 5000) + 17)
    expected = reference.resample(sound, rate, new_rate)
    converted = resample(sound, rate, new_rate)
    assert converted.shape == expected.shape
    assert (converted - expected).abs().max() < 1e-6


@pytest.mark.parametrize("samples", [1, 2, 146, 147, 161, 1000])
@pytest.mark.parametrize("shape", [(), (1,), (3, 2)])
def test_any_shape_and_length_is_converted(shape, samples):
    sound = noise(*shape, samples)
    for rate in (22050, 48000):
        converted = resample(sound, rate, 44100)
        assert converted.shape == (*shape, math.ceil(samples * 44100 / rate))
        for item, whole in zip(sound.reshape(-1, samples), converted.reshape(-1, converted.shape[-1]), strict=True):
            assert torch.allclose(resample(item, rate, 44100), whole, atol=1e-6)
    assert resample(sound, 44100, 44100) is sound


@pytest.mark.parametrize("rate", [44099, 44056, 12345])
def test_rates_with_hardly_a_common_divisor_work(rate):
    converted = resample(maker.tone(0.5, rate), rate, 44100)
    length = converted.shape[1]
    assert (converted - maker.tone(0.6, 44100)[:, :length])[:, 500:-500].abs().max() < 5e-3


@pytest.mark.parametrize("rate", [22050, 48000, 192000])
def test_blocks_leave_no_seams(rate, monkeypatch):
    sound = noise(2, 30_001)
    whole = resample(sound, rate, 44100)
    monkeypatch.setattr(resampling, "BLOCK_SAMPLES", 1000)
    assert torch.allclose(resample(sound, rate, 44100), whole, atol=1e-6)


def test_a_long_sound_takes_little_memory_beside_its_result(monkeypatch):
    largest = []
    convert = resampling.convert

    def watched(block, *arguments):
        converted = convert(block, *arguments)
        largest.append(max(block.numel(), converted.numel()))
        return converted

    monkeypatch.setattr(resampling, "convert", watched)
    result = resample(torch.zeros(1, 48000 * 60), 48000, 44100)
    assert result.shape == (1, 44100 * 60)
    assert len(largest) > 5 and max(largest) < 2 * resampling.BLOCK_SAMPLES
