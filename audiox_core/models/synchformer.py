"""Synchformer's visual branch: features of what happens when in a video (arXiv 2401.16423).

A Motionformer with divided space-time attention (arXiv 2106.05392) over segments of 16 frames at 25 a second. Each
segment is processed alone and gives 8 vectors. Names are those of the released weights, without the branch's prefix.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import AudioXError
from ..lengths import SEGMENT_STRIDE_FRAMES, segments_from_frames
from .attention import Attention, sdpa, split_heads
from .onednn import with_onednn
from .operations import Device, FactoryKwargs, Operations
from .shapes import TOKEN_WIDTH, layer_count

HEAD_WIDTH = 64
NORM_EPS = 1e-6
CPU_ROWS = 256
"""Tokens that the feed-forward layers work on at once on a CPU."""


@dataclass(frozen=True)
class SynchformerSizes:
    """Sizes of Synchformer's visual branch; the defaults are the released model's.

    `patch_frames` frames of `patch_size` x `patch_size` pixels make one token; a segment has `times` tokens after
    each other at each of `positions` patches of a square picture.
    """

    width: int = TOKEN_WIDTH
    depth: int = 12
    ffn_width: int = 3072
    patch_size: int = 16
    patch_frames: int = 2
    times: int = 8
    positions: int = 196

    def __post_init__(self) -> None:
        if self.width % HEAD_WIDTH:
            raise AudioXError(f"Synchformer's width is {self.width}, expected a multiple of {HEAD_WIDTH}.")
        if math.isqrt(self.positions) ** 2 != self.positions:
            raise AudioXError(f"Synchformer has {self.positions} patches per picture, expected a square number.")

    @property
    def heads(self) -> int:
        return self.width // HEAD_WIDTH

    @property
    def segment_frames(self) -> int:
        """Frames in a segment: 16."""
        return self.times * self.patch_frames

    @property
    def image_size(self) -> int:
        """Pixels of a picture's side: 224."""
        return math.isqrt(self.positions) * self.patch_size

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> SynchformerSizes:
        """Sizes from native names and shapes."""
        width, _, patch_frames, patch_size, _ = shapes["patch_embed_3d.proj.weight"]
        return cls(
            width=width,
            depth=layer_count(shapes, "blocks."),
            ffn_width=shapes["blocks.0.mlp.fc1.weight"][0],
            patch_size=patch_size,
            patch_frames=patch_frames,
            times=shapes["temp_embed"][1],
            positions=shapes["pos_embed"][1] - 1,
        )


class PatchEmbedding(nn.Module):
    """Blocks of frames and pixels to tokens: (S, frames, 3, H, W) -> (S, times, positions, width)."""

    def __init__(
        self, sizes: SynchformerSizes, *, operations: Operations, dtype: torch.dtype | None, device: Device
    ) -> None:
        super().__init__()
        kernel = (sizes.patch_frames, sizes.patch_size, sizes.patch_size)
        self.proj = operations.Conv3d(3, sizes.width, kernel, stride=kernel, dtype=dtype, device=device)

    def forward(self, frames: Tensor) -> Tensor:
        x = self.proj(frames.transpose(1, 2))  # (S, width, times, rows, columns)
        return x.flatten(3).permute(0, 2, 3, 1)  # (S, times, positions, width)


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, attention: Attention) -> Tensor:
    """Attention of q (B, L, width) to k and v (B, M, width): (B, L, width)."""
    return attention(split_heads(q, heads), split_heads(k, heads), split_heads(v, heads), heads)


