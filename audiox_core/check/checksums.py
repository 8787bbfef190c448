"""A model's files against the sizes and checksums that are pinned here or recorded by `audiox download`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..checkpoint import Checkpoint
from ..checkpoint.checkpoint import TensorReader
from ..errors import AudioXError
from ..progress import no_progress
from ..release.components import COMPONENT_TITLES
from ..release.files import RELEASES, gigabytes
from .result import Result, ok, problem, skipped

if TYPE_CHECKING:
    from ..release.download import Remote

LEVELS = 3
"""How many folders above a file its record may be."""


def check_sizes(checkpoint: Checkpoint, *, verify: bool) -> Iterator[Result]:
    """A result for each file of which size and checksum are known. verify: compute the checksum."""
    if importlib.util.find_spec("huggingface_hub") is None:
        yield skipped("checksums", "the package huggingface_hub, which `audiox download` records them with, is missing")
        return
    for path in files_of(checkpoint):
        if known := recorded(path):
            yield _file(path, known, verify)


def files_of(checkpoint: Checkpoint) -> list[Path]:
    """The files that a checkpoint is read from."""
    tokenizer = [checkpoint.tokenizer_file] if checkpoint.tokenizer_file else []
    return [*(file.path for file in checkpoint.files), *tokenizer]


def recorded(path: Path) -> Remote | None:
    """What the record in a folder around a file says about it."""
    from ..release import download  # here, because it needs huggingface_hub

    files = {file for release in RELEASES.values() for file in release.files}
    for folder in list(path.absolute().parents)[:LEVELS]:
        if (folder / download.RECORD).is_file():
            own = [file for file in files if folder / file.path == path.absolute()]
            try:
                return next(iter(download.recorded(folder, own)), None)
            except AudioXError:
                return None  # a record that cannot be read says nothing about the file
    return None


def _file(path: Path, known: Remote, verify: bool) -> Result:
    from ..release.download import checksum

    size = path.stat().st_size
    again = "Delete the file and run `audiox download` again."
    if size != known.size:
        return problem(path.name, f"{size:,} bytes, expected {known.size:,}: it is incomplete or another", again)
    if not verify:
        return ok(path.name, f"{gigabytes(size)}, as downloaded; --verify compares the checksum", bytes=size)
    found = checksum(path, known.checksum, no_progress)
    if found != known.checksum:
        return problem(path.name, f"its checksum is {found}, expected {known.checksum}: it is damaged", again)
    return ok(path.name, f"{gigabytes(size)}, checksum as downloaded", bytes=size, checksum=found)


def check_values(checkpoint: Checkpoint) -> Iterator[Result]:
    """A result for each component: are all its numbers finite? Reads every tensor, one at a time."""
    reader = TensorReader()
    for part in checkpoint.sizes:
        wrong = []
        for name, source, _ in checkpoint.final_dtypes(part, None):
            tensor = reader.tensor(source, torch.float32)
            if not torch.isfinite(tensor).all():
                wrong.append(name)
        title = f"{COMPONENT_TITLES[part]}, values"
        if wrong:
            text = f"{len(wrong)} tensors hold numbers that are not finite, such as {wrong[0]}"
            yield problem(title, text, "Get the file again: it is damaged, or was stored in too small a type.")
        else:
            yield ok(title, "all finite")
