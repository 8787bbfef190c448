"""The autoencoder: multi-resolution spectra, the waveform and a little KL divergence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, autocast, nn

from audiox_core.lengths import SAMPLES_PER_LATENT
from audiox_core.models.vae import OobleckVAE, ResidualUnit, Snake, VAESizes
from training.world import films, scenes

from .state import Stage

SIZES = VAESizes(channels=8, widths=(16, 64, 96, 160), strides=(4, 8, 8, 8))
CROP_LATENTS = 20
BATCH = 12
SPECTRA = (2048, 512, 128)
KL_WEIGHT = 2e-4


def snake(layer: Snake, x: Tensor) -> Tensor:
    """The layer as a formula: the library's own writes over its input."""
    return x + torch.sin(x * layer.alpha.exp()[:, None]).square() * (layer.beta.exp() + 1e-9).reciprocal()[:, None]


def unit(layer: ResidualUnit, x: Tensor) -> Tensor:
    first, dilated, second, pointwise = layer.layers
    return x + pointwise(snake(second, dilated(snake(first, x))))


def encode(vae: OobleckVAE, audio: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the latent, with gradients."""
    first, *blocks, last_snake, last = vae.encoder.layers
    x = first(audio)
    for block in blocks:
        *units, before, down = block.layers
        for each in units:
            x = unit(each, x)
        x = down(snake(before, x))
    mean, scale = last(snake(last_snake, x)).chunk(2, dim=1)
    return mean, F.softplus(scale) + 1e-4


def decode(vae: OobleckVAE, latent: Tensor) -> Tensor:
    """Sound of a latent, with gradients."""
    first, *blocks, last_snake, last = vae.decoder.layers
    x = first(latent)
    for block in blocks:
        before, up, *units = block.layers
        x = up(snake(before, x))
        for each in units:
            x = unit(each, x)
    return last(snake(last_snake, x))


def random_sound(rng: np.random.Generator) -> np.ndarray:
    """Any sound of the world (2, samples): three in four are scenes, the others answer a video."""
    seed = int(rng.integers(2**31))
    if rng.random() < 0.75:
        return scenes.render(scenes.scene(seed))
    drawn = films.film(seed)
    return scenes.render_hits(drawn.kind, drawn.times, seed)


def batch(step: int) -> Tensor:
    """(BATCH, 2, samples): cuts on the latent grid, at random levels."""
    rng = np.random.default_rng((7, step))
    cuts = []
    while len(cuts) < BATCH:
        sound = random_sound(rng) * rng.uniform(0.6, 1.1)
        for _ in range(3):
            first = int(rng.integers(scenes.LATENTS - CROP_LATENTS)) * SAMPLES_PER_LATENT
            cut = sound[:, first : first + CROP_LATENTS * SAMPLES_PER_LATENT]
            if np.abs(cut).max() > 0.01 or rng.random() < 0.1:
                cuts.append(cut)
    return torch.from_numpy(np.stack(cuts[:BATCH]).astype(np.float32))


def magnitudes(x: Tensor, size: int) -> Tensor:
    spectrum = torch.stft(x.flatten(0, 1), size, size // 2, window=torch.hann_window(size), return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square() + 1e-8).sqrt()


def spectral_distance(x: Tensor, y: Tensor) -> Tensor:
    """Difference of spectra and of their logarithms, over several resolutions."""
    total = x.new_zeros(())
    for size in SPECTRA:
        a, b = magnitudes(x, size), magnitudes(y, size)
        floor = 0.003 * size**0.5
        total = total + (a - b).norm() / a.norm().clamp_min(1) + ((a + floor).log() - (b + floor).log()).abs().mean()
    return total / len(SPECTRA)


def losses(vae: OobleckVAE, audio: Tensor, noise: Tensor, forward) -> dict[str, Tensor]:
    with autocast("cpu", torch.bfloat16):
        mean, std, sound = forward(audio, noise)
    mean, std, sound = mean.float(), std.float(), sound.float()
    kl = 0.5 * (mean.square() + std.square() - 1 - 2 * std.log()).mean()
    wave = (sound - audio).abs().mean() / audio.abs().mean().clamp_min(0.02)
    spectra = spectral_distance(audio, sound)
    return {"loss": spectra + wave + KL_WEIGHT * kl, "spectra": spectra, "wave": wave, "kl": kl}


def principal(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The strongest directions (width, count) of rows (N, width), and the rows' deviation along each."""
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    return vectors.flip(1)[:, :count], values.flip(0)[:count].clamp_min(1e-8).sqrt()


@torch.no_grad()
def linear_start(vae: OobleckVAE, audio: Tensor) -> None:
    """Turn random weights into a linear transform and its inverse: principal components of blocks, level by level.

    Trained from random weights alone, a network this narrow finds in half an hour that silence is a fair answer to
    every sound. From here it begins with what 64 numbers can say linearly and learns the rest.
    """
    for layer in vae.modules():
        if isinstance(layer, Snake):
            layer.beta.fill_(3.0)  # x + sin(x)^2 / 20: nearly straight
        elif isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d)):
            layer.weight *= 0.1
            if layer.bias is not None:
                layer.bias.zero_()
    encoder, decoder = vae.encoder.layers, vae.decoder.layers
    for channel in range(vae.sizes.audio_channels):
        encoder[0].weight[channel, channel, 3] = 1
        decoder[-1].weight[channel, channel, 3] = 1
    x = audio
    for index, stride in enumerate(vae.sizes.strides):
        down, up = encoder[index + 1].layers[4], decoder[-3 - index].layers[1]
        blocks = x.unflatten(-1, (-1, stride)).transpose(1, 2).flatten(2)  # (N, T, channels * stride)
        directions, _ = principal(blocks.flatten(0, 1), down.out_channels)
        taps = directions.unflatten(0, (x.shape[1], stride)).permute(2, 0, 1)  # (outputs, channels, stride)
        inner = slice(stride // 2, stride // 2 + stride)
        down.weight[: len(taps), : x.shape[1], inner] = taps
        up.weight[: len(taps), : x.shape[1], inner] = taps
        x = (blocks @ directions).transpose(1, 2)
    directions, deviation = principal(x.transpose(1, 2).flatten(0, 1), vae.sizes.latent_channels)
    scale = (deviation * deviation[0]).sqrt()  # halfway to whitened: weak directions stay weak
    encoder[-1].weight[: len(scale), : x.shape[1], 1] = (directions / scale).T
    encoder[-1].bias[len(scale) :] = -3.0  # deviations of 0.05
    decoder[0].weight[: x.shape[1], :, 3] = directions * scale


def first_sounds() -> Tensor:
    """Sounds (N, 2, samples) of the whole world, for the linear start."""
    rng = np.random.default_rng(5)
    sounds = [random_sound(rng) for _ in range(90)]
    sounds += [scenes.render(scenes.scene(seed, kind=kind, pair=False)) for kind in scenes.SIDED for seed in range(14)]
    return torch.from_numpy(np.stack(sounds))


def train(folder: Path, steps: int, compiled: bool) -> nn.Module:
    torch.manual_seed(0)
    vae = OobleckVAE(SIZES)
    stage = Stage("vae", folder, vae, steps, peak=1.5e-4, betas=(0.9, 0.99))
    if stage.start == 0:
        linear_start(vae, first_sounds())

    def forward(audio: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, std = encode(vae, audio)
        return mean, std, decode(vae, mean + std * noise)

    forward = torch.compile(forward) if compiled else forward

    def step_losses(step: int) -> dict[str, Tensor]:
        audio = batch(step)
        generator = torch.Generator().manual_seed(step)
        noise = torch.randn(BATCH, SIZES.latent_channels, CROP_LATENTS, generator=generator)
        return losses(vae, audio, noise, forward)

    stage.run(step_losses)
    return stage.finish()
