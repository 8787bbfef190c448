"""Names that a released file should have, for messages: the way back from native names."""

from __future__ import annotations

import re

from .key_mapping import COMMON_RULES, DIT_RULES, MMDIT_RULES, native_name
from .transforms import Transform

_OPTIONAL = re.compile(r"\((?:\?:)([^()]*)\)\?")
_GROUP = re.compile(r"\((?!\?)(?:[^()]|\([^()]*\))*\)")


def released_names(part: str, name: str, *, dit: bool) -> tuple[str, ...]:
    """Released names of a native tensor: one, both halves of a weight-norm pair, or none if it has none.

    dit: see `key_mapping.has_dit`. The VAE's come without the prefix of the model file.
    """
    for pattern, rule_part, template, _ in COMMON_RULES + (DIT_RULES if dit else MMDIT_RULES):
        if rule_part != part:
            continue
        match = re.fullmatch(_as_pattern(template), name)
        if match is None:
            continue
        released = _filled(pattern, match.groups())
        candidates = [released] if part != "vae" else _halves(released)
        found = tuple(each for each in candidates if _leads_to(each, part, name, dit))
        if found:
            return found
    return ()


def _halves(released: str) -> list[str]:
    """A weight of the VAE is stored as two; its biases and activations are not."""
    if not released.endswith(".weight"):
        return [released]
    stem = released.removesuffix("weight")
    return [f"{stem}weight_g", f"{stem}weight_v"]


def _as_pattern(template: str) -> str:
    """A template such as `video.\\1.\\2` as a pattern with groups."""
    texts = re.split(r"\\\d", template)
    return "(.+?)".join(map(re.escape, texts))


def _filled(pattern: str, groups: tuple[str, ...]) -> str:
    """A released name: the pattern with its groups filled in and its alternatives decided."""
    values = iter(groups)
    filled = _GROUP.sub(lambda _: next(values, ""), _OPTIONAL.sub(_decided, pattern))
    return filled.replace("\\.", ".")


def _decided(match: re.Match[str]) -> str:
    """The one name of an optional group, nothing where it has several."""
    return "" if "|" in match[1] else match[1]


def _leads_to(released: str, part: str, name: str, dit: bool) -> bool:
    try:
        target: tuple[str, str, Transform | None] | None = native_name(released, dit)
    except KeyError:
        return False
    return target is not None and target[:2] == (part, name)
