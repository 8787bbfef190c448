"""The commands of `tools/dev.py`."""

from __future__ import annotations

import argparse
import subprocess
import sys

from .dry_run import dry_versions, run_dry
from .environment import ROOT, SetupError
from .matrix import matrix_cells, run_matrix
from .prepare import TESTED, setup, setup_page
from .releases import COMFYUI
from .type_check import check_types

USAGE = """
  python3 tools/dev.py demo                sound for a generated video, through a real ComfyUI
  python3 tools/dev.py test [pytest args]  the test suite
  python3 tools/dev.py browser [the same]  the tests that need ComfyUI's page and a Chromium, in every look of the page
  python3 tools/dev.py types [mypy args]   check the types of the library and the nodes
  python3 tools/dev.py matrix [--comfyui VERSION ...] [--package NAME==VERSION ...]
                                           the pack with other ComfyUI releases and other packages
  python3 tools/dev.py dry-run [--comfyui VERSION ...]
                                           what installing the pack would change in a ComfyUI's environment
  python3 tools/dev.py setup [--page]      only install; --page: also ComfyUI's page and a Chromium"""

MODULES = {
    "demo": ["tools.demo"],
    "test": ["pytest"],
    "browser": ["pytest", "-ra", "--all-looks", "tests/browser"],
}
"""What each command runs, with the user's arguments after it."""


def run(command: str, rest: list[str]) -> int:
    """Prepare, and run a command other than `matrix` and `dry-run`."""
    python = setup((COMFYUI,) if command == "demo" else TESTED)
    if command == "browser" or (command == "setup" and rest):
        setup_page()
    if command == "setup":
        print(f"Ready: {python}")
        return 0
    if command == "types":
        return check_types(python, rest)
    return subprocess.run([str(python), "-m", *MODULES[command], *rest], cwd=ROOT).returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py", usage=USAGE)
    parser.add_argument("command", choices=("demo", "test", "browser", "types", "matrix", "dry-run", "setup"))
    command, rest = parser.parse_args(sys.argv[1:2]).command, sys.argv[2:]
    if command == "setup" and rest not in ([], ["--page"]):
        parser.error(f"setup takes no arguments but --page, got {' '.join(rest)}")
    try:
        if command == "dry-run":
            return run_dry(dry_versions(rest))
        return run_matrix(matrix_cells(rest)) if command == "matrix" else run(command, rest)
    except SetupError as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return 1
