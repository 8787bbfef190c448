"""Which of the released models a file is, by its tensors, its metadata, its name or its configuration."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import AudioXError
from ..models.network import architecture_of
from ..release.components import NETWORK
from ..release.variants import VARIANTS, join_or, variants_of
from .file_contents import FileContents
from .layout import config_objective, variant_hint
from .reader import TensorFile

VARIANT_KEY = "audiox.variant"
"""Entry of a safetensors file's metadata that states the variant."""

GUIDANCE_KEY = "audiox.cfg"
"""Entry of the metadata for the guidance scale that suits a checkpoint, if it isn't its variant's."""

MAX_GUIDANCE = 30.0
"""Largest scale that a file may request."""


def stored_guidance(file: TensorFile) -> float | None:
    """The guidance scale that a file's metadata states, None if it states none.

    Raises:
        AudioXError: it states something that isn't a scale.
    """
    stated = file.metadata.get(GUIDANCE_KEY)
    if stated is None:
        return None
    if not re.fullmatch(r"\d{1,2}(\.\d{1,6})?", stated) or not 0 < float(stated) <= MAX_GUIDANCE:
        raise AudioXError(
            f"{file.path} states the guidance scale {stated!r}, expected a number such as 2.5; get the file again."
        )
    return float(stated)


def detect_variant(model: FileContents, config: Path | None, explicit: str | None) -> tuple[str, str]:
    """(variant, what it was detected by): "explicit", "tensors", "metadata", "config.json", "file name", "folder name".

    config: the official config.json beside the file, if there is one. explicit: the variant that the caller chose.

    Raises:
        AudioXError: the variant is unknown, does not fit the tensors, contradicts the choice, or is stated nowhere.
    """
    file = model.file
    fitting = variants_of(architecture_of(model.part(NETWORK)))
    stated = file.metadata.get(VARIANT_KEY)
    if stated is not None and stated not in VARIANTS:
        raise AudioXError(f"{file.path} says it is {stated!r}, which this version does not know; update the pack.")
    if explicit is not None and stated not in (None, explicit):
        raise AudioXError(f"{file.path} says it is {stated!r}, but {explicit!r} was requested; choose {stated!r}.")
    for variant, source in ((explicit, "explicit"), (stated, "metadata")):
        if variant is not None and variant not in fitting:
            titles = join_or(VARIANTS[name].title for name in fitting)
            raise AudioXError(
                f"{file.path} is {titles} by its tensors, but the given variant is {variant!r}; choose "
                f"{join_or(map(repr, fitting))}."
            )
        if variant is not None:
            return variant, source
    if len(fitting) == 1:
        return fitting[0], "tensors"
    if config_objective(config) == "v":
        return "maf-mmdit", "config.json"
    if hint := variant_hint(file.path):
        return hint
    raise AudioXError(
        f"{file.path} does not say whether it is {join_or(VARIANTS[name].title for name in fitting)}, whose tensors "
        f"look the same; say the variant, {join_or(fitting)}."
    )
