"""The released models and what sets them apart. Nothing here needs torch, so the command line starts fast."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MMDIT, MAF_DIT, DIT = ARCHITECTURES = ("mmdit", "maf-dit", "dit")
"""The three kinds of network; see `models.network`."""


@dataclass(frozen=True)
class Variant:
    """title: the model's name; architecture: one of ARCHITECTURES, which the tensors of a file show."""

    title: str
    architecture: str


VARIANTS = {
    "turbo": Variant("AudioX-Turbo", MMDIT),
    "base": Variant("AudioX-Base", MMDIT),
    "maf-mmdit": Variant("AudioX-MAF-MMDiT", MMDIT),
    "maf": Variant("AudioX-MAF", MAF_DIT),
    "v1": Variant("AudioX", DIT),
}
"""The distilled 4-step student, its teacher, and the three models before them. The first three look alike."""


FLOW_SAMPLERS = ("renoise", "euler")
"""Samplers of the models of rectified flow: AudioX-Turbo and AudioX-Base."""

V_SAMPLERS = ("dpmpp-3m-sde", "dpmpp-2m-sde", "heun", "dpm-2", "dpmpp-2s-ancestral")
"""Samplers of the models that predict v: the other three."""

SAMPLERS = FLOW_SAMPLERS + V_SAMPLERS
"""Every sampler name; `sampling.objectives` pairs them with the functions."""


def variants_of(architecture: str) -> tuple[str, ...]:
    """The variants with an architecture."""
    return tuple(name for name, variant in VARIANTS.items() if variant.architecture == architecture)


def join_or(names: Iterable[str]) -> str:
    """'a', 'a or b' or 'a, b or c'."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
