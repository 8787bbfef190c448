"""The options of commands that run models, number types and memory limits, and the plan that follows from them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import AudioXError

if TYPE_CHECKING:
    import torch

    from ..checkpoint import Checkpoint
    from ..memory import Dtypes, MemoryPlan, Workload

DTYPES = ("fp32", "bf16", "fp16")


def add_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the options. default: the type that is used if none is given, in words."""
    parser.add_argument("--dtype", choices=DTYPES, help=f"type of the network and the encoders (default: {default})")
    parser.add_argument("--vae-dtype", choices=DTYPES, default="fp32", help="type of the VAE (default: %(default)s)")
    parser.add_argument("--no-half", action="store_true", help="fp32 throughout, like --dtype fp32")
    parser.add_argument("--no-cpu-offload", action="store_true", help="keep every component on the device")
    parser.add_argument("--max-vram", type=float, metavar="GB", help="limit for VRAM (default: 90 %% of what is free)")
    parser.add_argument("--max-ram", type=float, metavar="GB", help="limit for RAM (default: 80 %% of what is free)")


def check(args: argparse.Namespace) -> None:
    """Raise AudioXError for options that cannot work, before torch is imported."""
    if args.no_half and args.dtype not in (None, "fp32"):
        raise AudioXError(f"--no-half means fp32, but --dtype is {args.dtype}: leave one of them out.")
    for option in ("max_vram", "max_ram"):
        limit = getattr(args, option)
        if limit is not None and not limit > 0:
            raise AudioXError(f"--{option.replace('_', '-')} is {limit:g} GB, expected more than 0.")


def chosen_dtypes(args: argparse.Namespace, default: Callable[[], torch.dtype]) -> Dtypes:
    """The requested types; default: gives the type of the network and the encoders if none is requested."""
    import torch

    from ..memory import Dtypes

    types = dict(zip(DTYPES, (torch.float32, torch.bfloat16, torch.float16), strict=True))
    name = "fp32" if args.no_half else args.dtype
    dtype = types[name] if name else default()
    return Dtypes(dtype, dtype, types[args.vae_dtype])


def make_plan(
    args: argparse.Namespace,
    checkpoint: Checkpoint,
    device: str,
    dtypes: Dtypes,
    workload: Workload,
    models: int = 1,
) -> MemoryPlan:
    """The plan of a run, printed on stderr; AudioXError when nothing fits. models: see `Limits`."""
    from ..memory import GB, Limits, ModelFootprint, detect, plan_memory, report

    vram, ram = (None if value is None else int(value * GB) for value in (args.max_vram, args.max_ram))
    limits = Limits(max_vram=vram, max_ram=ram, offload=not args.no_cpu_offload, models=models)
    plan = plan_memory(ModelFootprint.of(checkpoint), workload, detect(device), limits, dtypes)
    print(report.plan_report(plan, by_hand=args.no_half or args.dtype is not None), file=sys.stderr)
    return plan
