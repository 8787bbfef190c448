"""Learned tables and scalars as layers.

A host that patches weights (LoRA, merging) or pages them reaches the weights of layers only, so nothing that was
trained is a bare parameter. They stay in float32 whatever the other layers use: they are small.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def table(rows: int, width: int, *, operations, device) -> nn.Module:
    """A learned table of `rows` vectors; see `rows_of`."""
    return operations.Embedding(rows, width, dtype=torch.float32, device=device)


def rows_of(embedding: nn.Module, like: Tensor) -> Tensor:
    """All rows of a table (rows, width), on the device and in the type of a tensor."""
    return embedding(torch.arange(embedding.num_embeddings, device=like.device)).to(like)
