"""The diffusion transformer of AudioX (arXiv 2503.10522) and AudioX-MAF: Stable Audio Open's, with prompts as context.

A sequence of one time token and one token per latent frame attends to itself and to the prompt's tokens. The prompt
does not change during a run, so the keys and values of the layers' cross-attention are computed once: `prepare`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import AudioXError
from ..lengths import LATENT_FRAMES
from .attention import Attention, sdpa, split_heads
from .latent_transformer import LatentTransformer, row_per_sound, sounds_per_prompt
from .onednn import with_onednn
from .operations import Device, FactoryKwargs, Operations
from .shapes import LATENT_CHANNELS, TOKEN_WIDTH, layer_count

HEAD_WIDTH = 64
ROTARY_WIDTH = 32
"""Channels of a head that carry its position; the others pass unchanged."""
ROTARY_BASE = 10000.0


@dataclass(frozen=True)
class DiTSizes:
    """Sizes of the transformer; the defaults are the released models'."""

    width: int = 1536
    depth: int = 24
    ffn_width: int = 6144
    latent_channels: int = LATENT_CHANNELS
    context_width: int = TOKEN_WIDTH
    time_features: int = 128

    def __post_init__(self) -> None:
        if self.width % HEAD_WIDTH or self.context_width % HEAD_WIDTH or self.heads % self.context_heads:
            raise AudioXError(
                f"The transformer has width {self.width} and prompt tokens of width {self.context_width}, expected "
                f"multiples of {HEAD_WIDTH}, the first a multiple of the second."
            )

    @property
    def heads(self) -> int:
        return self.width // HEAD_WIDTH

    @property
    def context_heads(self) -> int:
        """Heads of the prompt's keys and values; each serves several of the transformer's own."""
        return self.context_width // HEAD_WIDTH

    @property
    def latent_length(self) -> int:
        """Latent frames that the weights were trained with; the transformer runs with any number."""
        return LATENT_FRAMES

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> DiTSizes:
        """Sizes from native names and shapes, names relative to the transformer."""
        width, latent_channels = shapes["project_in.weight"]
        return cls(
            width=width,
            depth=layer_count(shapes, "layers."),
            ffn_width=shapes["layers.0.ffn_out.weight"][1],
            latent_channels=latent_channels,
            context_width=shapes["context_embed.0.weight"][0],
            time_features=shapes["time_features.weight"][0],
        )


