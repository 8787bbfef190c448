"""`python -m benchmarks`: the stages of a generation, timed; see README.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from .runner import Options, Result, available_bytes, in_process, run_sides

OURS, OFFICIAL, HALF = "ours float32", "official", "ours bfloat16"
GIB = 2**30


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    gib: memory of one float32 side at `depth` transformer layers, and of each layer more. files: what it reads.
    half: whether bfloat16 means anything to it.
    """

    title: str
    gib: tuple[float, float] = (2.0, 0.0)
    files: str = ""
    half: bool = True

    def bytes(self, depth: int) -> float:
        return (self.gib[0] + depth * self.gib[1]) * GIB


STAGES = {
    "evaluation": Stage("transformer, one evaluation, {depth} of 24 layers", (1.0, 0.37)),
    "sampling": Stage("transformer, 4-step sampling, {depth} of 24 layers", (1.0, 0.38)),
    "dit_evaluation": Stage("AudioX, evaluation with guidance, {depth} of 24 layers", (1.0, 0.25)),
    "vae_decode": Stage("VAE, decode 236 latents", (4.0, 0.0)),
    "vae_encode": Stage("VAE, encode 441000 samples", (4.0, 0.0)),
    "video_conditioner": Stage("CLIP and temporal transformer, 50 frames"),
    "synchformer": Stage("Synchformer, {segments} of 30 segments"),
    "video_reading": Stage("video reading, 10 s of 720p at 5 and 25 a second", files="clip", half=False),
    "load": Stage("cold load, official files, {load_depth} of 24 layers", (3.0, 0.75), files="release"),
    "load_converted": Stage("the same, converted .safetensors", (3.0, 0.75), files="release"),
    "next_sound": Stage("text to 10 s with another seed, {load_depth} of 24 layers", (5.0, 0.75), files="release"),
    "first_sound": Stage("files to the first 10 s, {load_depth} of 24 layers", (5.0, 0.75), files="release"),
}

SCRIPTS = {
    "import": ["import_time"],
    "load_memory": ["memory", "load"],
    "long": ["memory", "length"],
    "runs": ["memory", "runs"],
    "steps": ["steps"],
}
"""Benchmarks with their own program: its module in this package, and its command."""


