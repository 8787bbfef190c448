"""The autoencoder in tiles equals itself as a whole; sizes, silence and errors."""

from dataclasses import replace

import pytest
import torch

from audiox_core.errors import AudioXError
from audiox_core.models import tiling
from audiox_core.models import vae as oobleck
from audiox_core.models.tiling import run_tiled
from audiox_core.models.vae import OobleckVAE, Snake, VAESizes, silence_statistics
from audiox_core.release.components import VAE
from devtools import small_model as small
from devtools.parity import golden_models as models

SMALL = small.ModelSizes()


def build(sizes: small.ModelSizes = SMALL) -> OobleckVAE:
    return models.filled(OobleckVAE, VAESizes, models.native(small.vae_shapes(sizes), VAE))


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_sizes_come_from_the_shapes():
    assert build().sizes == VAESizes(channels=4, widths=(4, 8, 16, 32, 64))
    other = replace(SMALL, vae_channels=6, vae_multipliers=(1, 3), vae_strides=(2, 6), latent_channels=5)
    assert build(other).sizes == VAESizes(
        channels=6, widths=(6, 18), strides=(2, 6), latent_channels=5, audio_channels=2
    )
    assert VAESizes.from_shapes(models.shapes_of(build().state_dict())).samples_per_latent == 2048


def test_snake_is_the_formula_and_leaves_its_input_alone():
    snake = Snake(3)
    snake.alpha.data, snake.beta.data = noise(3), noise(3).flip(0)
    snake.requires_grad_(False)
    x = noise(2, 3, 50)
    a, b = snake.alpha.exp()[:, None], snake.beta.exp()[:, None]
    expected, before = x + torch.sin(a * x) ** 2 / (b + 1e-9), x.clone()
    torch.testing.assert_close(snake(x), expected)
    assert torch.equal(x, before)
    snake.in_place = True
    torch.testing.assert_close(snake(x), expected)
    torch.testing.assert_close(x, expected)


def plain(half: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """All layers of one half over the whole sound, one after the other."""
    for layer in half.layers:
        x = layer(x)
    return x


@pytest.mark.parametrize("length", [2048, 2049, 20_000 + 777])
@torch.no_grad()
def test_encoding_in_tiles_is_encoding(monkeypatch, length):
    vae, audio = build(), noise(2, 2, length)
    whole = plain(vae.encoder, audio)
    monkeypatch.setattr(tiling, "CPU_TILE_SIZE", 1)  # then a tile is 256 positions
    assert whole.shape[-1] == length // 2048
    torch.testing.assert_close(vae.encode_raw(audio), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("frames", [1, 2, 11])
@torch.no_grad()
def test_decoding_in_tiles_is_decoding(monkeypatch, frames):
    vae, latent = build(), noise(2, 64, frames)
    whole = plain(vae.decoder, latent)
    monkeypatch.setattr(tiling, "CPU_TILE_SIZE", 1)
    before = latent.clone()
    torch.testing.assert_close(vae.decode(latent), whole, atol=1e-5, rtol=0)
    assert torch.equal(latent, before)
    assert whole.shape == (2, 2, 2048 * frames)


def test_a_margin_that_is_too_small_shows(monkeypatch):
    """The two tests above would see a wrong receptive field."""
    vae, audio = build(), noise(1, 2, 10_000)
    whole = vae.encode_raw(audio)
    monkeypatch.setattr(tiling, "CPU_TILE_SIZE", 1)
    monkeypatch.setattr(oobleck, "UNITS_REACH", 20)
    assert (vae.encode_raw(audio) - whole).abs().max() > 1e-5


def test_tiles_cover_every_position_once():
    x = torch.arange(1000.0)[None]
    seen = []

    def function(part):
        seen.append(part.shape[-1])
        return part.repeat_interleave(3, -1)

    assert torch.equal(run_tiled(function, x, tile=64, margin=5, up=3), x.repeat_interleave(3, -1))
    assert max(seen) == 64 + 2 * 5


def test_batch_equals_singles():
    vae, audio = build(), noise(3, 2, 30_000)
    singles = torch.cat([vae.encode(item[None]) for item in audio])
    torch.testing.assert_close(vae.encode(audio), singles, atol=2e-5, rtol=0)
    latent = noise(2, 64, 9)
    singles = torch.cat([vae.decode(item[None]) for item in latent])
    torch.testing.assert_close(vae.decode(latent), singles, atol=2e-5, rtol=0)


def test_the_latent_is_the_mean():
    vae, audio = build(), noise(1, 2, 10_000)
    mean, std = vae.encode_statistics(audio)
    assert (std > 1e-4).all()
    assert torch.equal(vae.encode(audio), mean)


@pytest.mark.parametrize("samples", [441_000, 40_960, 2048])
def test_silence_is_encoded_silence(samples):
    vae = build()
    short = silence_statistics(vae, samples)
    whole = vae.encode_statistics(torch.zeros(1, 2, samples))
    for ours, expected in zip(short, whole, strict=True):
        assert ours.shape == (64, samples // 2048)
        torch.testing.assert_close(ours, expected[0], atol=1e-5, rtol=0)


def test_silence_is_cheap():
    vae = build()
    lengths = []
    vae.encoder.register_forward_pre_hook(lambda module, inputs: lengths.append(inputs[0].shape[-1]))
    silence_statistics(vae)
    assert lengths[0] < 441_000 / 5


@pytest.mark.parametrize("shape", [(1, 1, 4096), (2, 4096), (1, 2, 2047)])
def test_sound_that_cannot_be_encoded_is_refused(shape):
    with pytest.raises(AudioXError, match=r"The (VAE encodes|sound has)"):
        build().encode(torch.zeros(shape))


def test_latent_that_cannot_be_decoded_is_refused():
    with pytest.raises(AudioXError, match=r"\(batch, 64, frames\), got \(1, 8, 10\)"):
        build().decode(torch.zeros(1, 8, 10))


def test_tensors_of_something_else_are_refused():
    with pytest.raises(AudioXError, match=r"encoder\.layers\.0\.weight is missing"):
        VAESizes.from_shapes({"model.weight": (1, 2)})
