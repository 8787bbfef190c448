"""Sentences about files: what does not fit, what was left out, what is used for what."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..release.files import gigabytes
from ..wording import first_few, shown
from .file_contents import TensorSource, TensorSources
from .key_mapping import has_dit
from .reader import TensorFile
from .released_names import released_names
from .single_file import PREFIXES, is_single_file
from .validation import Mismatch


def left_out(file: TensorFile, names: Iterable[str], has_ema: bool) -> str:
    """Tensors that are in a file but not in the model."""
    names = list(names)
    size = gigabytes(sum(file.bytes_of(name) for name in names))
    tensors = "1 tensor" if len(names) == 1 else f"{len(names)} tensors"
    ema = " Averaged weights are among them: `convert --weights ema` takes those." if has_ema else ""
    return f"{file.path}: {tensors} ({size}) that AudioX does not have left out: {first_few(names)}.{ema}"


def foreign_objects(file: TensorFile) -> str:
    """Objects in a pickle that were not rebuilt."""
    return f"{file.path}: objects that are not tensors left out, their code was not run: {first_few(file.left_out)}."


def unusable_copy(path: Path, name: str) -> str:
    """A second VAE that lacks something."""
    return (
        f"{path}: the copy of the VAE for audio prompts does not fit at {name}, so the other one encodes prompts too."
    )


def differing_copies(decoding: TensorSource, prompt: TensorSource) -> str:
    """Two VAEs, each of which is used."""
    return (
        f"The VAEs in {decoding.file.path} and {prompt.file.path} differ at {shown(prompt.recipe.sources[-1])}: as in "
        "the official code, the first decodes and the second encodes audio prompts."
    )


def mismatch_sentence(mismatch: Mismatch, part: str, sources: TensorSources) -> str:
    """What is wrong with a component, as the end of a sentence: the first names of each kind and how many more."""
    problems = []
    if mismatch.depth:
        problems.append("has {} of the {} blocks of the released model".format(*mismatch.depth))
    if mismatch.missing:
        file_names = _StoredNames(part, sources)
        problems.append(f"lacks {first_few(file_names.of(name) for name in mismatch.missing)}")
    if mismatch.misshapen:
        shapes = [
            f"{name} {list(shape)} instead of {list(expected)} (in the file {sources[name].recipe.sources[-1]})"
            for name, shape, expected in mismatch.misshapen
        ]
        problems.append(f"has {first_few(shapes)}")
    return ", ".join(problems)


class _StoredNames:
    """The names that missing tensors of a component would have in its file."""

    def __init__(self, part: str, sources: TensorSources) -> None:
        self.part = part
        self.file = next(iter(sources.values())).file
        self.dit = has_dit(self.file.shapes)
        self.prefix = next(filter(None, map(self._prefix, sources.items())), "")

    def of(self, name: str) -> str:
        """The name in the file, and ours beside it where it differs."""
        if is_single_file(self.file.shapes):
            return PREFIXES[self.part] + name
        released = [self.prefix + each for each in released_names(self.part, name, dit=self.dit)]
        missing = [each for each in released if each not in self.file.shapes] or released
        return f"{' and '.join(missing)} (ours: {name})" if missing else name

    def _prefix(self, item: tuple[str, TensorSource]) -> str:
        """What stands before the released name of a tensor that is there."""
        name, source = item
        stored = source.recipe.sources[-1]
        ends = released_names(self.part, name, dit=self.dit)
        return next((stored.removesuffix(end) for end in ends if stored.endswith(end)), "")
