"""How each model is run when nobody says otherwise, and what cannot work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .. import sampling
from ..errors import AudioXError
from ..release.variants import VARIANTS, join_or
from . import AddNoise, BrownianNoise, Denoise, Noise, Sampler, SeededNoise, Velocity


@dataclass(frozen=True)
class Objective:
    """What a network was trained to predict, as far as sampling has to know.

    denoiser: from the network's output to estimates of the clean latent. sigmas(steps, start): its schedule; start
    below 1 begins part of the way down. step_noise(noise, sigmas): where samplers draw from, given what the start was
    drawn from. add_noise(sound, noise, sigma): a known latent at a sigma. samplers: those that fit, by name.
    skip(sigma): the share of the latent in an estimate; the rest of the estimate is the network's output times a
    number.
    """

    denoiser: Callable[[Velocity], Denoise]
    sigmas: Callable[[int, float], list[float]]
    step_noise: Callable[[SeededNoise, Sequence[float]], Noise]
    add_noise: AddNoise
    samplers: Mapping[str, Sampler]
    skip: Callable[[float], float]


FLOW = Objective(
    denoiser=sampling.from_velocity,
    sigmas=sampling.flow_sigmas,
    step_noise=lambda noise, sigmas: noise,
    add_noise=sampling.add_flow_noise,
    samplers={"renoise": sampling.sample_renoise, "euler": sampling.sample_euler},
    skip=lambda sigma: 1.0,
)
V = Objective(
    denoiser=sampling.from_v,
    sigmas=sampling.v_sigmas,
    step_noise=lambda noise, sigmas: BrownianNoise(noise.seeds, sigmas),
    add_noise=sampling.add_v_noise,
    samplers={
        "dpmpp-3m-sde": sampling.sample_dpmpp_3m_sde,
        "dpmpp-2m-sde": sampling.sample_dpmpp_2m_sde,
        "heun": sampling.sample_heun,
        "dpm-2": sampling.sample_dpm_2,
        "dpmpp-2s-ancestral": sampling.sample_dpmpp_2s_ancestral,
    },
    skip=lambda sigma: sampling.v_scalings(sigma)[0],
)

OBJECTIVES = {"turbo": FLOW, "base": FLOW, "maf-mmdit": V, "maf": V, "v1": V}
"""Variant -> objective."""


@dataclass(frozen=True)
class RunSettings:
    """steps: of a run; cfg: guidance scale, 1 for none; sampler: of `variants.SAMPLERS`.

    rescale: how far guidance keeps the deviation of the unguided output, 0 to 1; see `sampling.rescale_guidance`.
    video_cfg: the scale of video and audio where it is not that of the text; see `sampling.away_from`.
    """

    steps: int
    cfg: float
    sampler: str
    rescale: float = 0.0
    video_cfg: float | None = None

    @property
    def guided_apart(self) -> bool:
        """Whether text on the one hand, video and audio on the other have scales of their own."""
        return self.video_cfg is not None and self.video_cfg != self.cfg


REFERENCE = RunSettings(steps=250, cfg=7.0, sampler="dpmpp-3m-sde")
"""As the papers evaluate the models that predict v."""

PRESETS = {
    # Distilled to 4 steps; the teacher's guidance is in its weights.
    "turbo": RunSettings(steps=4, cfg=1.0, sampler="renoise"),
    # Steps as the paper evaluates the teacher, scale as upstream's function defaults and as the distillation used.
    "base": RunSettings(steps=50, cfg=6.0, sampler="euler"),
    "maf-mmdit": REFERENCE,
    "maf": REFERENCE,
    "v1": REFERENCE,
}


def resolve_settings(
    variant: str,
    *,
    steps: int = 0,
    cfg: float = 0.0,
    sampler: str = "auto",
    rescale: float = 0.0,
    video_cfg: float = 0.0,
    guidance: float | None = None,
) -> RunSettings:
    """The settings of a run: 0 and "auto" take the model's own.

    guidance: the scale that a checkpoint asks for in place of its variant's, see `Checkpoint.guidance`.

    Raises:
        AudioXError: a setting that cannot work with this model.
    """
    own, samplers = PRESETS[variant], OBJECTIVES[variant].samplers
    if steps < 0:
        raise AudioXError(f"The number of steps is {steps}, expected 1 or more, or 0 for the model's own {own.steps}.")
    if sampler not in ("auto", *samplers):
        raise AudioXError(
            f"The sampler is {sampler!r}, expected {join_or(('auto', *samplers))} for {VARIANTS[variant].title}."
        )
    if variant == "turbo" and cfg not in (0, 1):
        raise AudioXError(
            f"The guidance (cfg) is {cfg:g}, but AudioX-Turbo was distilled with its guidance built in and takes only "
            "1 (or 0 for auto): set it to 1, or load AudioX-Base to steer with guidance."
        )
    if not 0 <= rescale <= 1:
        raise AudioXError(f"The rescaling of guidance is {rescale:g}, expected 0 (none) to 1.")
    cfg = cfg or guidance or own.cfg
    if video_cfg and cfg == 1:
        raise AudioXError(
            f"The guidance of video and audio (video_cfg) is {video_cfg:g}, but without guidance (cfg 1) there is "
            "nothing to set apart: set it to 0, or cfg above 1 (not with Turbo)."
        )
    return RunSettings(
        steps=steps or own.steps,
        cfg=cfg,
        sampler=own.sampler if sampler == "auto" else sampler,
        rescale=rescale,
        video_cfg=video_cfg or None,
    )
