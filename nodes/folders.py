"""The folders of checkpoints: models/audiox, models/AudioX as other packs call it, and diffusion_models."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ..audiox_core.checkpoint.layout import is_companion
from ..audiox_core.demo import FOLDER as DEMO_FOLDER
from ..audiox_core.demo import NAMES as DEMO_NAMES
from ..audiox_core.errors import AudioXError
from ..audiox_core.release.files import KNOWN_CONTENT, default_folder, how_to_get
from ..audiox_core.release.local_files import files_of_size

FOLDER = "audiox"


def register_folders() -> None:
    """Register models/audiox and folders whose name differs only in case; nothing is created on disk.

    Other packs keep their models in models/AudioX, and extra_model_paths.yaml may spell the name in any case.
    """
    models = Path(folder_paths.models_dir)
    ours = models / FOLDER
    folder_paths.add_model_folder_path(FOLDER, str(ours))
    theirs = [path for path in _entries(models) if path.name.lower() == FOLDER and path.is_dir()]
    for name in [name for name in folder_paths.folder_names_and_paths if name.lower() == FOLDER and name != FOLDER]:
        theirs += map(Path, folder_paths.get_folder_paths(name))
    for path in theirs:
        if not (ours.is_dir() and path.is_dir() and ours.samefile(path)):
            folder_paths.add_model_folder_path(FOLDER, str(path))
    # A folder that a pack adds lists every file; the extensions make it list model files only.
    paths, extensions = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (paths, extensions | folder_paths.supported_pt_extensions)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def checkpoint_names() -> list[str]:
    """Files that may be AudioX checkpoints, our own folder first, the demo last; companion files are left out.

    Names have forward slashes on every system, so that a workflow saved on one opens on another.
    """
    names = [*folder_paths.get_filename_list(FOLDER), *folder_paths.get_filename_list("diffusion_models")]
    names = [name.replace(os.sep, "/") for name in names if not is_companion(name)]
    return list(dict.fromkeys([*names, *DEMO_NAMES.values()]))


def checkpoint_path(name: str) -> str:
    """Full path of a listed checkpoint; the user's own files come before the demo.

    Raises:
        AudioXError: there is none of this name; says which files to get and how.
    """
    path = folder_paths.get_full_path(FOLDER, name)
    if path is None and name in DEMO_NAMES.values():
        return str(DEMO_FOLDER / name)
    path = path or folder_paths.get_full_path("diffusion_models", name)
    if path is None:
        raise AudioXError(missing(name))
    return path


def copy_of_synchformer() -> str:
    """A sentence about Synchformer in another pack's folder, empty if none has it."""
    size, _ = KNOWN_CONTENT["synchformer_state_dict.pth"]
    path = next(files_of_size(Path(folder_paths.models_dir), size), None)
    return "" if path is None else f" {path} seems to be that file: copy it, or let the command take it by itself."


def missing(name: str) -> str:
    """Message about a missing checkpoint: what it is, where it comes from and the command that gets it."""
    pack = Path(__file__).absolute().parents[1]
    models = Path(folder_paths.models_dir, FOLDER)
    to = "" if default_folder() == models else f' --to "{models}"'
    command = f"`python -m audiox_core download {{}}{to}`, run in {pack.parent.name}/{pack.name},"
    return how_to_get(name, command, checkpoint_names())
