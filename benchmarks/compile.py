"""What is gained by compiling or recording the transformer, and after how many evaluations that has paid for itself.

    python -m benchmarks.compile [--depth 4] [--types bf16 fp32] [--repeat 9] [--device cuda]

torch.compile: one layer is compiled with inductor, into an empty cache, and serves all of them. On a CUDA device also a
CUDA graph of the evaluation, as `generate --cuda-graphs` records it. Evaluations with and without take turns; times are
medians. On a CPU they are processor seconds of one thread, of the compiler too, which other load disturbs least.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median

_CACHE = tempfile.TemporaryDirectory(prefix="audiox-compile-", ignore_cleanup_errors=True)
# Inductor reads both when it is imported; with one thread it compiles in this process, whose seconds are counted.
os.environ |= {"TORCHINDUCTOR_CACHE_DIR": _CACHE.name, "TORCHINDUCTOR_COMPILE_THREADS": "1"}

import torch  # noqa: E402

from audiox_core.models.cuda_graph import Recording  # noqa: E402
from audiox_core.models.mmdit import MMDiT, MMDiTSizes  # noqa: E402

Evaluate = Callable[..., torch.Tensor]

TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
RELEASED_DEPTH = MMDiTSizes().depth
TURBO_STEPS = 4


def clock(device: torch.device) -> float:
    """Seconds on a GPU; processor seconds of this process and of those that it started, on a CPU."""
    if device.type != "cuda":
        return sum(os.times()[:4])
    torch.cuda.synchronize(device)
    return time.perf_counter()


def timed(device: torch.device, run: Callable) -> tuple[float, object]:
    begin = clock(device)
    result = run()
    return clock(device) - begin, result


def compiled(model: MMDiT) -> Evaluate:
    """The same weights in layers that torch.compile makes; without `fast_products`, which it cannot trace."""
    other = MMDiT(model.sizes, device="meta").eval()
    other.load_state_dict(model.state_dict(), assign=True)
    for layer in other.requires_grad_(False).layers:
        layer.compile(dynamic=False, fullgraph=True)
    return lambda *given: MMDiT.forward.__wrapped__(other, *given)


def recorded(model: MMDiT, given: tuple) -> Evaluate:
    return Recording(model, *given).replay


def measure(device: torch.device, dtype: torch.dtype, depth: int, repeat: int) -> None:
    """Print a line for each way."""
    torch.manual_seed(0)
    model = MMDiT(MMDiTSizes(depth=depth), dtype=dtype, device=device).eval().requires_grad_(False)
    prepared = model.prepare(torch.randn(1, model.sizes.context_tokens, model.sizes.context_width).to(device, dtype))
    given = (torch.randn(1, 64, 236).to(device, dtype), torch.full((1,), 0.75, device=device), prepared)
    expected = model(*given)
    ways = {"torch.compile": lambda: compiled(model)}
    if device.type == "cuda":
        ways["CUDA graph"] = lambda: recorded(model, given)
    for name, make in ways.items():
        without, _ = timed(device, lambda: model(*given))
        cost, (other, out) = timed(device, lambda make=make: (other := make(), other(*given)))
        difference = float((out - expected).norm() / expected.norm())
        pairs = [
            (timed(device, lambda: model(*given))[0], timed(device, lambda other=other: other(*given))[0])
            for _ in range(repeat)
        ]
        plain, faster = (median(side) for side in zip(*pairs, strict=True))
        print(row(name, dtype, cost - without, plain, faster, median(a / b for a, b in pairs), difference, depth))


def row(name: str, dtype, cost: float, plain: float, faster: float, ratio: float, difference: float, depth: int) -> str:
    gain = (plain - faster) * RELEASED_DEPTH / depth
    paid = "never" if gain <= 0 else f"{cost / gain:.0f} evaluations, {cost / gain / TURBO_STEPS:.0f} Turbo runs"
    return (
        f"{name:14} {str(dtype).removeprefix('torch.'):9} cost {cost:6.2f} s   evaluation {plain:.4f} s, with it "
        f"{faster:.4f} s, {ratio:.2f} times as fast   off by {difference:.1e}   paid: {paid} of {RELEASED_DEPTH} layers"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=4, help="transformer layers; gains are scaled to 24")
    parser.add_argument("--types", nargs="+", choices=tuple(TYPES), default=list(TYPES))
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode():
        for name in options.types:
            torch.compiler.reset()
            measure(torch.device(options.device), TYPES[name], options.depth, options.repeat)
    return 0


if __name__ == "__main__":
    sys.exit(main())
