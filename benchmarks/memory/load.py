"""Memory while a checkpoint loads and converts, against the bytes of the weights kept.

    python -m benchmarks.memory load [--megabytes 400] [--checkpoint PATH]

Each case runs in a fresh process. Counted is the largest sum of RssAnon (memory that only swap could free) and
RssFile (pages of mapped files, which the system takes back when it needs them) during the case, minus the same sum
before it; sampled every 2 ms, for the kernel keeps a peak only of the process as a whole. Linux only.
Exits with 1 when a case needs more than 1.3 times the bytes kept.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .peak import Peak

LIMIT = 1.3

CASES = {
    "open only": "open",
    "load, types as stored": "none",
    "load in bf16": "bfloat16",
    "load in fp32": "float32",
    "convert to fp16": "convert",
}


def run_case(case: str, path: str) -> dict[str, float]:
    """One case in this process: peak bytes, the anonymous share, bytes kept and seconds."""
    import torch

    from audiox_core.checkpoint import open_checkpoint
    from audiox_core.checkpoint.convert import convert
    from audiox_core.models.vae import OobleckVAE, silence_statistics

    torch.set_num_threads(1)
    with torch.inference_mode():  # what a first run of anything allocates belongs to torch, not to the checkpoint
        silence_statistics(OobleckVAE(open_checkpoint(path).sizes["vae"]))
    parts, kept, began = {}, 0, time.perf_counter()
    with Peak() as peak, tempfile.TemporaryDirectory() as folder:
        if case == "convert":
            output = Path(folder, "out.safetensors")
            convert(path, output, dtype=torch.float16)
            kept = output.stat().st_size
        else:
            opened = open_checkpoint(path)
            dtype = None if case in ("open", "none") else getattr(torch, case)
            for part in () if case == "open" else opened.parts:
                parts[part] = opened.state_dict(part, dtype)
                kept += sum(tensor.nbytes for tensor in parts[part].values())
            if case == "open":
                kept = sum(held["bytes"] for held in opened.describe()["parts"].values())
    return {
        "peak": peak.most,
        "anonymous": peak.anonymous,
        "kept": kept,
        "seconds": time.perf_counter() - began,
    }


def make_checkpoint(folder: Path, megabytes: int) -> Path:
    """A checkpoint in the released layout of about the given size: wide transformer layers, everything else small."""
    from dataclasses import replace

    from devtools.small_model import ModelSizes, count, make_small_model, model_shapes

    sizes = ModelSizes(width=768, ffn=2048, context=256, hidden=1024, depth=1)
    per_layer = count(model_shapes(replace(sizes, depth=2))) - count(model_shapes(sizes))
    depth = max(1, round(megabytes * 1e6 / 4 / per_layer))
    return make_small_model(folder, sizes=replace(sizes, depth=depth))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--megabytes", type=int, default=400, help="size of the generated checkpoint")
    parser.add_argument("--checkpoint", help="measure this one instead of a generated one")
    parser.add_argument("--case", help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    if options.case:
        print(json.dumps(run_case(options.case, options.checkpoint)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = options.checkpoint or make_checkpoint(Path(folder) / "turbo", options.megabytes)
        return report(str(path))


def report(path: str) -> int:
    """Run each case in its own process and print a line for it; 1 when one is over the limit."""
    over = False
    print(f"{'case':24}{'kept MB':>10}{'peak MB':>10}{'anon MB':>10}{'ratio':>8}{'s':>8}")
    for name, case in CASES.items():
        command = [sys.executable, "-m", "benchmarks.memory", "load", "--case", case, "--checkpoint", path]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(answer.stdout)
        ratio = found["peak"] / found["kept"]
        over |= ratio > LIMIT
        numbers = "".join(f"{found[key] / 1e6:10.1f}" for key in ("kept", "peak", "anonymous"))
        print(f"{name:24}{numbers}{ratio:8.2f}{found['seconds']:8.1f}")
    print(f"limit {LIMIT}: {'exceeded' if over else 'kept'}; peak = RssAnon + RssFile above the start")
    return int(over)
