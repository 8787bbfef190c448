"""Which number type a device computes in by default."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F

ROWS, INNER, OUTER = 237, 1536, 2048
"""A matrix product like those of the transformer, small enough to time in a moment."""

SPEEDUP_NEEDED = 1.5
"""How many times faster bfloat16 must be to be chosen. Processors with instructions for it reach 3 to 6, those without
stay below 1, so noise does not decide."""


def default_dtype(device: str | torch.device) -> torch.dtype:
    """bfloat16 on a GPU (float16 on older NVIDIA ones) and on a CPU that is clearly faster with it, else float32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if kind != "cpu":
        return torch.bfloat16
    return torch.bfloat16 if bfloat16_is_faster() else torch.float32


def bfloat16_is_faster(repeat: int = 5) -> bool:
    """Whether this processor multiplies matrices faster in bfloat16, by timing it for some hundredths of a second.

    Having the instructions (AVX512-BF16, AMX, SVE) is not enough: a build of torch may not use them.
    """
    x, weight = torch.ones(ROWS, INNER), torch.ones(OUTER, INNER)
    best: dict[torch.dtype, float] = {}
    for _ in range(repeat + 1):  # alternating, so that other work slows down both; the first round warms up
        for dtype in (torch.float32, torch.bfloat16):
            a, b = x.to(dtype), weight.to(dtype)
            start = time.perf_counter()
            F.linear(a, b)
            best[dtype] = min(best.get(dtype, float("inf")), time.perf_counter() - start)
    return best[torch.float32] > SPEEDUP_NEEDED * best[torch.bfloat16]
