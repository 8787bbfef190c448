"""A sampling run: from fused prompts to a latent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from ..errors import AudioXError
from .guidance import guide, with_separate_scales
from .inpaint import inpaint
from .noise import SeededNoise
from .objectives import Objective
from .presets import RunSettings
from .types import Velocity
from .windows import Window, over_windows


class Network(Protocol):
    """What a run evaluates: `models.network.AudioXNetwork`, or the one that replays its CUDA graph."""

    def prepare(self, context: Tensor) -> Tensor:
        """What the transformer draws from fused prompts (B, tokens, width) once per run."""
        ...

    def __call__(self, x: Tensor, t: Tensor, prepared: Tensor) -> Tensor:
        """The output for a latent (B, C, frames) at times (B,)."""
        ...


def windowed(network: Network, contexts: Sequence[Tensor], windows: Sequence[Window]) -> Velocity:
    """The network's output for a latent of any length.

    contexts: fused prompts (B, tokens, width), one for each window or one for all. What the transformer draws from a
    prompt is many times larger, so with several it is drawn again in every step: memory stays that of one window.
    """
    prepared = network.prepare(contexts[0]) if len(contexts) == 1 else None

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        def evaluate(i: int, window: Tensor) -> Tensor:
            return network(window, t, network.prepare(contexts[i]) if prepared is None else prepared)

        return over_windows(evaluate, x.to(contexts[0]), windows)

    return velocity


def guided(evaluate: Velocity, settings: RunSettings) -> Velocity:
    """Guidance around a network whose batch holds the prompts one group after the other.

    The groups are: the prompt; where `settings` scale video and audio separately, the same without its text; and,
    with guidance, the negative prompt.
    """
    if settings.cfg == 1:
        return evaluate
    groups = 3 if settings.scales_separately else 2

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        positive, *without_text, negative = evaluate(x.repeat(groups, 1, 1), t.repeat(groups)).chunk(groups)
        if without_text and settings.video_cfg is not None:
            negative = with_separate_scales(without_text[0], negative, settings.cfg, settings.video_cfg)
        return guide(positive, negative, settings.cfg, settings.rescale)

    return velocity


def run_sampler(
    velocity: Velocity,
    objective: Objective,
    settings: RunSettings,
    seeds: Sequence[int],
    source: Tensor,
    *,
    mask: Tensor | None = None,
    denoise: float = 1.0,
    report: Callable[[int, int], None] = lambda step, steps: None,
) -> Tensor:
    """Latents (len(seeds), 64, frames) in float32; item i is what a run with seeds[i] alone gives.

    Args:
        source: latent (1, 64, frames) to start from; zeros for a new sound.
        mask: (frames,), 1 where sound is generated and 0 where the source is kept; None generates all of it.
        denoise: share of the schedule to run; below 1 the result stays close to the source.
        report: called with (steps done, steps); may raise to stop.

    Raises:
        AudioXError: a denoise outside 0 to 1, or a mask of another length than the source.
    """
    check_source(source, mask, denoise)
    sigmas, noise = objective.sigmas(settings.steps, denoise), SeededNoise(seeds)
    latent = source.float().expand(len(seeds), -1, -1)
    start_noise = noise(latent)
    estimate = objective.denoiser(velocity)
    if mask is not None:
        estimate = inpaint(estimate, latent, mask.to(latent), start_noise, objective.add_noise)
    return objective.samplers[settings.sampler](
        estimate,
        objective.add_noise(latent, start_noise, sigmas[0]),
        sigmas,
        objective.step_noise(noise, sigmas),
        lambda step, steps, _: report(step + 1, steps),
    )


def check_source(source: Tensor, mask: Tensor | None, denoise: float) -> None:
    """AudioXError for a source that a run cannot start from; see `run_sampler`."""
    if not 0 < denoise <= 1:
        raise AudioXError(f"denoise is {denoise:g}, expected more than 0 and at most 1 (1 regenerates everything).")
    if mask is not None and mask.shape != source.shape[-1:]:
        raise AudioXError(
            f"The mask has the shape {list(mask.shape)}, expected [{source.shape[-1]}]: one number for each frame of "
            "the source latent."
        )
