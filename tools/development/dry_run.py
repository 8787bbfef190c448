"""What installing the pack would change in a ComfyUI's environment, as pip says it."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

from .environment import ROOT, SetupError, install, make_venv, pip
from .releases import COMFYUI, OLDEST_COMFYUI, SUPPORTED_COMFYUI, comfyui_requirements, fetch_comfyui

# All that installing the pack or the library may add to a ComfyUI's environment.
MAY_ADD = {"accelerate"}


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
