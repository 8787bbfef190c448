"""A latent as a small picture, to preview a sound while it is generated."""

from __future__ import annotations

import torch

from .spectrogram import COLOURS

SPAN = 3.0
"""Deviations from the mean at which a value has the lightest colour."""

STEPS = 256


def latent_picture(latent: torch.Tensor) -> torch.Tensor:
    """The first latent of (B, channels, length) as (1, 3, channels, length): red, green, blue from -1 to 1.

    Time runs to the right, channels lie below one another, and what is far from the mean is light. It needs no VAE, so
    it costs next to nothing; it shows where something happens and how settled it is, not what it is.
    """
    values = latent[:1].float()
    distances = (values - values.mean()).abs() / (values.std() * SPAN).clamp_min(1e-6)
    indices = (distances.clamp_max(1) * (STEPS - 1)).round().long()
    return colour_table().to(latent.device)[indices].movedim(-1, 1)


def colour_table() -> torch.Tensor:
    """The spectrogram's colours from dark to light, (STEPS, 3) from -1 to 1."""
    colours = torch.from_numpy(COLOURS).T[None] / 127.5 - 1
    return torch.nn.functional.interpolate(colours, STEPS, mode="linear", align_corners=True)[0].T
