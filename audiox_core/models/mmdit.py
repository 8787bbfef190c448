"""The diffusion transformer of AudioX-Turbo and its teacher (arXiv 2606.12555).

A sequence of one time token and one token per latent frame runs through layers whose shifts, scales and gates come,
position by position, from the fused prompt context alone. Time enters as token 0 and as one vector that each layer
adds to all positions. The context therefore fixes the modulation of a whole sampling run: `prepare` computes it once.
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
from .attention import Attention, sdpa
from .latent_transformer import LatentTransformer, row_per_sound, sounds_per_prompt
from .onednn import with_onednn
from .operations import Device, FactoryKwargs, Operations
from .shapes import LATENT_CHANNELS, TOKEN_WIDTH, layer_count

HEAD_WIDTH = 24  # the official configuration says 24 heads; its code and so the weights have 64 heads of width 24
QK_NORM_EPS = 1e-6
ROPE_BASE = 10000.0


@dataclass(frozen=True)
class MMDiTSizes:
    """Sizes of the transformer; the defaults are the released models'."""

    width: int = 1536
    depth: int = 24
    ffn_width: int = 4096
    latent_channels: int = LATENT_CHANNELS
    latent_length: int = LATENT_FRAMES
    context_tokens: int = 384
    context_width: int = TOKEN_WIDTH
    time_features: int = 128

    def __post_init__(self) -> None:
        if self.width % HEAD_WIDTH:
            raise AudioXError(f"The transformer's width is {self.width}, expected a multiple of {HEAD_WIDTH}.")

    @property
    def heads(self) -> int:
        return self.width // HEAD_WIDTH

    @property
    def positions(self) -> int:
        """One time token, then one token per latent frame."""
        return 1 + self.latent_length

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> MMDiTSizes:
        """Sizes from native names and shapes, names relative to the transformer."""
        positions, context_tokens = shapes["context_to_positions.weight"]
        width, latent_channels = shapes["project_in.weight"]
        return cls(
            width=width,
            depth=layer_count(shapes, "layers."),
            ffn_width=shapes["layers.0.ffn.w1.weight"][0],
            latent_channels=latent_channels,
            latent_length=positions - 1,
            context_tokens=context_tokens,
            context_width=shapes["context_proj.weight"][1],
            time_features=shapes["time_features.weight"][0],
        )


def taps(x: Tensor) -> Tensor:
    """Previous, current and next position side by side, zeros beyond the ends: (B, L, C) -> (B, L, 3 C).

    A convolution of kernel 3 over positions is then one matrix product, which is faster than a 1-D convolution
    (about 1.5 times in float32 and 10 times in bfloat16 on a CPU) and lets quantised Linear layers serve it.
    """
    padded = F.pad(x, (0, 0, 1, 1))
    return torch.cat((padded[:, :-2], x, padded[:, 2:]), dim=-1)


def rotary_table(positions: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines (positions, HEAD_WIDTH / 2) of the rotary angles, in float32; the time token is position 0."""
    exponent = torch.arange(0, HEAD_WIDTH, 2, dtype=torch.float32, device=device) / HEAD_WIDTH
    angles = torch.arange(positions, dtype=torch.float32, device=device)[:, None] / ROPE_BASE**exponent
    return angles.cos(), angles.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions on neighbouring pairs of components, x (..., L, HEAD_WIDTH)."""
    cos, sin = table
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)  # (..., L, HEAD_WIDTH / 2)
    return torch.stack((a * cos - b * sin, b * cos + a * sin), dim=-1).flatten(-2).to(x)


class FeedForward(nn.Module):
    """SwiGLU whose three maps look at three neighbouring positions."""

    def __init__(
        self, width: int, hidden: int, *, operations: Operations, dtype: torch.dtype | None, device: Device
    ) -> None:
        super().__init__()
        self.w1 = operations.Linear(3 * width, hidden, bias=False, dtype=dtype, device=device)
        self.w2 = operations.Linear(3 * hidden, width, bias=False, dtype=dtype, device=device)
        self.w3 = operations.Linear(3 * width, hidden, bias=False, dtype=dtype, device=device)

    def forward(self, x: Tensor) -> Tensor:
        x = taps(x)
        return self.w2(taps(F.silu(self.w1(x)).mul_(self.w3(x))))


