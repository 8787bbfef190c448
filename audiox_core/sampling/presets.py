"""Default run settings per model, and their validation."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import AudioXError
from ..release.variants import VARIANTS, join_or
from .objectives import OBJECTIVES


@dataclass(frozen=True)
class RunSettings:
    """How a run samples.

    steps: number of steps. cfg: guidance scale, 1 for none. sampler: one of `variants.SAMPLERS`. rescale: how far
    guidance keeps the standard deviation of the unguided output, 0 to 1; see `guidance.rescale_guidance`. video_cfg:
    scale of video and audio where it differs from that of the text; see `guidance.with_separate_scales`.
    """

    steps: int
    cfg: float
    sampler: str
    rescale: float = 0.0
    video_cfg: float | None = None

    @property
    def scales_separately(self) -> bool:
        """Whether text on the one hand, video and audio on the other have separate guidance scales."""
        return self.video_cfg is not None and self.video_cfg != self.cfg

    @property
    def evaluations(self) -> int:
        """Evaluations of the network per sound and step (of the first-order samplers)."""
        return 1 if self.cfg == 1 else 3 if self.scales_separately else 2


REFERENCE = RunSettings(steps=250, cfg=7.0, sampler="dpmpp-3m-sde")
"""How the papers evaluate the models that predict v."""

PRESETS = {
    # Distilled to 4 steps; the teacher's guidance is in its weights.
    "turbo": RunSettings(steps=4, cfg=1.0, sampler="renoise"),
    # Steps as the paper evaluates the teacher, scale as in the official code's defaults and in the distillation.
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
    """The settings of a run; 0 and "auto" take the model's default.

    guidance: the scale that a checkpoint recommends in place of its variant's, see `Checkpoint.guidance`.

    Raises:
        AudioXError: a setting that does not work with this model.
    """
    default, samplers = PRESETS[variant], OBJECTIVES[variant].samplers
    if steps < 0:
        raise AudioXError(
            f"The number of steps is {steps}, expected 1 or more, or 0 for the model's default, {default.steps}."
        )
    if sampler not in ("auto", *samplers):
        raise AudioXError(
            f"The sampler is {sampler!r}, expected {join_or(('auto', *samplers))} for {VARIANTS[variant].title}."
        )
    if variant == "turbo" and cfg not in (0, 1):
        raise AudioXError(
            f"Set cfg to 1 (or 0 for auto), or load AudioX-Base to use guidance: cfg is {cfg:g}, but AudioX-Turbo was "
            "distilled with its guidance built in and takes only 1."
        )
    if not 0 <= rescale <= 1:
        raise AudioXError(f"cfg_rescale is {rescale:g}, expected 0 (none) to 1.")
    cfg = cfg or guidance or default.cfg
    if video_cfg and cfg == 1:
        raise AudioXError(
            f"Set video_cfg to 0, or cfg above 1 (not with Turbo): video_cfg, the guidance of video and audio, is "
            f"{video_cfg:g}, but it has no effect without guidance (cfg 1)."
        )
    return RunSettings(
        steps=steps or default.steps,
        cfg=cfg,
        sampler=default.sampler if sampler == "auto" else sampler,
        rescale=rescale,
        video_cfg=video_cfg or None,
    )
