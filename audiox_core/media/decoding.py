"""Decoding latents to exactly the requested samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import AudioXError
from ..lengths import DECODE_REACH, SAMPLE_RATE, SAMPLES_PER_LATENT, frames_from_samples

Decode = Callable[[Tensor], Tensor]
"""Sound (B, channels, frames * 2048) of a latent (B, 64, frames)."""

LEAST_LIKENESS = -0.5
"""Sounds that cancel each other more than this are not compensated: it would take too much gain."""

SMALLEST = 1e-12

JOIN_SAMPLES = 4096
"""Samples over which a loop passes into its shifted self where its length isn't a whole number of latent frames."""


def decode_part(decode: Decode, latent: Tensor, samples: int) -> Tensor:
    """The first `samples` of a latent's sound; frames that they do not depend on are not decoded.

    Raises:
        AudioXError: the latent is shorter.
    """
    frames = frames_from_samples(samples)
    check_frames(latent, samples, frames)
    return decode(latent[..., : frames + DECODE_REACH])[..., :samples]


def decode_loop(decode: Decode, latent: Tensor, samples: int) -> Tensor:
    """The sound of a latent whose end meets its beginning, `samples` long and without a seam.

    The frames are decoded as one period of an endless sound. It is up to 2047 samples too long; these are removed at
    the end, where the sound passes into itself, shifted by as many.

    Raises:
        AudioXError: the latent has another number of frames than the sound needs.
    """
    frames = frames_from_samples(samples)
    check_frames(latent, samples, frames)
    latent = latent[..., :frames]
    positions = torch.arange(-DECODE_REACH, frames + DECODE_REACH) % frames
    margin = DECODE_REACH * SAMPLES_PER_LATENT
    sound = decode(latent[..., positions])[..., margin : margin + frames * SAMPLES_PER_LATENT]
    excess = sound.shape[-1] - samples
    if excess == 0:
        return sound
    joined = min(JOIN_SAMPLES, samples)
    out = sound[..., :samples].clone()
    out[..., -joined:] = cross_fade(out[..., -joined:], sound[..., -joined:])
    return out


def cross_fade(before: Tensor, after: Tensor) -> Tensor:
    """One sound (B, channels, samples) passing into another, as loud on the way as what they have in common allows."""
    fade = torch.linspace(0, 1, before.shape[-1], dtype=before.dtype, device=before.device)
    products = [(a * b).sum(dim=(1, 2), keepdim=True) for a, b in ((before, after), (before, before), (after, after))]
    likeness = products[0] / (products[1] * products[2]).sqrt().clamp(min=SMALLEST)  # 1 for the same sound
    power = (1 - fade) ** 2 + fade**2 + 2 * likeness.clamp(min=LEAST_LIKENESS) * fade * (1 - fade)
    return before.lerp(after, fade) / power.sqrt()


def check_frames(latent: Tensor, samples: int, frames: int) -> None:
    """AudioXError where the latent is shorter than the requested sound."""
    if latent.shape[-1] < frames:
        seconds = latent.shape[-1] * SAMPLES_PER_LATENT / SAMPLE_RATE
        raise AudioXError(
            f"A sound of {samples / SAMPLE_RATE:.2f} s was requested, but the latent holds {seconds:.2f} s: request "
            "less, or sample a longer latent."
        )
