"""Finds released files that are on this machine already: in the folders of other packs, or in the hub's cache."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from huggingface_hub import constants

from .download import Progress, Remote, checksum

DEPTH = 4
"""Folders below models/ in which a file is looked for."""

MOST_FOLDERS = 5000
"""Folders that are looked through at most, on disks with very many."""

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
    """Files of the right size."""
    own = (folder / remote.file.path).absolute()
    for path in (*_cached(remote.digest), *_below_models(folder)):
        if path.absolute() != own and path.is_file() and path.stat().st_size == remote.size:
            yield path


def _cached(digest: str) -> list[Path]:
    """The hub's cache names large files by their SHA-256."""
    cache = Path(constants.HF_HUB_CACHE)
    return sorted(cache.glob(f"models--*/blobs/{digest}")) if cache.is_dir() else []


def _below_models(folder: Path) -> Iterator[Path]:
    """Files in ComfyUI's folder of models, if that is where the download goes."""
    models = next((parent for parent in folder.absolute().parents if parent.name == "models"), None)
    if models is None:
        return
    for root, folders, names in islice(os.walk(models), MOST_FOLDERS):
        if len(Path(root).relative_to(models).parts) >= DEPTH:
            folders.clear()
        folders.sort()
        yield from (Path(root, name) for name in sorted(names))