class DividedAttention(nn.Module):
    """Attention over the times of a position or the positions of a time; the class token sees and is seen by all."""

    def __init__(
        self,
        sizes: SynchformerSizes,
        *,
        over_time: bool,
        operations: Operations,
        dtype: torch.dtype | None,
        device: Device,
    ) -> None:
        super().__init__()
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        self.heads, self.times, self.over_time = sizes.heads, sizes.times, over_time
        self.qkv = operations.Linear(sizes.width, 3 * sizes.width, **factory)
        self.proj = operations.Linear(sizes.width, sizes.width, **factory)

    def groups(self, x: Tensor) -> Tensor:
        """Patch tokens (S, times * positions, width) -> (S, groups, group length, width), and their own inverse."""
        x = x.unflatten(1, (self.times, -1))
        return x.transpose(1, 2) if self.over_time else x

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        """x (S, 1 + times * positions, width), the class token first; the same shape out."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        summary = attend(q[:, :1], k, v, self.heads, attention)  # (S, 1, width)
        queries = self.groups(q[:, 1:])  # (S, groups, length, width)
        keys, values = (self.with_class(part, queries.shape[1]) for part in (k, v))  # (S, groups, 1 + length, width)
        flat_keys, flat_values = keys.flatten(0, 1), values.flatten(0, 1)  # (S * groups, 1 + length, width)
        mixed = attend(queries.flatten(0, 1), flat_keys, flat_values, self.heads, attention)
        mixed = mixed.unflatten(0, queries.shape[:2])
        if self.over_time:
            mixed = mixed.transpose(1, 2)
        return self.proj(torch.cat((summary, mixed.flatten(1, 2)), dim=1))

    def with_class(self, x: Tensor, groups: int) -> Tensor:
        """Each group of patch tokens with the class token in front."""
        return torch.cat((x[:, None, :1].expand(-1, groups, -1, -1), self.groups(x[:, 1:])), dim=2)


class MLP(nn.Module):
    """Two maps with gelu in between."""

    def __init__(
        self, sizes: SynchformerSizes, *, operations: Operations, dtype: torch.dtype | None, device: Device
    ) -> None:
        super().__init__()
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        self.fc1 = operations.Linear(sizes.width, sizes.ffn_width, **factory)
        self.fc2 = operations.Linear(sizes.ffn_width, sizes.width, **factory)

    def forward(self, x: Tensor) -> Tensor:
        # In chunks on a CPU: the hidden values then stay in the cache and in memory that is already mapped.
        chunks = x.split(CPU_ROWS if x.is_cpu else x.shape[1], dim=1)
        return torch.cat([self.fc2(F.gelu(self.fc1(chunk))) for chunk in chunks], dim=1)


class Block(nn.Module):
    """Attention over time, attention over space, feed-forward; the norms are numbered as in the released weights."""

    def __init__(
        self, sizes: SynchformerSizes, *, operations: Operations, dtype: torch.dtype | None, device: Device
    ) -> None:
        super().__init__()
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        self.norm1 = operations.LayerNorm(sizes.width, eps=NORM_EPS, **factory)
        self.attn = DividedAttention(sizes, over_time=False, operations=operations, **factory)
        self.timeattn = DividedAttention(sizes, over_time=True, operations=operations, **factory)
        self.norm2 = operations.LayerNorm(sizes.width, eps=NORM_EPS, **factory)
        self.mlp = MLP(sizes, operations=operations, **factory)
        self.norm3 = operations.LayerNorm(sizes.width, eps=NORM_EPS, **factory)

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        x = x + self.timeattn(self.norm3(x), attention)
        x = x + self.attn(self.norm1(x), attention)
        return x + self.mlp(self.norm2(x))


class SelfAttention(nn.Module):
    """Attention of the first token to all of them."""

    def __init__(
        self, sizes: SynchformerSizes, *, operations: Operations, dtype: torch.dtype | None, device: Device
    ) -> None:
        super().__init__()
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        self.heads = sizes.heads
        self.in_proj = operations.Linear(sizes.width, 3 * sizes.width, **factory)
        self.out_proj = operations.Linear(sizes.width, sizes.width, **factory)

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        """What the first token of x (B, L, width) gathers: (B, 1, width)."""
        q, k, v = self.in_proj(x).chunk(3, dim=-1)
        return self.out_proj(attend(q[:, :1], k, v, self.heads, attention))


class SpatialAggregation(nn.Module):
    """A transformer layer whose class token sums up the positions of one time; the other tokens' output is unused."""

    def __init__(
        self, sizes: SynchformerSizes, *, operations: Operations, dtype: torch.dtype | None, device: Device
    ) -> None:
        super().__init__()
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        self.cls_token = nn.Parameter(torch.empty(1, 1, sizes.width, **factory))
        self.self_attn = SelfAttention(sizes, operations=operations, **factory)
        self.linear1 = operations.Linear(sizes.width, sizes.ffn_width, **factory)
        self.linear2 = operations.Linear(sizes.ffn_width, sizes.width, **factory)
        self.norm1 = operations.LayerNorm(sizes.width, eps=NORM_EPS, **factory)
        self.norm2 = operations.LayerNorm(sizes.width, eps=NORM_EPS, **factory)

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        """(B, positions, width) -> (B, width)."""
        token = self.cls_token.to(x).expand(x.shape[0], -1, -1)
        x = self.norm1(torch.cat((token, x), dim=1))  # (B, 1 + positions, width)
        token = token + self.self_attn(x, attention)
        return (token + self.linear2(F.gelu(self.linear1(self.norm2(token))))).squeeze(1)


