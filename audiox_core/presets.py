"""How each model is run when nobody says otherwise, and what cannot work."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import AudioXError
from .sampling import sample_euler, sample_renoise

SAMPLERS = {"renoise": sample_renoise, "euler": sample_euler}


@dataclass(frozen=True)
class RunSettings:
    """steps: evaluations of a run; cfg: guidance scale, 1 for none; sampler: a key of SAMPLERS."""

    steps: int
    cfg: float
    sampler: str


PRESETS = {
    # Distilled to 4 steps; the teacher's guidance is in its weights.
    "turbo": RunSettings(steps=4, cfg=1.0, sampler="renoise"),
    # Steps as the paper evaluates the teacher, scale as upstream's function defaults and as the distillation used.
    "base": RunSettings(steps=50, cfg=6.0, sampler="euler"),
}


def run_settings(variant: str, *, steps: int = 0, cfg: float = 0.0, sampler: str = "auto") -> RunSettings:
    """The settings of a run: 0 and "auto" take the model's own.

    Raises:
        AudioXError: a setting that cannot work with this model.
    """
    own = PRESETS[variant]
    if steps < 0:
        raise AudioXError(f"The number of steps is {steps}, expected 1 or more, or 0 for the model's own {own.steps}.")
    if sampler not in ("auto", *SAMPLERS):
        raise AudioXError(f"The sampler is {sampler!r}, expected auto, {' or '.join(SAMPLERS)}.")
    if variant == "turbo" and cfg not in (0, 1):
        raise AudioXError(
            f"The guidance (cfg) is {cfg:g}, but AudioX-Turbo was distilled with its guidance built in and takes only "
            "1 (or 0 for auto): set it to 1, or load AudioX-Base to steer with guidance."
        )
    return RunSettings(
        steps=steps or own.steps, cfg=cfg or own.cfg, sampler=own.sampler if sampler == "auto" else sampler
    )
