"""What both transformers share around their layers: a time token, one token per latent frame, and the way back."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from ..errors import AudioXError
from .operations import Device, FactoryKwargs, Operations


class TransformerSizes(Protocol):
    """The sizes that do not depend on the layers."""

    @property
    def width(self) -> int: ...

    @property
    def latent_channels(self) -> int: ...

    @property
    def time_features(self) -> int: ...


class LatentTransformer(nn.Module):
    """Latent and time to tokens, tokens to the network's output; the layers in between are the subclass's."""

    def __init__(
        self,
        sizes: TransformerSizes,
        operations: Operations = nn,
        dtype: torch.dtype | None = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        width, channels = sizes.width, sizes.latent_channels
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        self.time_features = operations.Linear(1, sizes.time_features, bias=False, dtype=torch.float32, device=device)
        self.time_embed = nn.Sequential(
            operations.Linear(2 * sizes.time_features, width, **factory),
            nn.SiLU(),
            operations.Linear(width, width, **factory),
        )
        self.preprocess_conv = operations.Conv1d(channels, channels, 1, bias=False, **factory)
        self.project_in = operations.Linear(channels, width, bias=False, **factory)
        self.project_out = operations.Linear(width, channels, bias=False, **factory)
        self.postprocess_conv = operations.Conv1d(channels, channels, 1, bias=False, **factory)

    def embed_time(self, t: Tensor) -> Tensor:
        """Random Fourier features of times (B,) in 0..1: cosines and sines (B, 2 * features), in float32."""
        angles = self.time_features(2 * math.pi * t.float()[:, None])
        return torch.cat((angles.cos(), angles.sin()), dim=-1)

    def enter(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, 1 + L, width) of a latent (B, latent_channels, L), the time token first, and time (B, width)."""
        x = x + self.preprocess_conv(x)
        time = self.time_embed(self.embed_time(t).to(x))
        return torch.cat((time[:, None], self.project_in(x.transpose(1, 2))), dim=1), time

    def leave(self, h: Tensor) -> Tensor:
        """Output (B, latent_channels, L) of the tokens (B, 1 + L, width)."""
        y = self.project_out(h)[:, 1:].transpose(1, 2)
        return y + self.postprocess_conv(y)


def sounds_per_prompt(prompts: int, sounds: int) -> int:
    """How many items of a latent batch each row of a prompt batch serves; AudioXError when they do not divide."""
    if sounds % prompts:
        raise AudioXError(
            f"The latent is a batch of {sounds}, expected a multiple of the {prompts} prompts: "
            "generate as many sounds as there are prompts, or use one prompt."
        )
    return sounds // prompts


def row_per_sound(rows: Tensor, repeats: int) -> Tensor:
    """A row for each item of the latent batch, each given row `repeats` times; not a copy if that is once."""
    return rows if repeats == 1 else rows.repeat_interleave(repeats, dim=0)
