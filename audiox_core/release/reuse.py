"""Finds released files that are on this machine already: in the folders of other packs, or in the hub's cache."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants

from .download import Progress, Remote, checksum
from .local_files import files_of_size, models_folder

WORTH_IT = 1_000_000
"""Bytes from which on a file is looked for."""


def find_copy(remote: Remote, folder: Path, progress: Progress) -> Path | None:
    """A file with the same content, known by its size and SHA-256: below `models`, or in the hub's cache."""
    if remote.size < WORTH_IT or not remote.checksum.startswith("sha256:"):
        return None
    for path in _candidates(remote, folder):
        if checksum(path, remote.checksum, progress) == remote.checksum:
            return path
    return None


def take_copy(copy: Path, path: Path) -> None:
    """Give a file a second name, or copy it where the two are on different disks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.copy.part")
    partial.unlink(missing_ok=True)
    try:
        os.link(copy.resolve(), partial)
    except OSError:  # another disk, or a system without such links
        shutil.copyfile(copy, partial)
    os.replace(partial, path)


def _candidates(remote: Remote, folder: Path) -> Iterator[Path]:
    """Files of the right size; the hub's cache names large ones by their SHA-256."""
    own = (folder / remote.file.path).absolute()
    cached = sorted(Path(constants.HF_HUB_CACHE).glob(f"models--*/blobs/{remote.digest}"))
    models = models_folder(folder)
    elsewhere = files_of_size(models, remote.size) if models else ()
    for path in (*cached, *elsewhere):
        if path.absolute() != own and path.is_file() and path.stat().st_size == remote.size:
            yield path
