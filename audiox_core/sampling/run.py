"""A sampling run: from fused prompts to a latent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from .. import sampling
from ..errors import AudioXError
from ..models.cuda_graph import RecordedNetwork
from ..models.network import AudioXNetwork
from .presets import Objective, RunSettings
from .windows import Window, over_windows


@dataclass(frozen=True)
class Known:
    """A sound that a run starts from.

    latent (1, 64, frames). made (frames,): 1 where sound is made and 0 where the known one is kept; None makes all of
    it. start: share of the schedule that is run, 1 for all of it; below 1 the sound made resembles the known one.
    """

    latent: Tensor
    made: Tensor | None = None
    start: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.start <= 1:
            raise AudioXError(f"The start is {self.start:g}, expected more than 0 and at most 1 (1 makes all anew).")
        if self.made is not None and self.made.shape != self.latent.shape[-1:]:
            raise AudioXError(
                f"The mask has the shape {list(self.made.shape)}, expected [{self.latent.shape[-1]}]: one number for "
                "each frame of the known latent."
            )

    def padded(self, frames: int) -> Known:
        """The same with sound to make after it, up to a number of frames."""
        missing = frames - self.latent.shape[-1]
        made = self.made if self.made is None else F.pad(self.made, (0, missing), value=1.0)
        return Known(F.pad(self.latent, (0, missing)), made, self.start)


def windowed(
    network: AudioXNetwork | RecordedNetwork, contexts: Sequence[Tensor], windows: Sequence[Window]
) -> sampling.Velocity:
    """The network's output for a long latent.

    contexts: fused prompts (C, tokens, width), one for each window or one for all. What the transformer draws from a
    prompt is many times larger, so with several it is drawn anew in every step: memory stays that of one window.
    """
    prepared = network.prepare(contexts[0]) if len(contexts) == 1 else None

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        def evaluate(i: int, part: Tensor) -> Tensor:
            return network(part, t, network.prepare(contexts[i]) if prepared is None else prepared)

        return over_windows(evaluate, x.to(contexts[0]), windows)

    return velocity


def guided(evaluate: sampling.Velocity, settings: RunSettings) -> sampling.Velocity:
    """Guidance around a network whose prompts are, in this order, what to steer to, where `settings` guide apart the
    same without text, and, where they guide at all, what to steer away from."""
    if settings.cfg == 1:
        return evaluate
    rows = 3 if settings.guided_apart else 2

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        towards, *between, away = evaluate(x.repeat(rows, 1, 1), t.repeat(rows)).chunk(rows)
        if between:
            away = sampling.away_from(between[0], away, settings.cfg, settings.video_cfg)
        return sampling.guide(towards, away, settings.cfg, settings.rescale)

    return velocity


def run_sampler(
    velocity: sampling.Velocity,
    objective: Objective,
    settings: RunSettings,
    seeds: Sequence[int],
    known: Known,
    report: Callable[[int, int], None] = lambda step, steps: None,
) -> Tensor:
    """Latents (len(seeds), 64, frames) in float32; item i is what a run with seeds[i] alone gives.

    known: zeros for a sound from nothing. report: called with (steps done, steps); may raise to stop.
    """
    sigmas, noise = objective.sigmas(settings.steps, known.start), sampling.SeededNoise(seeds)
    latent = known.latent.float().expand(len(seeds), -1, -1)
    drawn = noise(latent)
    denoise = objective.denoiser(velocity)
    if known.made is not None:
        denoise = sampling.inpaint(denoise, latent, known.made.to(latent), drawn, objective.add_noise)
    return objective.samplers[settings.sampler](
        denoise,
        objective.add_noise(latent, drawn, sigmas[0]),
        sigmas,
        objective.step_noise(noise, sigmas),
        lambda step, steps, _: report(step + 1, steps),
    )
