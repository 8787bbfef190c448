"""`python -m training evaluate`: measure by ear-like rules whether Base and Turbo make what they are asked for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from audiox_core.cli import exit_code, memory
from audiox_core.cli.progress import Bar
from audiox_core.errors import AudioXError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `evaluate`."""
    parser.add_argument("--base", help="checkpoint of Base: a file or folder; default: the demo's")
    parser.add_argument("--turbo", help="checkpoint of Turbo: a file or folder; default: the demo's")
    parser.add_argument("--seed", type=int, default=0, help="chooses captions, films and noise (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few cases, and no guidance or negative prompts")
    parser.add_argument("--sections", help="some of prompts,films,guidance,negative,vae,compare")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers as JSON")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="write spectrograms with their prompts")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps, ... (default: %(default)s)")
    memory.add_arguments(parser, "bf16 on a GPU, fp32 on a CPU, so that numbers compare")


def main(arguments: Sequence[str]) -> int:
    """The command, with the exit codes of `audiox_core.cli.exit_code`."""
    parser = argparse.ArgumentParser(prog="python -m training evaluate")
    add_arguments(parser)
    options = parser.parse_args(arguments)
    return exit_code(parser.prog, lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Measure, print the table, write what was asked for. Raises AudioXError before it measures, for bad input."""
    check_outputs(options)
    memory.check(options)
    from audiox_core.memory.devices import check_device
    from training.evaluation import gallery, report  # after the cheap check: torch takes seconds to import
    from training.evaluation.run import evaluate

    check_device(options.device)
    plan = plan_of(options)
    models = {variant: model_of(variant, options) for variant in ("base", "turbo")}
    with Bar({"sample": "sounds", "decode": "sounds", "vae": "sounds"}) as bar:
        evaluation = evaluate(models, plan, bar)
    print(report.table(evaluation.results))
    if options.json:
        report.write_json(options.json, evaluation.results)
    if options.picture:
        from audiox_core.media.drawing import write_png

        write_png(options.picture, gallery.grid(gallery.chosen(evaluation.shown)))


def check_outputs(options: argparse.Namespace) -> None:
    for path in (options.json, options.picture):
        if path and not path.parent.is_dir():
            raise AudioXError(f"There is no folder {str(path.parent)!r} to write {path.name!r} into; make it first.")
    if options.picture and options.picture.suffix.lower() != ".png":
        raise AudioXError(f"--picture is {options.picture}, expected a name that ends in .png.")


def plan_of(options: argparse.Namespace):
    """What to measure, as the options say."""
    from dataclasses import replace

    from training.evaluation.run import QUICK, EvaluationPlan

    plan = QUICK if options.quick else EvaluationPlan()
    sections = tuple(options.sections.split(",")) if options.sections else plan.sections
    plan = replace(plan, seed=options.seed, sections=sections, shown=options.picture is not None)
    if plan.shown and not {"prompts", "films"} & set(sections):
        raise AudioXError("--picture shows what the sections prompts and films make: choose one of them.")
    return plan


def model_of(variant: str, options: argparse.Namespace):
    """The model at the path given for it, or the demo's; AudioXError when it is the other variant."""
    import torch

    from audiox_core.checkpoint import open_checkpoint
    from audiox_core.demo import demo_path
    from audiox_core.memory import Workload
    from audiox_core.pipeline import AudioX
    from training.evaluation.batches import BATCH

    checkpoint = open_checkpoint(getattr(options, variant) or demo_path(variant), variant=variant)
    on_cpu = torch.device(options.device).type == "cpu"
    dtypes = memory.chosen_dtypes(options, lambda: torch.float32 if on_cpu else torch.bfloat16)
    job = Workload(sounds=BATCH, prompts=BATCH, rows=1 if variant == "turbo" else 2, video=True)
    plan = memory.make_plan(options, checkpoint, options.device, dtypes, job, models=2)
    return AudioX(checkpoint, options.device, dtypes.network, vae_dtype=dtypes.vae, plan=plan)
