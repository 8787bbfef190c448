"""The one way in: a path becomes the parts of a checkpoint of any AudioX model."""

from __future__ import annotations

from pathlib import Path

from ..errors import AudioXError
from ..release.variants import VARIANTS
from .checkpoint import HOW_TO_ADD, PART_TITLES, Checkpoint
from .detection import detect_variant
from .file_contents import FileContents, TensorSources, foreign_model, read_contents
from .key_mapping import NETWORK, PARTS, SYNCHFORMER, T5, TOKENIZER, VAE
from .layout import find_layout, find_text_encoder
from .reader import TensorFile
from .validation import find_mismatch, first_few

VAE_FILE_COUNTS = ("turbo", "base")
"""Variants for which upstream's VAE file wins over the model file; the others' model file overwrites it."""


def open_checkpoint(
    path: Path | str,
    *,
    variant: str | None = None,
    vae: Path | str | None = None,
    synchformer: Path | str | None = None,
    text_encoder: Path | str | None = None,
) -> Checkpoint:
    """Open the checkpoint at a path: a folder, or one file with its companions around it.

    variant: a key of `variants.VARIANTS` when neither metadata nor names tell, or against the names. vae,
    synchformer, text_encoder: files (the last also a folder) to use in place of those found. Reads only names and
    shapes.

    Raises:
        AudioXError: one sentence that names the file and what is wrong with it.
    """
    if variant not in (None, *VARIANTS):
        raise AudioXError(f"The variant is {variant!r}, expected one of {', '.join(VARIANTS)}.")
    layout = find_layout(path, variant)
    model = read_contents(TensorFile(layout.model))
    _check_model(model)
    found, source = detect_variant(model, layout.config, variant)
    origins: dict[str, TensorSources] = {part: model.part(part) for part in PARTS if model.part(part)}
    copies: list[TensorSources] = []
    origins[VAE], copies = _choose_vae(model, layout.vae if found in VAE_FILE_COUNTS else None, vae)
    tokenizer = None
    if sync_path := synchformer or (layout.synchformer if SYNCHFORMER not in origins else None):
        origins[SYNCHFORMER] = _companion(sync_path, SYNCHFORMER)
    if text_encoder is not None or T5 not in origins:
        weights, tokenizer = layout.text_encoder, layout.tokenizer
        if text_encoder is not None:
            weights, tokenizer = find_text_encoder(text_encoder)
            origins.pop(TOKENIZER, None)
        if weights is not None:
            origins[T5] = _companion(weights, T5)
    origins = {part: origins[part] for part in PARTS if origins.get(part)}
    for part, tensors in origins.items():
        check_part(part, tensors)
    return Checkpoint(layout, found, source, origins, tuple(copies), tokenizer)


def check_part(part: str, origins: TensorSources) -> None:
    """Names and shapes of a part against the model that they describe.

    Raises:
        AudioXError: names the file and the first offending keys.
    """
    file = next(iter(origins.values())).file.path
    try:
        wrong = find_mismatch(part, {name: origin.shape for name, origin in origins.items()})
    except AudioXError as error:
        raise AudioXError(f"The {PART_TITLES[part]} in {file} cannot be used: {error}") from error
    if wrong:
        raise AudioXError(f"The {PART_TITLES[part]} in {file} {wrong.sentence()}; get the released file again.")


def _check_model(model: FileContents) -> None:
    path = model.file.path
    if foreign := foreign_model(model.file.shapes):
        raise AudioXError(f"{path} is {foreign}, not an AudioX model; {HOW_TO_ADD[NETWORK]}.")
    if not model.part(NETWORK):
        held = [PART_TITLES[part] for part in PARTS if model.part(part)]
        what = f"holds only a {' and a '.join(held)}" if held else f"holds {first_few(model.file.shapes)}"
        raise AudioXError(f"{path} {what}, not an AudioX model; {HOW_TO_ADD[NETWORK]}.")
    if model.unknown:
        raise AudioXError(f"{path} has the unexpected {first_few(model.unknown)}; get the released file again.")


def _choose_vae(
    model: FileContents, beside: Path | None, explicit: Path | str | None
) -> tuple[TensorSources, list[TensorSources]]:
    """The VAE to use, and the copies that must agree with it.

    Upstream decodes with the file beside the model and encodes prompts with the audio conditioner's copy in the model
    file; the other copy there counts only without that file.
    """
    if explicit is not None:
        return _companion(explicit, VAE), []
    copies = dict(model.copies.get(VAE, {}))
    prompt = next((copy for copy in copies if "audio_prompt" in copy), None)
    others = [copies.pop(prompt)] if prompt is not None else []
    main = next(iter(copies.values()), {})
    if beside is not None:
        main = _companion(beside, VAE)
    used = {**(others[0] if others and beside is None else {}), **main}
    return used, [copy for copy in others if copy.items() - used.items()] if main else []


def _companion(path: Path | str, part: str) -> TensorSources:
    """The part that a companion file is expected to hold."""
    contents = read_contents(TensorFile(path))
    origins = contents.part(part)
    if not origins:
        raise AudioXError(f"{path} holds no {PART_TITLES[part]}; it has {first_few(contents.file.shapes)}.")
    if contents.unknown and part != SYNCHFORMER:  # Synchformer's file has other branches, which are not read
        raise AudioXError(f"{path} has the unexpected {first_few(contents.unknown)}; get the released file again.")
    return origins
