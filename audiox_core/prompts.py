"""What happens to an audio prompt before the network sees it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .errors import AudioXError
from .model.conditioners import AudioSizes, FrameAudioSizes, MelAudioSizes
from .model.mel import log_mel

LATENT_SHARES = (0.25, 0.75)
"""Least and largest part of a prompt that is masked before the VAE encodes it."""

MEL_SHARES = (0.7, 1.0)
"""The same for a log mel spectrogram."""


def draw_masks(
    count: int, length: int, generator: torch.Generator, shares: tuple[float, float] = LATENT_SHARES
) -> list[tuple[int, int]]:
    """(first, length) of a span for each item of a batch, in upstream's order of draws and rounding."""
    least, most = shares
    ratios = least + (most - least) * torch.rand(count, generator=generator)
    spans = []
    for ratio in ratios:
        span = int((length * ratio).item())
        first = int(torch.randint(0, length - span + 1, (1,), generator=generator).item())
        spans.append((first, span))
    return spans


def mask_prompt(prompts: Tensor, generator: torch.Generator, shares: tuple[float, float] = LATENT_SHARES) -> Tensor:
    """Set one random span of each prompt (B, channels, length) to zero, as upstream does even when it generates.

    Upstream trained on masked prompts, so that the model learns to fill gaps; a masked prompt is never heard whole.
    The prompts are sound, with LATENT_SHARES, or log mel spectrograms, with MEL_SHARES.
    """
    out = prompts.clone()
    for item, (first, span) in zip(out, draw_masks(len(out), out.shape[-1], generator, shares), strict=True):
        item[:, first : first + span] = 0
    return out


def posterior_sample(mean: Tensor, std: Tensor, generator: torch.Generator) -> Tensor:
    """mean + std * noise, the noise from a CPU generator."""
    return mean + std * torch.randn(mean.shape, generator=generator).to(mean)


def encode_prompt(
    sizes: AudioSizes | FrameAudioSizes | MelAudioSizes,
    prompts: Tensor,
    statistics: Callable[[Tensor], tuple[Tensor, Tensor]],
    generator: torch.Generator,
    *,
    use_mean: bool = False,
    random_mask: bool = False,
) -> Tensor:
    """What a model's audio conditioner takes of prompts (B, 2, samples) at 44.1 kHz.

    sizes: the conditioner's. statistics: the VAE's mean and deviation of sound; not asked where the model hears a
    spectrogram. use_mean: the mean in place of a draw. random_mask: see `mask_prompt`.

    Raises:
        AudioXError: a mask for a model that was trained without.
    """
    if isinstance(sizes, MelAudioSizes):
        mel = log_mel(prompts, sizes.mels)
        return mask_prompt(mel, generator, MEL_SHARES) if random_mask else mel
    if random_mask and isinstance(sizes, FrameAudioSizes):
        raise AudioXError("The first AudioX was not trained with masked audio prompts: leave random_mask off.")
    mean, std = statistics(mask_prompt(prompts, generator) if random_mask else prompts)
    return mean if use_mean else posterior_sample(mean, std, generator)