class Synchformer(nn.Module):
    """Segments of a video to 8 vectors each."""

    def __init__(
        self,
        sizes: SynchformerSizes,
        operations: Operations = nn,
        dtype: torch.dtype | None = None,
        device: Device = None,
        attention: Attention = sdpa,
    ) -> None:
        super().__init__()
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        self.sizes, self.attention = sizes, attention
        self.cls_token = nn.Parameter(torch.empty(1, 1, sizes.width, **factory))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + sizes.positions, sizes.width, **factory))
        self.temp_embed = nn.Parameter(torch.empty(1, sizes.times, sizes.width, **factory))
        self.patch_embed_3d = PatchEmbedding(sizes, operations=operations, **factory)
        self.blocks = nn.ModuleList(Block(sizes, operations=operations, **factory) for _ in range(sizes.depth))
        self.norm = operations.LayerNorm(sizes.width, eps=NORM_EPS, **factory)
        self.spatial_attn_agg = SpatialAggregation(sizes, operations=operations, **factory)

    def embed(self, frames: Tensor) -> Tensor:
        """Segments to positioned tokens (S, 1 + times * positions, width), the class token first."""
        patches = self.patch_embed_3d(frames)  # (S, times, positions, width)
        positions = self.pos_embed.to(patches)
        patches = patches + positions[:, None, 1:] + self.temp_embed.to(patches)[:, :, None]
        token = self.cls_token.to(patches) + positions[:, :1]
        return torch.cat((token.expand(len(patches), -1, -1), patches.flatten(1, 2)), dim=1)

    def patch_features(self, frames: Tensor) -> Tensor:
        """Segments to normed patch tokens (S, times * positions, width), before the aggregation over space."""
        sizes = self.sizes
        expected = (sizes.segment_frames, 3, sizes.image_size, sizes.image_size)
        if frames.ndim != 5 or tuple(frames.shape[1:]) != expected:
            raise AudioXError(
                f"Synchformer was given frames of shape {list(frames.shape)}, expected [segments, "
                f"{', '.join(map(str, expected))}]: resize the video and cut it with `segments`."
            )
        x = self.embed(frames)
        for block in self.blocks:
            x = block(x, self.attention)
        return self.norm(x[:, 1:])

    def forward(self, frames: Tensor) -> Tensor:
        """Segments (S, 16, 3, 224, 224) in -1..1, 25 frames a second -> features (S, 8, width)."""
        x = self.patch_features(frames).unflatten(1, (self.sizes.times, -1))  # (S, times, positions, width)
        return self.spatial_attn_agg(x.flatten(0, 1), self.attention).unflatten(0, x.shape[:2])


def segments(frames: Tensor, segment_frames: int = 16) -> Tensor:
    """Overlapping segments of a clip: (N, 3, H, W) -> (S, segment_frames, 3, H, W), a view of the same pixels.

    AudioXError when the clip is shorter than one segment.
    """
    if frames.ndim != 4 or segments_from_frames(len(frames), segment_frames) < 1:
        raise AudioXError(
            f"The video for Synchformer has the shape {list(frames.shape)}, expected [frames, 3, height, width] with "
            f"at least {segment_frames} frames."
        )
    return frames.unfold(0, segment_frames, SEGMENT_STRIDE_FRAMES).movedim(-1, 1)  # (S, segment_frames, 3, H, W)


def normalise(pixels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 0..255 -> -1..1 in a type."""
    return pixels.to(torch.float32).div_(127.5).sub_(1).to(dtype)


def distinct(clip: Tensor) -> tuple[list[int], list[int]]:
    """(segments that differ from the one before, for each segment its index in that list)."""
    firsts: list[int] = []
    indices = []
    for i, segment in enumerate(clip):
        if i == 0 or not torch.equal(segment, clip[firsts[-1]]):
            firsts.append(i)
        indices.append(len(firsts) - 1)
    return firsts, indices


def segments_at_once(device: torch.device) -> int:
    """How many segments a device is given in one call; a CPU's cache holds no more than one."""
    return 1 if device.type == "cpu" else 4


@torch.no_grad()
@with_onednn
def encode(
    model: Synchformer,
    frames: Tensor,
    *,
    segments_per_call: int | None = None,
    dtype: torch.dtype | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Features (1, 8 * segments, width) of a clip (N, 3, 224, 224) of uint8 frames at 25 a second.

    Segments that repeat the one before, as in a static image, are computed once. segments_per_call:
    `segments_at_once` by default. dtype: the type of the pixels that the model gets, by default that of its weights;
    a host whose layers cast their weights can choose another. progress(done, total) counts computed segments and may
    raise to stop.
    """
    clip = segments(frames, model.sizes.segment_frames)
    dtype = dtype or model.temp_embed.dtype
    segments_per_call = segments_per_call or segments_at_once(frames.device)
    firsts, indices = distinct(clip)
    features = []
    for start in range(0, len(firsts), segments_per_call):
        features.append(model(normalise(clip[firsts[start : start + segments_per_call]], dtype)))
        if progress is not None:
            progress(min(start + segments_per_call, len(firsts)), len(firsts))
    return torch.cat(features)[indices].flatten(0, 1)[None]  # (1, 8 * segments, width)
