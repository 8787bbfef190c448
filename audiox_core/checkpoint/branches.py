"""Finds a model among the tensors of a training checkpoint: under which prefix, beside which other copies of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import AudioXError
from ..release.components import NETWORK
from .key_mapping import is_released, is_unmistakable, native_name

_WRAPPED = re.compile(r"(?:_orig_mod|_forward_module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What compiling and distributed training put into names, anywhere."""

_SECONDARY = frozenset({"ema", "teacher", "fake", "discriminator", "critic"})
"""Words in the prefixes of copies that are not the model itself."""

_BESIDE = ("", "module.", "model.", "student.", "student.model.", "student.module.", "module.student.")
"""Prefixes under which a component may be that the model's own prefix lacks."""

_BEGINNINGS = (
    "model.",
    "maf_block.",
    "conditioner.",
    "pretransform.",
    "autoencoder.",
    "vfeat_extractor.",
    "encoder.",
    "decoder.",
    "shared.",
)
"""How released names begin, so that others are told apart quickly."""

MAX_PREFIX = 6
"""How many names of modules a prefix may consist of."""

Names = dict[str, str]
"""Released name -> the name in the file."""


@dataclass(frozen=True)
class Branches:
    """model: the names of the model. rest: all other names in the file. has_ema: is there an averaged copy?"""

    model: Names
    rest: tuple[str, ...]
    has_ema: bool


def find_branches(names: Iterable[str], *, ema: bool = False) -> Branches:
    """Sort the names of a file in released names, with or without prefixes.

    ema: take the averaged weights in place of those that they are the average of.

    Raises:
        AudioXError: there are no averaged weights.
    """
    names = list(names)
    branches: dict[str, Names] = {}
    for name in names:
        if found := _split(name):
            prefix, released = found
            branches.setdefault(prefix, {}).setdefault(released, name)
    main = max(branches, key=lambda prefix: _rank(prefix, branches[prefix]), default="")
    model = dict(branches.get(main, {}))
    parts = {_part(released) for released in model}
    for prefix in _BESIDE:
        if NETWORK in parts and prefix != main:
            model |= {
                released: stored
                for released, stored in branches.get(prefix, {}).items()
                if _part(released) not in parts and released not in model
            }
    averaged = [prefix for prefix in branches if prefix != main and "ema" in _words(prefix)]
    if ema:
        if not averaged:
            raise AudioXError("there are no averaged (EMA) weights in it")
        model |= branches[max(averaged, key=lambda prefix: len(branches[prefix]))]
    used = set(model.values())
    return Branches(model, tuple(name for name in names if name not in used), bool(averaged))


def _split(name: str) -> tuple[str, str] | None:
    """(prefix, released name) of a name, None if no end of it is a released name."""
    plain = _WRAPPED.sub("", name)
    if is_released(plain):
        return "", plain
    starts = [0, *(match.end() for match in re.finditer(r"\.", plain))][: MAX_PREFIX + 1]
    starts = [start for start in starts if plain.startswith(_BEGINNINGS, start)]
    for start in starts:
        if is_unmistakable(plain[start:]):
            return plain[:start], plain[start:]
    for start in starts:  # an average is of what the model's wrapper holds, so one `model.` is missing
        if plain.startswith("model.", start) and is_unmistakable(f"model.{plain[start:]}"):
            return plain[:start], f"model.{plain[start:]}"
    return None


def _words(prefix: str) -> set[str]:
    return set(re.split(r"[._\d]+", prefix.lower()))


def _rank(prefix: str, names: Names) -> tuple[bool, bool, int, int]:
    """Sorts the copies in a file: those with a transformer first, then the model itself, then the largest."""
    has_transformer = any(".transformer.layers.0." in released for released in names)
    return has_transformer, not _SECONDARY & _words(prefix), len(names), -len(prefix)


def _part(released: str) -> str | None:
    for dit in (False, True):
        try:
            target = native_name(released, dit)
        except KeyError:
            continue
        return target[0] if target else None
    return None
