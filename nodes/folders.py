"""Where checkpoints lie: models/audiox, models/AudioX as other packs call it, and diffusion_models."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ..audiox_core.checkpoint.layout import is_companion
from ..audiox_core.demo import FOLDER as DEMO_FOLDER
from ..audiox_core.demo import NAMES as DEMO_NAMES

FOLDER = "audiox"
OTHER_PACKS_FOLDER = "AudioX"


def register_folders() -> None:
    """Make models/audiox (and models/AudioX where it exists) known; nothing is created on disk."""
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))
    theirs = Path(folder_paths.models_dir, OTHER_PACKS_FOLDER)
    ours = Path(folder_paths.models_dir, FOLDER)
    if theirs.is_dir() and not (ours.is_dir() and ours.samefile(theirs)):
        folder_paths.add_model_folder_path(FOLDER, str(theirs))
    # A folder that a pack adds lists every file; the extensions make it list model files only.
    paths, extensions = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (paths, extensions | folder_paths.supported_pt_extensions)


def checkpoint_names() -> list[str]:
    """Files that may be AudioX checkpoints, our own folder first, then the demo; companions are left out.

    Names have forward slashes on every system, so that a workflow made on one opens on another.
    """
    names = [*folder_paths.get_filename_list(FOLDER), *folder_paths.get_filename_list("diffusion_models")]
    names = [name.replace(os.sep, "/") for name in names if not is_companion(name)]
    return list(dict.fromkeys([*names, *DEMO_NAMES.values()]))


def checkpoint_path(name: str) -> str:
    """Full path of a listed checkpoint, the user's own before the demo; core's own sentence when it is gone."""
    found = folder_paths.get_full_path(FOLDER, name)
    if found is None and name in DEMO_NAMES.values():
        return str(DEMO_FOLDER / name)
    return found or folder_paths.get_full_path_or_raise("diffusion_models", name)
