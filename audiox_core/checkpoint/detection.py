"""Which of the released models a file is: from its tensors, its metadata, its name or its configuration."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import AudioXError
from ..models.network import architecture_of
from ..release.variants import VARIANTS, join_or, variants_of
from .file_contents import FileContents
from .key_mapping import NETWORK
from .layout import config_objective, variant_hint
from .reader import TensorFile

VARIANT_KEY = "audiox.variant"
"""Entry of a safetensors file's metadata that says the variant."""

GUIDANCE_KEY = "audiox.cfg"
"""Entry of the metadata for the guidance that suits a checkpoint, where it is not its variant's."""


def stored_guidance(file: TensorFile) -> float | None:
    """The guidance scale that a file asks for, None when it asks for none.

    Raises:
        AudioXError: it asks for something that is no scale.
    """
    stated = file.metadata.get(GUIDANCE_KEY)
    if stated is None:
        return None
    if not re.fullmatch(r"\d{1,2}(\.\d+)?", stated):
        raise AudioXError(f"{file.path} asks for the guidance {stated!r}, expected a number such as 2.5; get it again.")
    return float(stated)


def detect_variant(model: FileContents, config: Path | None, explicit: str | None) -> tuple[str, str]:
    """(variant, what told it): "explicit", "tensors", "metadata", "config.json", "file name" or "folder name".

    config: upstream's config.json beside the file, if there is one.

    Raises:
        AudioXError: what is said is unknown, does not fit the tensors or contradicts the metadata, or nothing tells.
    """
    file = model.file
    fitting = variants_of(architecture_of(model.part(NETWORK)))
    stated = file.metadata.get(VARIANT_KEY)
    if stated is not None and stated not in VARIANTS:
        raise AudioXError(f"{file.path} says it is {stated!r}, which is unknown here; update the pack.")
    if explicit is not None and stated not in (None, explicit):
        raise AudioXError(f"{file.path} says it is {stated!r}, but {explicit!r} was asked for; choose {stated!r}.")
    for said, source in ((explicit, "explicit"), (stated, "metadata")):
        if said is not None and said not in fitting:
            titles = join_or(VARIANTS[name].title for name in fitting)
            raise AudioXError(
                f"{file.path} is {titles} by its tensors, but {said!r} is the variant that was given; choose "
                f"{join_or(map(repr, fitting))}."
            )
        if said is not None:
            return said, source
    if len(fitting) == 1:
        return fitting[0], "tensors"
    if config_objective(config) == "v":
        return "maf-mmdit", "config.json"
    if hint := variant_hint(file.path):
        return hint
    raise AudioXError(
        f"{file.path} does not say whether it is {join_or(VARIANTS[name].title for name in fitting)}, which look the "
        f"same; say the variant, {join_or(fitting)}."
    )
