"""What the tensors of one file are: components under native names, each tensor with the recipe for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import torch

from ..errors import AudioXError
from ..release.components import T5, VAE
from .branches import find_branches
from .key_mapping import Recipe, has_dit, map_keys
from .reader import TensorFile
from .single_file import is_single_file, split_key
from .transforms import KEEP, Shape

_VAE_TAIL = re.compile(r"(?:encoder|decoder)\.layers\..*")


@dataclass(frozen=True)
class TensorSource:
    """Where a native tensor comes from: a recipe whose sources are names in a file."""

    file: TensorFile
    recipe: Recipe

    @property
    def shape(self) -> Shape:
        """Shape of the native tensor."""
        shapes = [self.file.shapes[source] for source in self.recipe.sources]
        if len(shapes[-1]) < self.recipe.transform.least_rank:
            return shapes[-1]  # cannot be transformed: reported as a wrong shape
        return self.recipe.transform.shape(*shapes)

    @property
    def stored_bytes(self) -> int:
        """Bytes of the file's tensors that the native tensor is read from."""
        return sum(self.file.bytes_of(name) for name in self.recipe.sources)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the native tensor unless another is requested: the source's."""
        return self.file.dtypes[self.recipe.sources[-1]]


TensorSources = dict[str, TensorSource]
"""Native name -> source, for one component."""


@dataclass
class FileContents:
    """The contents of one file.

    copies: component -> prefix of the names -> sources; only the VAE has more than one copy. dead: names without
    effect. unknown: names that no released file has, and copies that are not used. has_ema: is there an averaged copy?
    """

    file: TensorFile
    copies: dict[str, dict[str, TensorSources]] = field(default_factory=dict)
    dead: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    has_ema: bool = False

    @property
    def is_released(self) -> bool:
        """Has the file released names, not ours?"""
        return not is_single_file(self.file.shapes)

    def part(self, part: str) -> TensorSources:
        """Sources of a component, of its first copy if there are several; empty if the file doesn't have it."""
        return next(iter(self.copies.get(part, {}).values()), {})


def read_contents(file: TensorFile, *, ema: bool = False) -> FileContents:
    """Sort the names of a file by component; reads no values. ema: see `branches.find_branches`.

    Raises:
        AudioXError: there are no averaged weights, but they were requested.
    """
    if not is_single_file(file.shapes):
        return _released_contents(file, ema)
    if ema:
        raise AudioXError(f"Leave --weights ema out for {file.path}: a converted file has no averaged weights.")
    return _native_contents(file)


def foreign_model(names: Iterable[str]) -> str | None:
    """The name of a relative of AudioX with the same transformer, None if it isn't one."""
    names = list(names)
    return "a Stable Audio model" if has_dit(names) and not any("video_prompt." in name for name in names) else None


def _native_contents(file: TensorFile) -> FileContents:
    contents = FileContents(file)
    unknown = []
    for stored in file.shapes:
        target = split_key(stored)
        if target is None:
            unknown.append(stored)
            continue
        part, name = target
        source = TensorSource(file, Recipe(part, name, (stored,), KEEP))
        contents.copies.setdefault(part, {}).setdefault("", {})[name] = source
    contents.unknown = tuple(unknown)
    return contents


def _released_contents(file: TensorFile, ema: bool) -> FileContents:
    try:
        branches = find_branches(file.shapes, ema=ema)
    except AudioXError as error:
        raise AudioXError(f"Leave --weights ema out for {file.path}: {error}.") from error
    stored_names = branches.model
    key_map = map_keys(stored_names)
    contents = FileContents(file, has_ema=branches.has_ema)
    contents.dead = tuple(stored_names[name] for name in key_map.dead)
    contents.unknown = (*branches.rest, *(stored_names[name] for name in key_map.unknown))
    for recipe in sorted(key_map.recipes, key=_is_second_name):
        stored_recipe = replace(recipe, sources=tuple(stored_names[source] for source in recipe.sources))
        prefix = _VAE_TAIL.sub("", recipe.sources[0]) if recipe.part == VAE else ""
        sources = contents.copies.setdefault(recipe.part, {}).setdefault(prefix, {})
        sources.setdefault(recipe.name, TensorSource(file, stored_recipe))
    return contents


def _is_second_name(recipe: Recipe) -> bool:
    """Whether it is the second name of T5's tied embedding, which only counts without `shared.weight`."""
    return recipe.part == T5 and recipe.sources[0] != recipe.name
