"""The one way in: opens the checkpoint of any AudioX model at a path."""

from __future__ import annotations

from pathlib import Path

from ..errors import AudioXError
from ..release.components import COMPONENT_TITLES, COMPONENTS, NETWORK, SYNCHFORMER, T5, TOKENIZER, VAE
from ..release.variants import VARIANTS
from .checkpoint import HOW_TO_ADD, Checkpoint
from .detection import detect_variant
from .file_contents import FileContents, TensorSources, foreign_model, read_contents
from .layout import find_layout, find_model, find_text_encoder
from .reader import TensorFile
from .validation import find_mismatch, first_few

SEPARATE_VAE = ("turbo", "base")
"""Variants for which the separate VAE file wins over the model file's copy; in the others it is the other way round."""


def open_checkpoint(
    path: Path | str,
    *,
    variant: str | None = None,
    vae: Path | str | None = None,
    synchformer: Path | str | None = None,
    text_encoder: Path | str | None = None,
) -> Checkpoint:
    """Open the checkpoint at a path: a folder, or one file with its companions around it.

    variant: a key of `variants.VARIANTS`, if neither metadata nor names tell it or to override the names. vae,
    synchformer, text_encoder: files (the last also a folder) to use in place of those found. Reads only names and
    shapes.

    Raises:
        AudioXError: one sentence that names the file and what is wrong with it.
    """
    if variant not in (None, *VARIANTS):
        raise AudioXError(f"The variant is {variant!r}, expected one of {', '.join(VARIANTS)}.")
    model_file = find_model(path, variant)
    layout = find_layout(model_file.path)
    model = read_contents(model_file)
    _check_model(model)
    detected, detected_by = detect_variant(model, layout.config, variant)
    sources = {part: model.part(part) for part in COMPONENTS}
    if vae is not None:
        vae_copies: tuple[TensorSources, ...] = ()
        sources[VAE] = _companion(vae, VAE)
    else:
        sources[VAE], vae_copies = _choose_vae(model, layout.vae if detected in SEPARATE_VAE else None)
    tokenizer = None
    if sync_path := synchformer or (None if sources[SYNCHFORMER] else layout.synchformer):
        sources[SYNCHFORMER] = _companion(sync_path, SYNCHFORMER)
    if text_encoder is not None or not sources[T5]:
        weights, tokenizer = layout.text_encoder, layout.tokenizer
        if text_encoder is not None:
            weights, tokenizer = find_text_encoder(text_encoder)
            sources[TOKENIZER] = {}
        if weights is not None:
            sources[T5] = _companion(weights, T5)
    sources = {part: tensors for part, tensors in sources.items() if tensors}
    for part, tensors in sources.items():
        check_part(part, tensors)
    return Checkpoint(layout, detected, detected_by, sources, vae_copies, tokenizer)


def check_part(part: str, sources: TensorSources) -> None:
    """Compare the names and shapes of a component with the model that they describe.

    Raises:
        AudioXError: names the file and the first offending keys.
    """
    file = next(iter(sources.values())).file.path
    try:
        mismatch = find_mismatch(part, {name: source.shape for name, source in sources.items()})
    except AudioXError as error:
        raise AudioXError(f"The {COMPONENT_TITLES[part]} in {file} cannot be used: {error}") from error
    if mismatch:
        raise AudioXError(f"The {COMPONENT_TITLES[part]} in {file} {mismatch.sentence()}; get the released file again.")


def _check_model(model: FileContents) -> None:
    path = model.file.path
    if foreign := foreign_model(model.file.shapes):
        raise AudioXError(f"{path} is {foreign}, not an AudioX model; {HOW_TO_ADD[NETWORK]}.")
    if not model.part(NETWORK):
        titles = [COMPONENT_TITLES[part] for part in COMPONENTS if model.part(part)]
        contents = f"holds only a {' and a '.join(titles)}" if titles else f"holds {first_few(model.file.shapes)}"
        raise AudioXError(f"{path} {contents}, not an AudioX model; {HOW_TO_ADD[NETWORK]}.")
    if model.unknown:
        raise AudioXError(f"{path} has the unexpected {first_few(model.unknown)}; get the released file again.")


def _choose_vae(model: FileContents, separate: Path | None) -> tuple[TensorSources, tuple[TensorSources, ...]]:
    """The VAE to use, and the copies that must agree with it.

    The official code decodes with the separate file and encodes prompts with the audio conditioner's copy in the model
    file; the other copy in the model file only counts without that file.
    """
    copies = model.copies.get(VAE, {})
    encoding: TensorSources = next((copy for prefix, copy in copies.items() if "audio_prompt" in prefix), {})
    if separate is not None:
        used = decoding = _companion(separate, VAE)
    else:
        decoding = next((copy for prefix, copy in copies.items() if "audio_prompt" not in prefix), {})
        used = encoding | decoding
    differs = any(used.get(name) != source for name, source in encoding.items())
    return used, (encoding,) if decoding and differs else ()


def _companion(path: Path | str, part: str) -> TensorSources:
    """The component that a companion file is expected to hold."""
    contents = read_contents(TensorFile(path))
    sources = contents.part(part)
    if not sources:
        raise AudioXError(f"{path} holds no {COMPONENT_TITLES[part]}; it has {first_few(contents.file.shapes)}.")
    if contents.unknown and part != SYNCHFORMER:  # Synchformer's file has other branches, which are not read
        raise AudioXError(f"{path} has the unexpected {first_few(contents.unknown)}; get the released file again.")
    return sources
