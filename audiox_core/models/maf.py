"""Multimodal adaptive fusion: the block that weighs text, video and audio prompts against each other.

The official code names the parameters for the order video, text, audio but calls the block with text, video, audio.
The released weights were trained that way; the names here say which modality each parameter acts on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import AudioXError
from .attention import Attention, sdpa, split_heads
from .learned_tables import rows_of, table
from .operations import Device, FactoryKwargs, Operations
from .shapes import TOKEN_WIDTH, layer_count

HEAD_WIDTH = 32
MODALITIES = ("text", "video", "audio")


@dataclass(frozen=True)
class MAFSizes:
    """Sizes of the fusion block; the defaults are the released models'."""

    width: int = TOKEN_WIDTH
    depth: int = 8
    ffn_width: int = 3072
    gate_width: int = TOKEN_WIDTH
    experts: int = 192

    def __post_init__(self) -> None:
        if self.width % HEAD_WIDTH or self.experts % len(MODALITIES):
            raise AudioXError(
                f"The fusion block has width {self.width} and {self.experts} experts, expected multiples of "
                f"{HEAD_WIDTH} and {len(MODALITIES)}."
            )

    @property
    def heads(self) -> int:
        return self.width // HEAD_WIDTH

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> MAFSizes:
        """Sizes from native names and shapes, names relative to the block."""
        experts, width = shapes["experts.weight"]
        return cls(
            width=width,
            depth=layer_count(shapes, "layers."),
            ffn_width=shapes["layers.0.linear1.weight"][0] if "layers.0.linear1.weight" in shapes else 0,
            gate_width=shapes["gating_network.0.weight"][0],
            experts=experts,
        )


class MultiheadAttention(nn.Module):
    """Attention with one stacked projection for queries, keys and values, as the checkpoint stores it."""

    def __init__(self, width: int, *, operations: Operations, dtype: torch.dtype | None, device: Device) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.in_proj = operations.Linear(width, 3 * width, dtype=dtype, device=device)
        self.out_proj = operations.Linear(width, width, dtype=dtype, device=device)

    def forward(self, query: Tensor, source: Tensor, attention: Attention) -> Tensor:
        """query (B, N, width) attends to source (B, M, width)."""
        width = query.shape[-1]
        if query is source:
            q, k, v = self.in_proj(query).chunk(3, dim=-1)
        else:  # one product over both inputs keeps the stacked weight whole; the unused parts are small
            both = self.in_proj(torch.cat((query, source), dim=1))
            q = both[:, : query.shape[1], :width]
            k, v = both[:, query.shape[1] :, width:].chunk(2, dim=-1)
        q, k, v = (split_heads(x, self.heads) for x in (q, k, v))
        return self.out_proj(attention(q, k, v, self.heads))


class FusionLayer(nn.Module):
    """Pre-norm transformer encoder layer."""

    def __init__(self, sizes: MAFSizes, *, operations: Operations, dtype: torch.dtype | None, device: Device) -> None:
        super().__init__()
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        self.self_attn = MultiheadAttention(sizes.width, operations=operations, **factory)
        self.linear1 = operations.Linear(sizes.width, sizes.ffn_width, **factory)
        self.linear2 = operations.Linear(sizes.ffn_width, sizes.width, **factory)
        self.norm1 = operations.LayerNorm(sizes.width, **factory)
        self.norm2 = operations.LayerNorm(sizes.width, **factory)

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        y = self.norm1(x)
        x = x + self.self_attn(y, y, attention)
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x))))


class MAF(nn.Module):
    """Shifts all tokens of each modality by one vector, which a group of experts computes from all three."""

    def __init__(
        self, sizes: MAFSizes, operations: Operations = nn, dtype: torch.dtype | None = None, device: Device = None
    ) -> None:
        super().__init__()
        width = sizes.width
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        self.sizes = sizes
        self.experts = table(sizes.experts, width, operations=operations, device=device)
        for name in MODALITIES:
            self.add_module(f"bypass_gate_{name}", table(1, 1, operations=operations, device=device))
            self.add_module(f"norm_{name}", operations.LayerNorm(width, **factory))
        self.gating_network = nn.Sequential(
            operations.Linear(len(MODALITIES) * width, sizes.gate_width, **factory),
            nn.GELU(),
            operations.Linear(sizes.gate_width, len(MODALITIES), **factory),
        )
        self.cross_attn = MultiheadAttention(width, operations=operations, **factory)
        self.norm1 = operations.LayerNorm(width, **factory)
        self.layers = nn.ModuleList(FusionLayer(sizes, operations=operations, **factory) for _ in range(sizes.depth))

    def forward(self, text: Tensor, video: Tensor, audio: Tensor, attention: Attention = sdpa) -> Tensor:
        """Tokens (B, N, width) of each modality, N may differ -> context (B, all N, width): text, video, audio."""
        groups = (text, video, audio)
        gates = torch.sigmoid(self.gating_network(torch.cat([g.mean(dim=1) for g in groups], dim=-1)))  # (B, 3)
        source = torch.cat([g * gates[:, i, None, None] for i, g in enumerate(groups)], dim=1)  # (B, all N, width)
        e = rows_of(self.experts, text).expand(text.shape[0], -1, -1)  # (B, experts, width)
        e = self.norm1(e + self.cross_attn(e, source, attention))
        for layer in self.layers:
            e = layer(e, attention)
        opinions = e.unflatten(1, (len(MODALITIES), -1)).mean(dim=2)  # (B, 3, width)
        out = []
        for i, (name, tokens) in enumerate(zip(MODALITIES, groups, strict=True)):
            gate = torch.sigmoid(rows_of(getattr(self, f"bypass_gate_{name}"), tokens))  # (1, 1)
            out.append(tokens + gate * getattr(self, f"norm_{name}")(opinions[:, i, None]))
        return torch.cat(out, dim=1)