def rotary_table(positions: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines (positions, ROTARY_WIDTH / 2) in float32; the time token is position 0."""
    exponent = torch.arange(0, ROTARY_WIDTH, 2, dtype=torch.float32, device=device) / ROTARY_WIDTH
    angles = torch.arange(positions, dtype=torch.float32, device=device)[:, None] * (1 / ROTARY_BASE**exponent)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions on the first channels of each head, x (..., L, HEAD_WIDTH); channel i turns with i + 16."""
    cos, sin = table
    half = ROTARY_WIDTH // 2
    a, b, rest = x.split((half, half, HEAD_WIDTH - ROTARY_WIDTH), dim=-1)
    a, b = a.float(), b.float()
    return torch.cat(((a * cos - b * sin).to(x), (b * cos + a * sin).to(x), rest), dim=-1)


class Layer(nn.Module):
    """Pre-norm transformer layer: attention to itself, attention to the prompt, gated feed-forward."""

    def __init__(self, sizes: DiTSizes, *, operations: Operations, dtype: torch.dtype | None, device: Device) -> None:
        super().__init__()
        width = sizes.width
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        self.heads, self.context_heads = sizes.heads, sizes.context_heads
        self.attn_norm = operations.LayerNorm(width, **factory)
        self.qkv = operations.Linear(width, 3 * width, bias=False, **factory)
        self.attn_out = operations.Linear(width, width, bias=False, **factory)
        self.cross_norm = operations.LayerNorm(width, **factory)
        self.cross_q = operations.Linear(width, width, bias=False, **factory)
        self.cross_kv = operations.Linear(sizes.context_width, 2 * sizes.context_width, bias=False, **factory)
        self.cross_out = operations.Linear(width, width, bias=False, **factory)
        self.ffn_norm = operations.LayerNorm(width, **factory)
        self.ffn_in = operations.Linear(width, 2 * sizes.ffn_width, **factory)
        self.ffn_out = operations.Linear(sizes.ffn_width, width, **factory)

    def keys_values(self, context: Tensor) -> Tensor:
        """Keys and values (C, 2, context_heads, N, HEAD_WIDTH) of the embedded prompt (C, N, context_width)."""
        return self.cross_kv(context).unflatten(-1, (2, self.context_heads, HEAD_WIDTH)).permute(0, 2, 3, 1, 4)

    def attend(self, x: Tensor, table: tuple[Tensor, Tensor], attention: Attention) -> Tensor:
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        return self.attn_out(attention(rotate(q, table), rotate(k, table), v, self.heads))

    def attend_to_prompt(self, x: Tensor, keys_values: Tensor, attention: Attention) -> Tensor:
        shared = keys_values.repeat_interleave(self.heads // self.context_heads, dim=2)  # neighbours share a key
        k, v = shared.unbind(1)
        return self.cross_out(attention(split_heads(self.cross_q(x), self.heads), k, v, self.heads))

    def forward(self, h: Tensor, keys_values: Tensor, table: tuple[Tensor, Tensor], attention: Attention) -> Tensor:
        """One layer: h (B, 1 + L, width), keys_values (B, 2, context_heads, N, HEAD_WIDTH)."""
        h = h + self.attend(self.attn_norm(h), table, attention)
        h = h + self.attend_to_prompt(self.cross_norm(h), keys_values, attention)
        value, gate = self.ffn_in(self.ffn_norm(h)).chunk(2, dim=-1)
        return h + self.ffn_out(value * F.silu(gate))


class DiT(LatentTransformer):
    """Predicts v of a latent at a time: z_t = cos(a) * sound + sin(a) * noise at the angle a = t pi / 2, v = dz/da."""

    def __init__(
        self, sizes: DiTSizes, operations: Operations = nn, dtype: torch.dtype | None = None, device: Device = None
    ) -> None:
        super().__init__(sizes, operations, dtype, device)
        self.sizes = sizes
        width = sizes.context_width
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        # No biases: a prompt of zeros stays zero through the keys and values, and adds nothing.
        self.context_embed = nn.Sequential(
            operations.Linear(width, width, bias=False, **factory),
            nn.SiLU(),
            operations.Linear(width, width, bias=False, **factory),
        )
        self.layers = nn.ModuleList(Layer(sizes, operations=operations, **factory) for _ in range(sizes.depth))

    @with_onednn
    def prepare(self, context: Tensor) -> Tensor:
        """Keys and values of the prompt for every layer, computed once per run.

        context (C, N, context_width) -> (C, depth, 2, context_heads, N, HEAD_WIDTH): with AudioX-MAF's 1979 tokens
        17 % of an evaluation's arithmetic, 292 MB a prompt in float32.
        """
        context = self.context_embed(context)
        shape = (context.shape[0], len(self.layers), 2, self.sizes.context_heads, context.shape[1], HEAD_WIDTH)
        out = context.new_empty(shape)
        for i, layer in enumerate(cast("Iterable[Layer]", self.layers)):
            out[:, i] = layer.keys_values(context)
        return out

    def check_latent(self, x: Tensor) -> None:
        """AudioXError for a latent with another number of channels."""
        channels = self.sizes.latent_channels
        if x.ndim != 3 or x.shape[1] != channels:
            raise AudioXError(
                f"The latent has the shape {list(x.shape)}, expected [batch, {channels}, frames]: start from Empty "
                "AudioX Latent or Empty Latent Audio."
            )

    @with_onednn
    def forward(self, x: Tensor, t: Tensor, prepared: Tensor, attention: Attention = sdpa) -> Tensor:
        """v (B, latent_channels, L) of the latent x, same shape, at the times t (B,) in 0..1; any length L.

        prepared (C, ...) comes from `prepare`; B is a multiple of C, and each row of it serves B / C consecutive
        items of the batch.
        """
        self.check_latent(x)
        repeats = sounds_per_prompt(prepared.shape[0], x.shape[0])
        h, _ = self.enter(x, t)
        table = rotary_table(h.shape[1], h.device)
        for i, layer in enumerate(self.layers):
            h = layer(h, row_per_sound(prepared[:, i], repeats), table, attention)
        return self.leave(h)
