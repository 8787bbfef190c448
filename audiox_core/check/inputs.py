"""Fixed inputs of the checks: the same numbers on every machine and with every version of torch and numpy.

They come from the raw bits of a PCG64 generator, which numpy promises never to change, and not from a normal
distribution, whose rounding differs between processors.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch
from torch import Tensor


def noise(name: str, *shape: int, scale: float = 1.0) -> Tensor:
    """Uniform noise with a mean of 0 and a standard deviation of `scale`, float32, drawn by its name."""
    raw = np.random.PCG64(zlib.crc32(name.encode())).random_raw(math.prod(shape))
    unit = (raw >> np.uint64(40)).astype(np.float32) / 2**24  # 24 bits: exact in float32
    return torch.from_numpy((2 * unit - 1) * np.float32(scale * math.sqrt(3))).reshape(shape)


def frames(name: str, count: int, size: int) -> Tensor:
    """Coarse coloured noise that changes from frame to frame, uint8 (count, 3, size, size)."""
    coarse = noise(name, count, 3, 6, 6).mul(60).add(128).clamp(0, 255).to(torch.uint8)
    times = math.ceil(size / 6)
    return coarse.repeat_interleave(times, 2).repeat_interleave(times, 3)[..., :size, :size].contiguous()
