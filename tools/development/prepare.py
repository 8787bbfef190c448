"""Make everything ready: the environment, ComfyUI, and for the browser tests its page and a browser."""

from __future__ import annotations

import sys
from pathlib import Path

from .environment import SetupError, install, make_venv, venv_path, venv_python
from .page import fetch_frontend, install_chromium
from .releases import COMFYUI, OLDEST_COMFYUI, fetch_comfyui, requirements

TESTED = (COMFYUI, OLDEST_COMFYUI)
"""The releases that the test suite runs on."""


def setup(versions: tuple[str, ...]) -> Path:
    """Make everything ready and return the environment's interpreter."""
    if sys.version_info < (3, 10):  # noqa: UP036 (this file runs before anything has checked the version)
        raise SetupError(f"Python {sys.version.split()[0]} is too old: use 3.10 or newer.")
    venv = venv_path()
    make_venv(venv)
    for version in versions:
        fetch_comfyui(version, venv)
    install(venv, requirements())
    return venv_python(venv)


def setup_page() -> None:
    """Fetch the pages of both tested releases, and a browser."""
    for version in TESTED:
        fetch_frontend(version, venv_path())
    install_chromium()
