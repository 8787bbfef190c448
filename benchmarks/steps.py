"""What fewer steps save and change: the distance of what they make to the result of 250 steps.

    python -m benchmarks.steps [--captions 16] [--part flow v]

flow: the demo checkpoint on captions of the sound check, the same seeds at every number of steps. Each caption goes
through all numbers in turn, beginning with another one each time, on one thread; the costs are shares of processor
seconds, median over captions, which other load on the machine disturbs least.
v: the models that predict v have no small trained checkpoint, so a toy with a known answer stands in for the network:
see `FrameMixture`. It shows what samplers and schedule do, not how a trained model sounds.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np
import torch
from torch import Tensor

from audiox_core.checkpoint import open_checkpoint
from audiox_core.demo import demo_path
from audiox_core.lengths import LATENT_FRAMES
from audiox_core.pipeline import AudioX, Prompt
from audiox_core.sampling import v_scalings
from audiox_core.sampling.objectives import V
from audiox_core.sampling.presets import REFERENCE, RunSettings, resolve_settings
from audiox_core.sampling.run import guided, run_sampler
from training.evaluation import cases, judge, measures
from training.world.scenes import Scene

STEPS = (250, 100, 50, 25, 12)
OTHERS = (100, 25)  # of the other samplers of v

FLOOR_DB = 80.0
"""How far below a full-scale sine levels are told apart; what is quieter counts as this quiet."""


def relative_rms(reference: Tensor, other: Tensor) -> float:
    """RMS of the difference of two tensors over that of the first."""
    return float((other - reference).norm() / reference.norm())


def log_spectral_distance(reference: np.ndarray, other: np.ndarray, size: int = 2048) -> float:
    """Between sounds (2, samples), in dB: RMS over the bins of a frame, mean over frames and channels."""
    floor = size / 4 * 10 ** (-FLOOR_DB / 20)  # a full-scale sine has size / 4 under a Hann window
    one, two = (20 * measures.magnitudes(sound, size).clamp(min=floor).log10() for sound in (reference, other))
    return float((one - two).square().mean(dim=1).sqrt().mean())


def in_turn(places: Sequence, first: int) -> list:
    """The same in a circle, beginning with the one at `first`."""
    first %= len(places)
    return [*places[first:], *places[:first]]


# Rectified flow: the demo checkpoint


@dataclass
class Row:
    """What one way of sampling made, a value for each caption."""

    seconds: list[float] = field(default_factory=list)
    latent: list[float] = field(default_factory=list)
    decibels: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)


def some_scenes(count: int) -> list[Scene]:
    """Captions of the sound check (seed 0), spread evenly over its kinds and pairs."""
    every = cases.single_scenes(48, 0) + cases.pair_scenes(32, 0)
    return [every[i * len(every) // count] for i in range(count)]


def measure_flow(count: int) -> dict[str, Row]:
    """Base at each number of steps, Base with other noise, and Turbo, all held against Base at the most steps."""
    models = {name: AudioX(open_checkpoint(demo_path(name))) for name in ("base", "turbo")}
    own = {name: resolve_settings(name, guidance=model.checkpoint.guidance) for name, model in models.items()}
    runs = {f"{steps}": ("base", replace(own["base"], steps=steps), 0) for steps in STEPS}
    runs["another seed, 250"] = ("base", replace(own["base"], steps=STEPS[0]), 1000)
    runs[f"Turbo, {own['turbo'].steps}"] = ("turbo", own["turbo"], 0)
    rows = {name: Row() for name in runs}
    for i, scene in enumerate(some_scenes(count)):
        prompt = Prompt(models["base"].encode_text(scene.caption)[0])
        made = {}
        for name in in_turn(list(runs), i):
            variant, settings, seed = runs[name]
            models[variant].sample(prompt, replace(settings, steps=1))  # a first run reads and lays out weights
            begin = time.process_time()
            latent = models[variant].sample(prompt, settings, [seed + i])
            rows[name].seconds.append(time.process_time() - begin)
            made[name] = latent, models[variant].decode(latent)[0].numpy()
        latent, sound = made[str(STEPS[0])]
        for name, (other, heard) in made.items():
            rows[name].latent.append(relative_rms(latent, other))
            rows[name].decibels.append(log_spectral_distance(sound, heard))
            rows[name].right.append(judge.is_right(scene, judge.hear(heard, len(scene.kinds))))
        print(f"caption {i + 1} of {count}: {scene.caption}", file=sys.stderr, flush=True)
    return rows


def print_flow(rows: dict[str, Row]) -> None:
    print("| Base, euler, steps | time | latent, relative RMS | sound, dB | heard right |\n|---|---|---|---|---|")
    first = rows[str(STEPS[0])]
    for name, row in rows.items():
        share = median(own / most for own, most in zip(row.seconds, first.seconds, strict=True))
        print(
            f"| {name} | {share:.3f} | {np.mean(row.latent):.3f} | {np.mean(row.decibels):.1f} | "
            f"{sum(row.right)} of {len(row.right)} |",
            flush=True,
        )


# Models that predict v: a toy in place of the network


class FrameMixture:
    """A distribution of latents whose exact estimate is known, in place of a trained network.

    Each frame is of one of KINDS Gaussians around centres drawn from a seed, unit variance over all; the prompt
    allows ALLOWED of them. The posterior mean at any sigma follows, for the prompt and for no prompt, and from it the
    v that a perfect network would return.
    """

    CHANNELS, KINDS, ALLOWED, DEVIATION = 64, 64, 8, 0.5

    def __init__(self, seed: int = 0) -> None:
        drawn = torch.randn(self.KINDS, self.CHANNELS, generator=torch.Generator().manual_seed(seed))
        self.centres = drawn * math.sqrt(1 - self.DEVIATION**2)
        self.evaluations = 0

    def estimate(self, x: Tensor, sigma: float, kinds: int) -> Tensor:
        """Posterior mean (B, C, L) of latents at a sigma, of the first `kinds` Gaussians."""
        frames, centres = x.transpose(1, 2), self.centres[:kinds]
        total = self.DEVIATION**2 + sigma**2
        weights = (-torch.cdist(frames, centres.expand(len(x), -1, -1)).square() / (2 * total)).softmax(dim=-1)
        nearest = weights @ centres
        return (nearest + self.DEVIATION**2 / total * (frames - nearest)).transpose(1, 2)

    def kinds_of(self, x: Tensor) -> Tensor:
        """Which Gaussian each frame (B, L) is nearest to."""
        return torch.cdist(x.transpose(1, 2), self.centres.expand(len(x), -1, -1)).argmin(dim=-1)

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """The network's v for (2 B, C, L) scaled to unit variance: with the prompt, then without."""
        self.evaluations += 1
        sigma = math.tan(float(t[0]) * math.pi / 2)
        c_skip, c_out, c_in, _ = v_scalings(sigma)
        latent = x / c_in
        halves = zip(latent.chunk(2), (self.ALLOWED, self.KINDS), strict=True)
        clean = torch.cat([self.estimate(half, sigma, kinds) for half, kinds in halves])
        return (clean - c_skip * latent) / c_out

    def sample(self, settings: RunSettings, seeds: Sequence[int]) -> tuple[Tensor, int]:
        """Latents of a run as the pipeline does it, and how often the network was evaluated."""
        self.evaluations = 0
        nothing = torch.zeros(1, self.CHANNELS, LATENT_FRAMES)
        return run_sampler(guided(self.velocity, settings), V, settings, seeds, nothing), self.evaluations


