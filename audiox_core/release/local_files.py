"""Files that other programs have brought to this machine, found by their size. Nothing here needs torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

DEPTH = 4
"""Folders below models/ in which a file is looked for."""

MOST_FOLDERS = 5000
"""Folders that are looked through at most, on disks with very many."""


def models_folder(path: Path) -> Path | None:
    """The folder of all models that a path is in: the nearest one called `models`."""
    return next((parent for parent in path.absolute().parents if parent.name == "models"), None)


def files_of_size(folder: Path, size: int) -> Iterator[Path]:
    """Files of exactly this many bytes below a folder, in the order of their names."""
    for root, folders, names in islice(os.walk(folder), MOST_FOLDERS):
        if len(Path(root).relative_to(folder).parts) >= DEPTH:
            folders.clear()
        folders.sort()
        for path in (Path(root, name) for name in sorted(names)):
            if path.is_file() and path.stat().st_size == size:
                yield path
