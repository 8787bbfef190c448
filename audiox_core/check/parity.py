"""Every module of the demo against the stored numbers, on a device, in every number type."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from ..checkpoint import open_checkpoint
from ..demo import demo_path
from ..stages import Stages
from .cases import CASES, Case
from .golden import Stored, read_golden
from .result import Result, ok, problem, skipped, stop, warning

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

LIMITS = {"fp32": 2e-5, "bf16": 4e-2, "fp16": 4e-3}
"""Largest distance of a module to float32 on a CPU in each type.

Measured on CPUs, with torch's kernels for AVX-512, AVX2 and neither: 1.2e-6 (mel), 1.4e-2 and 1.4e-3 (transformer) at
most. Products in TF32 are at 1e-3. See `python -m tools.make_check_golden --distances`.
"""

BY_CHOICE = ("VAE encoder", "VAE decoder")
"""Cases that run in float32 unless the user chooses another type."""

NOT_THERE = "not implemented for"
"""What torch says about an operation that a device does not have in a type."""


@dataclass(frozen=True)
class Outcome:
    """What a case gave: its distance, or why there is none."""

    distance: float = float("nan")
    error: str = ""


def check_parity(device: str, cases: tuple[Case, ...] = CASES) -> Iterator[Result]:
    """One result for each type."""
    golden = read_golden()
    for name, dtype in TYPES.items():
        if not supports(device, dtype):
            yield skipped(name, f"{device} has no {name}")
            continue
        stages = Stages(open_checkpoint(demo_path()), device, dtype, vae_dtype=dtype)
        chosen = [case for case in cases if case.any_type or name == "fp32"]
        with exact_products():
            outcomes = {case.name: outcome(case, stages, golden[case.name]) for case in chosen}
        yield judged(name, device, outcomes)


def supports(device: str, dtype: torch.dtype) -> bool:
    """Whether a device computes in a type itself; what older GPUs emulate does not count."""
    if dtype == torch.bfloat16 and torch.device(device).type == "cuda":
        with torch.cuda.device(torch.device(device)):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    return True


def outcome(case: Case, stages: Stages, expected: Stored) -> Outcome:
    """Compute a case and compare it."""
    try:
        return Outcome(Stored.of(case.compute(stages)).distance(expected))
    except RuntimeError as error:  # torch's error for what a device cannot do, and for a broken one
        return Outcome(error=str(error).strip().splitlines()[0])


def judged(type_name: str, device: str, outcomes: Mapping[str, Outcome]) -> Result:
    """One line about a type: all modules agree, or which do not."""
    values = {name: each.error or each.distance for name, each in outcomes.items()}
    errors = {name: each.error for name, each in outcomes.items() if each.error}
    if errors and type_name != "fp32" and all(NOT_THERE in error for error in errors.values()):
        return skipped(type_name, f"{device} does not compute {', '.join(errors)} in {type_name} with this PyTorch")
    if errors:
        name, error = next(iter(errors.items()))
        text = f"{len(errors)} of {len(outcomes)} modules fail on {device}; {name}: {error}"
        if type_name == "fp32":
            advice = "Install a PyTorch and a driver for this device, or use --device cpu."
            return stop(type_name, text, advice, **values)
        return problem(type_name, text, "Use --dtype fp32 on this device.", **values)
    wrong = {name: each.distance for name, each in outcomes.items() if not each.distance <= LIMITS[type_name]}
    if wrong:
        return _wrong(type_name, wrong, values)
    name, worst = max(((name, each.distance) for name, each in outcomes.items()), key=lambda item: item[1])
    return ok(type_name, f"{len(outcomes)} modules agree within {worst:.1e} ({name})", **values)


def _wrong(type_name: str, wrong: Mapping[str, float], values: Mapping[str, object]) -> Result:
    """Modules that gave other numbers."""
    listed = ", ".join(f"{name} {distance:.1e}" for name, distance in wrong.items())
    text = f"other numbers than expected (relative distance above {LIMITS[type_name]:.0e}): {listed}"
    if type_name != "fp32" and set(wrong) <= set(BY_CHOICE):
        return warning(type_name, text, "Leave the VAE in fp32, as it is by default.", **values)
    advice = "Use --device cpu" + ("" if type_name == "fp32" else " or --dtype fp32")
    return problem(type_name, text, f"{advice}, and report it with this check's JSON.", **values)


@contextlib.contextmanager
def exact_products() -> Iterator[None]:
    """float32 products in float32 on NVIDIA GPUs too, not in TF32."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
