"""Attention as a function that the models are handed, so that a host can bring its own."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]
"""(q, k, v, heads) -> out; q, k, v (B, heads, L, head_width), out (B, L, heads * head_width).

The scale is 1 / sqrt(head_width), and nothing is masked.
"""


def sdpa(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int) -> torch.Tensor:
    """PyTorch's scaled dot-product attention in the shape that every model here expects."""
    out = F.scaled_dot_product_attention(q, k, v)  # (B, heads, L, head_width)
    return out.transpose(1, 2).flatten(2)  # (B, L, heads * head_width)


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, L, heads * head_width) -> (B, heads, L, head_width), head-major."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)
