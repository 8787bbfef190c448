"""The ComfyUI around the pack, and the pack itself. Nothing here needs torch."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from .facts import numbers_of
from .result import Result, ok, stop, warning

OLDEST_COMFYUI = "0.16.3"
NEWEST_COMFYUI = "0.30.0"
"""The newest ComfyUI that the tests run in."""

_VERSION = re.compile(r"""^(?:__version__|version)\s*=\s*["']([^"']+)["']""", re.MULTILINE)


@dataclass(frozen=True)
class Surroundings:
    """pack: the folder of the pack. comfyui: ComfyUI's folder, None if the pack is in none."""

    pack: Path
    comfyui: Path | None

    @classmethod
    def find(cls, comfyui: Path | None = None) -> Surroundings:
        """From where this file is; comfyui: where the caller says it is."""
        pack = Path(__file__).absolute().parents[2]
        if comfyui is None and pack.parent.name == "custom_nodes":
            comfyui = pack.parents[1]
        return cls(pack, comfyui)


def check_surroundings(around: Surroundings) -> Iterator[Result]:
    """The pack's version and ComfyUI's."""
    version, commit = pack_version(around.pack), git_commit(around.pack)
    text = f"{version}, git commit {commit}" if commit else version
    yield ok("AudioX Native", text, version=version, commit=commit)
    yield _comfyui(around.comfyui)


def _comfyui(folder: Path | None) -> Result:
    if folder is None:
        return ok("ComfyUI", "none around this folder; the command line needs none")
    version = stated_version(folder / "comfyui_version.py")
    if version is None:
        text = "found, but it does not state its version (no comfyui_version.py)"
        return warning("ComfyUI", text, f"AudioX Native needs ComfyUI {OLDEST_COMFYUI} or newer: update it.")
    numbers = numbers_of(version)
    if numbers < numbers_of(OLDEST_COMFYUI):
        return stop(
            "ComfyUI", f"{version} is too old", f"Update ComfyUI to {OLDEST_COMFYUI} or newer.", version=version
        )
    if numbers > numbers_of(NEWEST_COMFYUI):
        text = f"{version} is newer than what this version was tested with ({OLDEST_COMFYUI} to {NEWEST_COMFYUI})"
        advice = "It should work. If a node fails, update AudioX Native, and report what you see."
        return warning("ComfyUI", text, advice, version=version)
    return ok("ComfyUI", f"{version} (tested: {OLDEST_COMFYUI} to {NEWEST_COMFYUI})", version=version)


def pack_version(pack: Path) -> str:
    """The version in the pack's folder, or that of the installed package."""
    if version := stated_version(pack / "pyproject.toml"):
        return version
    try:
        return metadata.version("audiox-native")
    except metadata.PackageNotFoundError:
        return "of unknown version"


def stated_version(file: Path) -> str | None:
    """The version that a line of a file states."""
    if not file.is_file():
        return None
    found = _VERSION.search(file.read_text("utf-8", errors="replace"))
    return found[1] if found else None


def git_commit(pack: Path) -> str | None:
    """The commit that is checked out, short, with "changed" where files differ; None if it is not a checkout."""
    if not (pack / ".git").exists():
        return None
    commit = _git(pack, "rev-parse", "--short", "HEAD")
    changed = _git(pack, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}, changed" if commit and changed else commit


def _git(pack: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(pack), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):  # git is not installed, or too slow to wait for
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