def print_v(seeds: Sequence[int]) -> None:
    """Every sampler of v at its numbers of steps, against itself and against the reference at the most steps."""
    toy = FrameMixture()
    print(
        "| sampler | steps | evaluations | to its own 250 steps | frames of another kind | to the reference |\n"
        "|---|---|---|---|---|---|"
    )
    reference, _ = toy.sample(REFERENCE, seeds)
    for sampler in V.samplers:
        own, _ = toy.sample(replace(REFERENCE, sampler=sampler), seeds)
        for steps in STEPS if sampler == REFERENCE.sampler else OTHERS:
            made, evaluations = toy.sample(replace(REFERENCE, sampler=sampler, steps=steps), seeds)
            moved = (toy.kinds_of(made) != toy.kinds_of(own)).float().mean()
            print(
                f"| {sampler} | {steps} | {evaluations} | {relative_rms(own, made):.3f} | {moved:.1%} | "
                f"{relative_rms(reference, made):.3f} |",
                flush=True,
            )
    another, evaluations = toy.sample(REFERENCE, [seed + 1000 for seed in seeds])
    moved = (toy.kinds_of(another) != toy.kinds_of(reference)).float().mean()
    apart = relative_rms(reference, another)
    print(f"| another seed | 250 | {evaluations} | {apart:.3f} | {moved:.1%} | {apart:.3f} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--captions", type=int, default=16)
    parser.add_argument("--part", nargs="+", choices=("flow", "v"), default=["flow", "v"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    if "flow" in options.part:
        print_flow(measure_flow(options.captions))
    if "v" in options.part:
        print_v(range(8))
    return 0


if __name__ == "__main__":
    sys.exit(main())
