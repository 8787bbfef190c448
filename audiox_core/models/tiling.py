"""Layers run over pieces of the time axis: the same numbers up to rounding, in less memory."""

from collections.abc import Callable

import torch

CPU_TILE_SIZE = 2**20
"""Numbers in the widest tensor of one piece on a CPU: small enough for the cache, large enough for the kernels."""

GPU_PIECE = 2**25
"""The same on a GPU, where launches cost more than memory traffic."""


def run_tiled(
    function: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    *,
    piece: int,
    margin: int,
    up: int = 1,
    down: int = 1,
) -> torch.Tensor:
    """function(x), computed over pieces of the last axis.

    `function` maps length n to n * up // down and looks at most `margin` positions to either side. `piece` and
    `margin` are positions of x and are rounded up to multiples of `down`.
    """
    piece, margin = (-(-n // down) * down for n in (piece, margin))
    length = x.shape[-1]
    if length <= piece + margin:
        return function(x)
    out = None
    for start in range(0, length, piece):
        stop = min(start + piece, length)
        left = max(0, start - margin)
        y = function(x[..., left : stop + margin])
        y = y[..., (start - left) * up // down : (stop - left) * up // down]
        if out is None:
            out = y.new_empty(*y.shape[:-1], length * up // down)
        first = start * up // down
        out[..., first : first + y.shape[-1]] = y
        del y  # a view of a whole piece, which the next one must not find in memory
    return out


def default_tile_size(device: torch.device) -> int:
    """Numbers in the widest tensor of a piece where nobody says otherwise."""
    return CPU_TILE_SIZE if device.type == "cpu" else GPU_PIECE


def tile_positions(sounds: int, channels: int, numbers: int) -> int:
    """Positions of a piece whose tensors have as many channels as given, and together that many numbers."""
    return max(256, numbers // (sounds * channels))
