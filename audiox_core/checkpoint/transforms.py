"""How tensors of a released file become the tensors of the models here."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Transform:
    """A function of one or two source tensors, and what it does to their shapes, so that nothing need be read.

    arrange: reorders the numbers, as a view where it can, so that reordering and casting are one copy. least_rank:
    dimensions that the last source must have.
    """

    name: str
    arrange: Callable[..., torch.Tensor]
    shape: Callable[..., Shape]
    least_rank: int = 1

    def apply(self, *sources: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The native tensor, contiguous, in the given type or the one that `arrange` returns.

        It shares memory with the source if there is nothing to do.
        """
        arranged = self.arrange(*sources)
        converted = arranged.to(dtype or arranged.dtype, memory_format=torch.contiguous_format).contiguous()
        return converted.view(self.shape(*(tuple(source.shape) for source in sources)))


def _split_qkv(rows: torch.Tensor) -> torch.Tensor:
    """Interleaved rows (row 3r + j is row r of q, k, v) -> (3, rows, ...): q, k and v one after the other."""
    return rows.unflatten(0, (-1, 3)).transpose(0, 1)


def _table_shape(shape: Shape) -> Shape:
    """Rows of a learned table: (1, n, width) -> (n, width), a number -> (1, 1)."""
    width = shape[-1] if shape else 1
    if not width:
        return shape
    return math.prod(shape) // width, width


def _fold_weight_norm(gain: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """gain * direction / |direction|, the norm over every dimension but the first; float32."""
    direction = direction.float()
    norm = torch.linalg.vector_norm(direction, dim=tuple(range(1, direction.ndim)), keepdim=True)
    return direction * (gain.float() / norm)


def _folded_shape(gain: Shape, direction: Shape) -> Shape:
    """The direction's shape; a gain that does not fit it gives its own, or a flat one, which no weight has."""
    if gain == (*direction[:1], *(1 for _ in direction[1:])):
        return direction
    return gain if gain != direction else (math.prod(gain),)


def _join_taps(weight: torch.Tensor) -> torch.Tensor:
    """Convolution (out, in, 3) -> (out, 3, in): previous, current and next position, for `models.mmdit.taps`."""
    return weight.transpose(1, 2)


KEEP = Transform("keep", lambda x: x, lambda shape: shape, least_rank=0)
SPLIT_QKV = Transform("split qkv", _split_qkv, lambda shape: shape)
EVEN_ROWS = Transform("even rows", lambda rows: rows[0::2], lambda shape: ((shape[0] + 1) // 2, *shape[1:]))
JOIN_TAPS = Transform("join taps", _join_taps, lambda shape: (shape[0], shape[1] * shape[2]), least_rank=3)
AS_TABLE = Transform("as table", lambda x: x, _table_shape, least_rank=0)
FOLD = Transform("fold weight norm", _fold_weight_norm, _folded_shape)
