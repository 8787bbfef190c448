"""How tensors of a released file become the tensors that the models here hold."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Transform:
    """A function of one or two source tensors, and what it does to their shapes (so nothing need be read).

    `apply` returns float32 where it computes and the source's own dtype where it only moves numbers.
    least_rank: dimensions that the last source needs to have for it.
    """

    name: str
    apply: Callable[..., torch.Tensor]
    shape: Callable[..., Shape]
    least_rank: int = 1


def _split_qkv(rows: torch.Tensor) -> torch.Tensor:
    """Interleaved rows (row 3r + j is row r of q, k, v) -> q, k and v one after the other."""
    return rows.unflatten(0, (-1, 3)).transpose(0, 1).flatten(0, 1).contiguous()


def _even_rows(rows: torch.Tensor) -> torch.Tensor:
    return rows[0::2].contiguous()


def _join_taps(weight: torch.Tensor) -> torch.Tensor:
    """Convolution (out, in, 3) -> matrix (out, 3 in): previous, own, next position; `model.mmdit.taps`."""
    return weight.transpose(1, 2).flatten(1).contiguous()


def _fold_weight_norm(gain: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """gain * direction / |direction|, the norm over every dimension but the first; float32."""
    direction = direction.float()
    norm = torch.linalg.vector_norm(direction, dim=tuple(range(1, direction.ndim)), keepdim=True)
    return direction * (gain.float() / norm)


KEEP = Transform("keep", lambda x: x, lambda shape: shape, least_rank=0)
SPLIT_QKV = Transform("split qkv", _split_qkv, lambda shape: shape)
EVEN_ROWS = Transform("even rows", _even_rows, lambda shape: ((shape[0] + 1) // 2, *shape[1:]))
JOIN_TAPS = Transform("join taps", _join_taps, lambda shape: (shape[0], shape[1] * shape[2]), 3)
FOLD = Transform("fold weight norm", _fold_weight_norm, lambda gain, direction: direction)
