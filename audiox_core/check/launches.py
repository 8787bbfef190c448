"""How often an NVIDIA GPU is given something to do, and how often the host waits for it, by PyTorch's profiler.

Not seen to run on a GPU by its authors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "hipLaunchKernel")
COPIES = ("cudaMemcpyAsync", "cudaMemcpy", "hipMemcpyAsync", "hipMemcpyWithStream")
WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize", "hipStreamSynchronize")
"""Calls of the runtime that count; waiting for the whole device at the end is the profiler's own."""


@dataclass(frozen=True)
class Launches:
    """Numbers of kernels, of copies, and of times the host waits for the device."""

    kernels: int
    copies: int
    waits: int

    @classmethod
    def of(cls, counts: Iterable[tuple[str, int]]) -> Launches:
        """From the names of runtime calls and how often each was made."""
        counted = list(counts)
        kinds = (LAUNCHES, COPIES, WAITS)
        kernels, copies, waits = (sum(count for name, count in counted if name in kind) for kind in kinds)
        return cls(kernels, copies, waits)


def count_launches(run: Callable[[], object]) -> Launches:
    """What one call of a function launches; it runs twice, because the first call sets things up."""
    run()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        run()
        torch.cuda.synchronize()
    return Launches.of((event.key, event.count) for event in profiler.key_averages())
