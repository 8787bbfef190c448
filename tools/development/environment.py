"""The virtual environment that everything runs in: `.venv`, or the folder that AUDIOX_VENV names."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class SetupError(Exception):
    """Something that the user has to repair, in one sentence."""


def venv_path() -> Path:
    """The virtual environment that everything runs in."""
    return Path(os.environ.get("AUDIOX_VENV") or ROOT / ".venv").absolute()


def venv_python(venv: Path) -> Path:
    """The interpreter inside a virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def call(command: list[str], failure: str) -> None:
    """Run a command with its output shown, and say in one sentence what its failure means."""
    code = subprocess.run(command, cwd=ROOT).returncode
    if code:
        raise SetupError(f"{failure} (exit code {code}; the words of the command are above).")


def pip(venv: Path) -> list[str]:
    """The pip of the environment, or ours pointed at it where Python came without ensurepip."""
    if importlib.util.find_spec("ensurepip"):
        return [str(venv_python(venv)), "-m", "pip"]
    return [sys.executable, "-m", "pip", "--python", str(venv_python(venv))]


def make_venv(venv: Path) -> None:
    """Create the virtual environment unless it is there."""
    if venv_python(venv).exists():
        return
    print(f"Making the virtual environment {venv}", flush=True)
    without_pip = [] if importlib.util.find_spec("ensurepip") else ["--without-pip"]
    call(
        [sys.executable, "-m", "venv", *without_pip, str(venv)],
        f"Could not make a virtual environment at {venv}: install Python's venv module or set AUDIOX_VENV",
    )


def install(venv: Path, wanted: list[str]) -> None:
    """Install requirements, unless this very list was installed before."""
    stamp = venv / "audiox-requirements.sha256"
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text("utf-8") == digest:
        return
    count = f"{wanted[0]} and {len(wanted) - 1} more packages"
    print(f"Installing {count} into {venv} (about 5 GB on Linux, some minutes)", flush=True)
    call(
        [*pip(venv), "install", "--quiet", *wanted],
        "Could not install the requirements: check the network, pip's index and the free space",
    )
    stamp.write_text(digest, "utf-8")
