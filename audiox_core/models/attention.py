"""Attention as a function that the models are given, so that a host can bring its own."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]
"""(q, k, v, heads) -> out; q, k, v (B, heads, L, head_width), out (B, L, heads * head_width).

The scale is 1 / sqrt(head_width), and nothing is masked.
"""

FEW_QUERIES = 16
"""Up to this many queries, plain products take half the time of PyTorch's fused attention on a CPU, which works on
blocks of queries (Synchformer's attention over time has 8)."""


def sdpa(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int) -> torch.Tensor:
    """PyTorch's scaled dot-product attention in the shape that every model here expects."""
    if q.is_cpu and q.shape[-2] <= FEW_QUERIES:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        out = scores.softmax(dim=-1) @ v
    else:
        out = F.scaled_dot_product_attention(q, k, v)  # (B, heads, L, head_width)
    return out.transpose(1, 2).flatten(2)  # (B, L, heads * head_width)


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, L, heads * head_width) -> (B, heads, L, head_width), head-major."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)
