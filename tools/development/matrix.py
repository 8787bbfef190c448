"""The pack with other ComfyUI releases and other packages, a server for each."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .environment import ROOT, call, pip, venv_path
from .prepare import setup
from .releases import COMFYUI, OLDEST_COMFYUI, SUPPORTED_COMFYUI

# What is put in the place of the installed versions, one entry at a time.
OTHER_PACKAGES = (
    "torch==2.6.0,torchaudio==2.6.0,torchvision==0.21.0",
    "transformers==4.50.0",
    "av==16.0.0",
    "numpy==1.26.4",
)
PINS = re.compile(r"[\w.-]+==[\w.]+(,[\w.-]+==[\w.]+)*")


def packages_folder(packages: str) -> Path:
    """Where packages like `av==16.0.0` (several: joined by commas) are installed; first on PYTHONPATH they count."""
    return ROOT / ".cache" / f"packages-{packages.replace('==', '-').replace(',', '-')}"


def fetch_packages(packages: str, venv: Path) -> None:
    """Install packages and what they need into a folder of their own, unless they are there."""
    target = packages_folder(packages)
    if target.is_dir():
        return
    print(f"Fetching {packages}", flush=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="download-") as folder:
        call(
            [*pip(venv), "install", "--quiet", "--target", f"{folder}/packages", *packages.split(",")],
            f"Could not install {packages}: check the name, the network and pip's index",
        )
        # torch brings a Triton that, when it is old, fails on a machine without a GPU as soon as ComfyUI imports it.
        for triton in Path(folder, "packages").glob("triton*"):
            shutil.rmtree(triton)
        os.replace(f"{folder}/packages", target)


def matrix_cells(arguments: list[str]) -> list[tuple[str, str]]:
    """(ComfyUI release, packages in the place of the installed ones or "") of every run that `matrix` asks for.

    By default every release with what is installed, and the oldest and the newest one with each other package.
    """
    parser = argparse.ArgumentParser(prog="dev.py matrix", description="The pack with other releases and packages.")
    parser.add_argument(
        "--comfyui",
        nargs="+",
        choices=SUPPORTED_COMFYUI,
        metavar="VERSION",
        help=f"releases to run, of {', '.join(SUPPORTED_COMFYUI)}",
    )
    parser.add_argument(
        "--package",
        nargs="+",
        metavar="NAME==VERSION",
        help="packages in the place of the installed ones, each on its own; a comma joins several",
    )
    given = parser.parse_args(arguments)
    for packages in given.package or ():
        if not PINS.fullmatch(packages):
            parser.error(f"--package is {packages!r}: write NAME==VERSION, several joined by commas")
    corners = given.comfyui or (OLDEST_COMFYUI, COMFYUI)
    if given.package:
        return [(version, packages) for packages in given.package for version in corners]
    cells = [(version, "") for version in given.comfyui or SUPPORTED_COMFYUI]
    if not given.comfyui:
        cells += [(version, packages) for packages in OTHER_PACKAGES for version in corners]
    return cells


def run_matrix(cells: list[tuple[str, str]]) -> int:
    """Fetch what the cells need, test the pack in each, print the table."""
    python = setup((COMFYUI, *(version for version, _ in cells)))
    for packages in dict.fromkeys(packages for _, packages in cells if packages):
        fetch_packages(packages, venv_path())
    environment = {**os.environ, "AUDIOX_MATRIX": json.dumps(cells)}
    return subprocess.run(
        [str(python), "-m", "pytest", "-ra", "tests/live/test_matrix.py"], cwd=ROOT, env=environment
    ).returncode
