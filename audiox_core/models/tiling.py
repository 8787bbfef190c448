"""Layers run over tiles of the time axis: the same numbers up to rounding, in less memory."""

from collections.abc import Callable

import torch

from ..progress import Report, no_report

CPU_TILE_SIZE = 2**20
"""Numbers in the widest tensor of a tile on a CPU: small enough for the cache, large enough for the kernels."""

GPU_TILE_SIZE = 2**25
"""The same on a GPU, where launches cost more than memory traffic."""


def run_tiled(
    function: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    *,
    tile: int,
    margin: int,
    up: int = 1,
    down: int = 1,
    report: Report = no_report,
) -> torch.Tensor:
    """function(x), computed tile by tile along the last axis.

    `function` maps length n to n * up // down and looks at most `margin` positions to either side. `tile` and
    `margin` are positions of x and are rounded up to multiples of `down`. report(positions of x) is called after each
    tile.
    """
    tile, margin = (-(-n // down) * down for n in (tile, margin))
    length = x.shape[-1]
    if length <= tile + margin:
        out = function(x)
        report(length)
        return out
    out = x.new_empty(0)  # until the first tile tells its width and type
    for start in range(0, length, tile):
        stop = min(start + tile, length)
        left = max(0, start - margin)
        y = function(x[..., left : stop + margin])
        y = y[..., (start - left) * up // down : (stop - left) * up // down]
        if start == 0:
            out = y.new_empty(*y.shape[:-1], length * up // down)
        first = start * up // down
        out[..., first : first + y.shape[-1]] = y
        del y  # a view of a whole tile, which must be gone before the next one is computed
        report(stop - start)
    return out


def tile_share(length: int, tile: int, margin: int) -> float:
    """The share of the positions that `run_tiled` computes which are kept: the rest are margins, computed twice."""
    if length <= tile + margin:
        return 1.0
    computed = sum(min(length, start + tile + margin) - max(0, start - margin) for start in range(0, length, tile))
    return length / computed


def default_tile_size(device: torch.device) -> int:
    """Default tile size."""
    return CPU_TILE_SIZE if device.type == "cpu" else GPU_TILE_SIZE


def tile_positions(sounds: int, channels: int, tile_size: int) -> int:
    """Positions in a tile whose widest tensor holds `tile_size` numbers, for a number of sounds and of channels."""
    return max(256, tile_size // (sounds * channels))
