"""The one way in: opens the checkpoint of any AudioX model at a path."""

from __future__ import annotations

import logging
from pathlib import Path

from ..errors import AudioXError
from ..release.components import (
    COMPONENT_TITLES,
    COMPONENTS,
    NETWORK,
    SYNCHFORMER,
    T5,
    TOKENIZER,
    VAE,
)
from ..release.variants import VARIANTS
from ..wording import first_few, in_mid_sentence
from .checkpoint import HOW_TO_ADD, Checkpoint
from .detection import detect_variant
from .file_contents import FileContents, TensorSource, TensorSources, foreign_model, read_contents
from .layout import find_layout, find_model, find_text_encoder
from .notices import foreign_objects, left_out, mismatch_sentence, unusable_copy
from .shards import open_file
from .single_file import is_single_file
from .vae_copies import choose_vae
from .validation import find_mismatch

SEPARATE_VAE = ("turbo", "base")
"""Variants for which the separate VAE file wins over the model file's copy; in the others it is the other way round."""

WEIGHTS = ("model", "ema")
"""What `open_checkpoint` takes of a training checkpoint: the model itself, or its average over the training."""

_log = logging.getLogger(__name__)


def open_checkpoint(
    path: Path | str,
    *,
    variant: str | None = None,
    vae: Path | str | None = None,
    synchformer: Path | str | None = None,
    text_encoder: Path | str | None = None,
    weights: str = "model",
) -> Checkpoint:
    """Open the checkpoint at a path: a folder, or one file with its companions around it.

    variant: a key of `variants.VARIANTS`, if neither metadata nor names tell it or to override the names. vae,
    synchformer, text_encoder: files (the last also a folder) to use in place of those found. weights: one of WEIGHTS.
    Reads only names and shapes; logs what was left out, which `Checkpoint.opening_notices` has too.

    Raises:
        AudioXError: one sentence that names the file and what is wrong with it.
    """
    checkpoint = find_checkpoint(
        path, variant=variant, vae=vae, synchformer=synchformer, text_encoder=text_encoder, weights=weights
    )
    for notice in checkpoint.opening_notices:
        _log.warning("%s", notice)
    return checkpoint


def find_checkpoint(
    path: Path | str,
    *,
    variant: str | None = None,
    vae: Path | str | None = None,
    synchformer: Path | str | None = None,
    text_encoder: Path | str | None = None,
    weights: str = "model",
) -> Checkpoint:
    """`open_checkpoint`, but nothing is logged."""
    if variant not in (None, *VARIANTS):
        raise AudioXError(f"The variant is {variant!r}, expected one of {', '.join(VARIANTS)}.")
    if weights not in WEIGHTS:
        raise AudioXError(f"The weights are {weights!r}, expected one of {', '.join(WEIGHTS)}.")
    model_file = find_model(path, variant)
    layout = find_layout(model_file.path)
    model = read_contents(model_file, ema=weights == "ema")
    _check_model(model)
    detected, detected_by = detect_variant(model, layout.config, variant)
    sources = {part: model.part(part) for part in COMPONENTS}
    companions: dict[str, FileContents] = {}
    separate_vae = vae or (layout.vae if detected in SEPARATE_VAE else None)
    if separate_vae is not None:
        companions[VAE] = _companion(separate_vae, VAE)
    sources[VAE], copies = choose_vae(model, companions.get(VAE), alone=vae is not None)
    if sync_path := synchformer or (None if sources[SYNCHFORMER] else layout.synchformer):
        companions[SYNCHFORMER] = _companion(sync_path, SYNCHFORMER)
    tokenizer = None
    if text_encoder is not None or not sources[T5]:
        text_weights, tokenizer = layout.text_encoder, layout.tokenizer
        if text_encoder is not None:
            text_weights, tokenizer = find_text_encoder(text_encoder)
            sources[TOKENIZER] = {}
        if text_weights is not None:
            companions[T5] = _companion(text_weights, T5)
    sources |= {part: contents.part(part) for part, contents in companions.items()}
    unexpected: list[TensorSource] = []
    checked = {part: check_part(part, tensors, unexpected) for part, tensors in sources.items() if tensors}
    copies = copies.of_the_same_shape(checked.get(VAE, {}))
    # Synchformer's file has other branches, which everybody's has and nobody misses
    files = [model, *(contents for part, contents in companions.items() if part != SYNCHFORMER)]
    notices = [notice for contents in files for notice in _opening_notices(contents, unexpected)]
    if copies.unusable:
        notices.append(unusable_copy(model_file.path, copies.unusable))
    return Checkpoint(layout, detected, detected_by, checked, copies, tokenizer, tuple(notices))


def check_part(part: str, sources: TensorSources, unexpected: list[TensorSource]) -> TensorSources:
    """The tensors of a component that its model has; the others, which do no harm, are added to `unexpected`.

    Raises:
        AudioXError: tensors are missing or have other shapes than the rest need; names the file and the first ones.
    """
    file, title = next(iter(sources.values())).file, COMPONENT_TITLES[part]
    shapes = {name: source.shape for name, source in sources.items()}
    try:
        mismatch = find_mismatch(part, shapes, released=not is_single_file(file.shapes))
    except AudioXError as error:
        raise AudioXError(f"The {title} in {file.path} cannot be used: {error}") from error
    if mismatch:
        problem = mismatch_sentence(mismatch, part, sources)
        raise AudioXError(f"The {title} in {file.path} {problem}; get the file again.")
    unexpected += [sources[name] for name in mismatch.unexpected]
    return {name: source for name, source in sources.items() if name not in set(mismatch.unexpected)}


def _opening_notices(contents: FileContents, unexpected: list[TensorSource]) -> list[str]:
    """What was left out of a file, a sentence for each kind."""
    file = contents.file
    names = [*contents.unknown, *(name for each in unexpected if each.file is file for name in each.recipe.sources)]
    notices = [left_out(file, names, contents.has_ema)] if names else []
    return [*notices, foreign_objects(file)] if file.left_out else notices


def _check_model(model: FileContents) -> None:
    path = model.file.path
    if foreign := foreign_model(model.file.shapes):
        raise AudioXError(f"{path} is {foreign}, not an AudioX model; {in_mid_sentence(HOW_TO_ADD[NETWORK])}.")
    if not model.part(NETWORK):
        titles = [COMPONENT_TITLES[part] for part in COMPONENTS if model.part(part)]
        contents = f"holds only a {' and a '.join(titles)}" if titles else f"holds {first_few(model.file.shapes)}"
        raise AudioXError(f"{path} {contents}, not an AudioX model; {in_mid_sentence(HOW_TO_ADD[NETWORK])}.")


def _companion(path: Path | str, part: str) -> FileContents:
    """The contents of a companion file, which has the component that it is expected to have."""
    contents = read_contents(open_file(path))
    if not contents.part(part):
        raise AudioXError(f"{path} holds no {COMPONENT_TITLES[part]}; it has {first_few(contents.file.shapes)}.")
    return contents