class Layer(nn.Module):
    """Transformer layer with modulated attention and feed-forward, and a term of the time between them."""

    def __init__(self, sizes: MMDiTSizes, *, operations: Operations, dtype: torch.dtype | None, device: Device) -> None:
        super().__init__()
        width = sizes.width
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        self.heads = sizes.heads
        self.qkv = operations.Linear(width, 3 * width, **factory)
        self.attn_out = operations.Linear(3 * width, width, **factory)
        self.time_key = operations.Linear(width, width, bias=False, **factory)
        self.ffn = FeedForward(width, sizes.ffn_width, operations=operations, **factory)
        self.modulation = operations.Linear(width, 6 * width, **factory)

    def attend(self, x: Tensor, table: tuple[Tensor, Tensor], attention: Attention) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, HEAD_WIDTH)).permute(2, 0, 3, 1, 4)  # (B, heads, L, 24)
        q = rotate(F.rms_norm(q, (HEAD_WIDTH,), eps=QK_NORM_EPS), table)
        k = rotate(F.rms_norm(k, (HEAD_WIDTH,), eps=QK_NORM_EPS), table)
        return attention(q, k, v, self.heads)  # (B, L, width)

    def time_term(self, time: Tensor) -> Tensor:
        """What the official cross-attention to the single time token comes to: its normalised keys, (B, 1, width).

        The official code passes keys and values in the wrong order, and there is only one key, so queries and values
        have no effect. The weights were trained with it.
        """
        key = self.time_key(time).unflatten(-1, (self.heads, HEAD_WIDTH))
        return F.rms_norm(key, (HEAD_WIDTH,), eps=QK_NORM_EPS).flatten(-2)[:, None]

    def forward(
        self, h: Tensor, time: Tensor, modulation: Tensor, table: tuple[Tensor, Tensor], attention: Attention
    ) -> Tensor:
        """One layer: h (B, L, width), time (B, width), modulation (B, 6, L, width) as `MMDiT.prepare` gives it."""
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.unbind(1)
        a = self.attend(torch.addcmul(shift1, layer_norm(h), scale1), table, attention)
        h = torch.addcmul(h, self.attn_out(taps(a)), gate1)
        h = h + self.time_term(time)
        y = torch.addcmul(shift2, layer_norm(h), scale2)
        return torch.addcmul(h, self.ffn(y), gate2)


def layer_norm(x: Tensor) -> Tensor:
    """Layer norm over the last axis, without learned scale and shift."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-5)


class MMDiT(LatentTransformer):
    """Predicts the velocity of a latent at a time, or v in models trained for that; the layers are the same.

    Velocity: z_t = (1 - t) * sound + t * noise, v = noise - sound.
    """

    def __init__(
        self, sizes: MMDiTSizes, operations: Operations = nn, dtype: torch.dtype | None = None, device: Device = None
    ) -> None:
        super().__init__(sizes, operations, dtype, device)
        self.sizes = sizes
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        self.context_proj = operations.Linear(sizes.context_width, sizes.width, **factory)
        self.context_to_positions = operations.Linear(sizes.context_tokens, sizes.positions, **factory)
        self.layers = nn.ModuleList(Layer(sizes, operations=operations, **factory) for _ in range(sizes.depth))

    @with_onednn
    def prepare(self, context: Tensor) -> Tensor:
        """Shifts, scales (one already added) and gates of every layer.

        context (C, context_tokens, context_width) -> (C, depth, 6, positions, width). It does not depend on time or
        latent, so one call serves a whole run: 16 % of an evaluation's arithmetic, 210 MB a context in float32.
        """
        m = self.context_proj(context)  # (C, tokens, width)
        m = F.silu(self.context_to_positions(m.transpose(1, 2)).transpose(1, 2))  # (C, positions, width)
        out = m.new_empty(m.shape[0], self.sizes.depth, 6, *m.shape[1:])
        for i, layer in enumerate(cast("Iterable[Layer]", self.layers)):
            out[:, i] = layer.modulation(m).unflatten(-1, (6, -1)).movedim(2, 1)  # (C, 6, positions, width)
        out[:, :, 1::3] += 1  # scales multiply as 1 + scale
        return out

    def check_latent(self, x: Tensor) -> None:
        """AudioXError for a latent of another shape."""
        expected = (self.sizes.latent_channels, self.sizes.latent_length)
        if tuple(x.shape[1:]) != expected:
            raise AudioXError(
                f"The latent has the shape {list(x.shape)}, expected [batch, {expected[0]}, {expected[1]}]: this "
                "model has one fixed length, so start from its own empty latent and trim the decoded sound."
            )

    @with_onednn
    def forward(self, x: Tensor, t: Tensor, prepared: Tensor, attention: Attention = sdpa) -> Tensor:
        """Output (B, latent_channels, latent_length) of the latent x, same shape, at the times t (B,) in 0..1.

        prepared (C, ...) comes from `prepare`; B is a multiple of C, and each row of it serves B / C consecutive
        items of the batch. Raises AudioXError for any other latent length.
        """
        self.check_latent(x)
        repeats = sounds_per_prompt(prepared.shape[0], x.shape[0])
        h, time = self.enter(x, t)
        table = rotary_table(self.sizes.positions, h.device)
        for i, layer in enumerate(self.layers):
            h = layer(h, time, row_per_sound(prepared[:, i], repeats), table, attention)
        return self.leave(h)
