"""The one way in: a path becomes the parts of an AudioX-Turbo or AudioX-Base checkpoint."""

from __future__ import annotations

from pathlib import Path

from ..errors import AudioXError
from .contents import Contents, Origins, older_model, read_contents
from .expect import misfit, some
from .layout import Layout, find_layout, find_text_encoder, objective, variant_hint
from .official import NETWORK, PARTS, SYNCHFORMER, T5, TOKENIZER, VAE
from .opened import CALLED, WHERE, Checkpoint
from .reader import TensorFile

VARIANTS = ("turbo", "base")
"""The distilled 4-step student, and its teacher for many steps with guidance."""

VARIANT_KEY = "audiox.variant"
"""Entry of a safetensors file's metadata that says the variant."""


def open_checkpoint(
    path: Path | str,
    *,
    variant: str | None = None,
    vae: Path | str | None = None,
    synchformer: Path | str | None = None,
    text_encoder: Path | str | None = None,
) -> Checkpoint:
    """Open the checkpoint at a path: a folder, or one file with its companions around it.

    variant: "turbo" or "base" when neither metadata nor names tell, or against the names. vae, synchformer,
    text_encoder: files (the last also a folder) to use in place of those found. Reads only names and shapes.

    Raises:
        AudioXError: one sentence that names the file and what is wrong with it.
    """
    if variant not in (None, *VARIANTS):
        raise AudioXError(f"The variant is {variant!r}, expected one of {', '.join(VARIANTS)}.")
    layout = find_layout(path, variant)
    model = read_contents(TensorFile(layout.model))
    _check_model(model)
    found, source = _variant(model.file, layout, variant)
    origins: dict[str, Origins] = {part: model.part(part) for part in PARTS if model.part(part)}
    copies: list[Origins] = []
    origins[VAE], copies = _choose_vae(model, layout, vae)
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


def check_part(part: str, origins: Origins) -> None:
    """Names and shapes of a part against the model that they describe.

    Raises:
        AudioXError: names the file and the first offending keys.
    """
    file = next(iter(origins.values())).file.path
    try:
        wrong = misfit(part, {name: origin.shape for name, origin in origins.items()})
    except AudioXError as error:
        raise AudioXError(f"The {CALLED[part]} in {file} cannot be used: {error}") from error
    if wrong:
        raise AudioXError(f"The {CALLED[part]} in {file} {wrong.sentence()}; get the released file again.")


def _check_model(model: Contents) -> None:
    path = model.file.path
    if older := older_model(model.file.shapes):
        raise AudioXError(
            f"{path} is {older}, which this version cannot load yet; it loads AudioX-Turbo and its teacher."
        )
    if not model.part(NETWORK):
        held = [CALLED[part] for part in PARTS if model.part(part)]
        what = f"holds only a {' and a '.join(held)}" if held else f"holds {some(model.file.shapes)}"
        raise AudioXError(f"{path} {what}, not an AudioX model; {WHERE[NETWORK]}.")
    if model.unknown:
        raise AudioXError(f"{path} has the unexpected {some(model.unknown)}; get the released file again.")


def _variant(file: TensorFile, layout: Layout, explicit: str | None) -> tuple[str, str]:
    stated = file.metadata.get(VARIANT_KEY)
    if stated is not None and stated not in VARIANTS:
        raise AudioXError(f"{file.path} says it is {stated!r}, which is unknown here; update the pack.")
    if explicit is not None:
        if stated not in (None, explicit):
            raise AudioXError(
                f"{file.path} says it is {stated!r}, but {explicit!r} was asked for; choose {stated!r}."
            )
        return explicit, "explicit"
    if stated is not None:
        return stated, "metadata"
    hint = variant_hint(file.path)
    older = "AudioX-MAF-MMDiT" if objective(layout.config) == "v" else hint and hint[0]
    if older == "AudioX-MAF-MMDiT":
        raise AudioXError(
            f"{file.path} is AudioX-MAF-MMDiT by its {hint[1] if hint else 'config.json'}, which this "
            "version cannot load yet; if it is AudioX-Turbo or its teacher, say the variant."
        )
    if hint is None:
        raise AudioXError(
            f"{file.path} does not say whether it is AudioX-Turbo or its teacher, which look the same; say "
            "the variant, turbo or base."
        )
    return hint


def _choose_vae(
    model: Contents, layout: Layout, explicit: Path | str | None
) -> tuple[Origins, list[Origins]]:
    """The VAE to use, and the copies that must agree with it.

    Upstream decodes with vae.ckpt and encodes prompts with the audio conditioner's copy in the model file;
    the other copy there counts only without vae.ckpt.
    """
    if explicit is not None:
        return _companion(explicit, VAE), []
    copies = dict(model.copies.get(VAE, {}))
    prompt = next((copy for copy in copies if "audio_prompt" in copy), None)
    others = [copies.pop(prompt)] if prompt is not None else []
    main = next(iter(copies.values()), {})
    if layout.vae is not None:
        main = _companion(layout.vae, VAE)
    used = {**(others[0] if others and layout.vae is None else {}), **main}
    return used, [copy for copy in others if copy.items() - used.items()] if main else []


def _companion(path: Path | str, part: str) -> Origins:
    """The part that a companion file is expected to hold."""
    contents = read_contents(TensorFile(path))
    origins = contents.part(part)
    if not origins:
        raise AudioXError(f"{path} holds no {CALLED[part]}; it has {some(contents.file.shapes)}.")
    if contents.unknown and part != SYNCHFORMER:  # Synchformer's file has other branches, which are not read
        raise AudioXError(f"{path} has the unexpected {some(contents.unknown)}; get the released file again.")
    return origins
