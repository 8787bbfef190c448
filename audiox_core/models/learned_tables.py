"""Learned tables and scalars as layers.

A host that patches weights (LoRA, merging) or pages them only reaches the weights of layers, so no trained value is a
bare parameter. Tables stay in float32 whatever the other layers use: they are small.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .operations import Device, Operations


def table(rows: int, width: int, *, operations: Operations, device: Device) -> nn.Embedding:
    """A learned table of `rows` vectors; see `rows_of`."""
    return operations.Embedding(rows, width, dtype=torch.float32, device=device)


def rows_of(embedding: nn.Embedding, like: Tensor) -> Tensor:
    """All rows of a table (rows, width), on the device and in the type of a tensor."""
    return embedding(torch.arange(embedding.num_embeddings, device=like.device)).to(like)
