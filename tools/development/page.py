"""What the browser tests need: ComfyUI's page, and a Chromium or Chrome to open it in."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .environment import ROOT, SetupError, call, pip
from .releases import FRONTEND, comfyui_tree

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def frontend_pin(version: str) -> str:
    """`comfyui-frontend-package==1.2.3`, as a ComfyUI release asks for it."""
    listed = (comfyui_tree(version) / "requirements.txt").read_text("utf-8").split()
    return next(line for line in listed if line.startswith(FRONTEND))


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


def chromium_path() -> str | None:
    """The browser that AUDIOX_CHROMIUM names, or an installed one; None when there is none."""
    return os.environ.get("AUDIOX_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


def as_root() -> list[str] | None:
    """What a command starts with to run as root without asking for a password; None when it cannot."""
    if not hasattr(os, "geteuid") or not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    return [sudo, "-n"] if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True).returncode == 0 else None


def install_chromium() -> None:
    """Install Debian's Chromium unless there is a browser already."""
    if chromium_path():
        return
    root = as_root()
    if root is None:
        raise SetupError(
            "There is no Chromium or Chrome: install one, name it in AUDIOX_CHROMIUM, or leave the browser tests out "
            "with AUDIOX_ALLOW_NO_BROWSER=1."
        )
    print("Installing Chromium", flush=True)
    failure = "Could not install Chromium: install it or Chrome, or set AUDIOX_ALLOW_NO_BROWSER=1"
    call([*root, "apt-get", "update", "-qq"], failure)
    call([*root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"], failure)
    if not chromium_path():
        raise SetupError("The package chromium brought no browser: install Chrome, or set AUDIOX_ALLOW_NO_BROWSER=1.")
