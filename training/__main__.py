"""`python -m training`: every stage in order, each going on where it stopped, then the shipped files.

python -m training --folder run                all of it: about an hour on two processor cores
python -m training --folder run --stage base   up to and with one stage
python -m training evaluate --json FILE        measure whether Base and Turbo make what they are asked for
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from audiox_core.demo import FOLDER
from audiox_core.models.vae import silence_statistics

from . import base, data, ship, sight, turbo, vae, words
from .evaluation import cli as evaluation

STEPS = {"vae": 500, "words": 900, "clip": 160, "sync": 450, "base": 3200, "polish": 1600, "turbo": 700}
LESSONS = 44
STAGES = ("vae", "encoders", "data", "base", "turbo")


def main(arguments: list[str] | None = None) -> int:
    """Train, or with `evaluate` in front measure; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["evaluate"]:
        return evaluation.main(arguments[1:])
    parser = argparse.ArgumentParser(prog="training", description="Train the demo checkpoints from scratch.")
    parser.add_argument("--folder", type=Path, default=Path("run"), help="states, curves and data (default: run)")
    parser.add_argument("--stage", choices=STAGES, default=STAGES[-1], help="the last stage to run")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the shipped files go")
    parser.add_argument("--compile", action="store_true", help="compile the autoencoder (needs a C++ compiler)")
    run(parser.parse_args(arguments))
    return 0


def run(options: argparse.Namespace) -> None:
    """Every stage up to the one that was asked for; the models are written as soon as they are trained."""
    folder, last = options.folder, STAGES.index(options.stage)
    autoencoder = vae.train(folder, STEPS["vae"], options.compile)
    if last < STAGES.index("encoders"):
        return
    t5 = words.train(folder, STEPS["words"])
    clip = sight.train_clip(folder, STEPS["clip"])
    sync = sight.train_sync(folder, STEPS["sync"])
    if last < STAGES.index("data"):
        return
    latents = data.build(folder, autoencoder, clip, sync)
    if last < STAGES.index("base"):
        return
    network = base.untrained(silence_statistics(autoencoder))
    batches = data.Batches(latents, data.Words(t5), network.audio.silence())
    teacher = base.train(folder, STEPS["base"], network, batches)
    teacher = base.polish(folder, STEPS["polish"], teacher, batches)
    trained = ship.Trained(autoencoder, clip, sync, t5, words.tokenizer_json())
    ship.shared(options.out, trained)
    ship.model(options.out, "base", teacher, trained)
    if last < STAGES.index("turbo"):
        return
    student = turbo.train(folder, STEPS["turbo"], teacher, batches, LESSONS)
    ship.model(options.out, "turbo", student, trained)


if __name__ == "__main__":
    sys.exit(main())