def main() -> int:
    if sys.argv[1:2] == ["precision"]:
        from . import precision  # it needs the models here, not in processes of their own

        return precision.main(sys.argv[2:])
    arguments = parse()
    options = Options(
        official=arguments.official,
        threads=arguments.threads,
        depth=arguments.depth,
        load_depth=arguments.load_depth,
        segments=arguments.segments,
        cpu_time=arguments.cpu_time,
        device=arguments.device,
    )
    os.environ.update(OMP_NUM_THREADS=str(options.threads), MKL_NUM_THREADS=str(options.threads))
    clock = "processor seconds" if options.cpu_time else "wall time"
    print(f"{machine()}; {options.threads} threads; on {options.device}; {clock}, median of {arguments.repeat} runs")
    rates = in_process("benchmarks.floors", "rates", options)
    print(rates, "\n")
    print(HEADER, flush=True)
    rows = []
    with tempfile.TemporaryDirectory(prefix="audiox-benchmark-", dir=arguments.temp) as folder:
        options = replace(options, folder=folder)
        written: set[str] = set()
        for name in [name for name in STAGES if name in arguments.stages]:
            stage = STAGES[name]
            if stage.files and stage.files not in written:
                in_process("benchmarks.inputs", "write_files", stage.files, folder, options.load_depth)
                written.add(stage.files)
            row = run(name, stage, options, arguments.repeat, arguments.bf16 and stage.half)
            row["floor"] = in_process("benchmarks.floors", "floor", name, options, rates)
            print_floor(row)
            rows.append(row)
    if arguments.json:
        report = {"machine": machine(), "rates": asdict(rates), "options": asdict(options), "rows": rows}
        Path(arguments.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    scripts = [script for name, script in SCRIPTS.items() if name in arguments.stages]
    codes = [subprocess.call([sys.executable, "-m", f"benchmarks.{module}", *words]) for module, *words in scripts]
    return int(any(codes) or any(row["errors"] for row in rows))


def parse() -> argparse.Namespace:
    every = [*STAGES, *SCRIPTS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--official", metavar="PATH", help="a checkout of NoizAI/AudioX-Turbo to compare with")
    parser.add_argument(
        "--stages",
        nargs="+",
        choices=every,
        default=list(STAGES),
        metavar="STAGE",
        help=f"some of: {', '.join(every)}; by default all but {', '.join(SCRIPTS)}",
    )
    parser.add_argument("--repeat", type=int, default=3, help="timed runs of each side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where both sides compute")
    parser.add_argument("--depth", type=int, default=6, help="transformer layers; 24 is the released model")
    parser.add_argument("--load-depth", type=int, default=6, help="transformer layers of the files that are loaded")
    parser.add_argument("--segments", type=int, default=4, help="Synchformer segments; 30 are 10 s")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count processor seconds, not wall time: for a busy machine, with --threads 1",
    )
    parser.add_argument("--no-bf16", dest="bf16", action="store_false", help="leave bfloat16 out")
    parser.add_argument("--json", metavar="FILE", help="also write every time to a file")
    parser.add_argument("--temp", metavar="FOLDER", help="where the files to load are written")
    return parser.parse_args()


def run(name: str, stage: Stage, options: Options, repeat: int, half: bool) -> dict:
    """Measure a stage, print its row and return it for the report."""
    compared = options.official is not None
    labels = [OURS, *([OFFICIAL] if compared else []), *([HALF] if half else [])]
    depth = options.load_depth if stage.files == "release" else options.depth
    need = stage.bytes(depth) * (len(labels) - 0.5 * half)
    together = (available_bytes() or 0) > 1.2 * need
    results = run_sides(name, labels, options, repeat, together)
    ours, official, bfloat16 = (results.get(label, Result()) for label in (OURS, OFFICIAL, HALF))
    row = {
        "stage": name,
        "title": stage.title.format(**asdict(options)),
        "in_turn": together,
        "seconds": {label: result.seconds for label, result in results.items()},
        "peak_gib": {label: (result.peak_bytes or 0) / GIB for label, result in results.items()},
        "ratio": ratio(official, ours, together),
        "ratio_bf16": ratio(official, bfloat16, together),
        "difference": difference(ours, official),
        "errors": {label: result.error for label, result in results.items() if result.error},
    }
    print_row(row, ours, official, bfloat16)
    return row


def ratio(slow: Result, fast: Result, together: bool) -> float | None:
    """How many times faster; the median over rounds when both ran in turn."""
    if not slow.seconds or not fast.seconds:
        return None
    if together:
        return median(a / b for a, b in zip(slow.seconds, fast.seconds, strict=True))
    return median(slow.seconds) / median(fast.seconds)


def difference(ours: Result, official: Result) -> dict[str, float] | None:
    """Largest difference of the two outputs, and the largest value."""
    if ours.output is None or official.output is None:
        return None
    one, other = (result.output.astype("float32") for result in (ours, official))
    return {"largest": float(abs(one - other).max()), "of": float(abs(other).max())}


HEADER = (
    f"{'stage':52} {'ours':>9} {'official':>9} {'ratio':>6} {'bf16':>9} {'ratio':>6}"
    f"   {'peak GiB: ours':>14} {'official':>8} {'bf16':>6}   difference"
)


def print_row(row: dict, ours: Result, official: Result, half: Result) -> None:
    peaks = [row["peak_gib"].get(label) for label in (OURS, OFFICIAL, HALF)]
    found = row["difference"]
    print(
        f"{row['title']:52} {seconds(ours):>9} {seconds(official):>9} {times(row['ratio']):>6} {seconds(half):>9} "
        f"{times(row['ratio_bf16']):>6}   {gib(peaks[0]):>14} {gib(peaks[1]):>8} {gib(peaks[2]):>6}   "
        + (f"{found['largest']:.1e} of {found['of']:.3g}" if found else "-")
        + ("" if row["in_turn"] else "   (one side after the other: too large to be in memory together)")
    )
    for label, error in row["errors"].items():
        print(f"    {label}: {error}")
    sys.stdout.flush()


def print_floor(row: dict) -> None:
    """What the stage cannot take less than, and the share of its time that this is."""
    shares = [
        f"{label} {least:.3f} s ({least / median(row['seconds'][label]):.0%})"
        for label, least in row["floor"].items()
        if row["seconds"].get(label)
    ]
    print(f"    at least: {', '.join(shares)}" if shares else "", flush=True)


def seconds(result: Result) -> str:
    return f"{median(result.seconds):.3f} s" if result.seconds else "-"


def times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def gib(value: float | None) -> str:
    return f"{value:.2f}" if value else "-"


def machine() -> str:
    """Processor and system in a few words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} processors"


if __name__ == "__main__":
    sys.exit(main())
