"""mypy over the library and the nodes."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from .environment import ROOT

PACKAGE = "audiox_native"
"""What the repository is called while it is checked."""

CHECKED = ("audiox_core", "nodes")


def check_types(python: Path, arguments: list[str]) -> int:
    """Run mypy on the pack as ComfyUI imports it: one package, whose nodes import the library from beside them.

    The folder of a checkout may have any name, also one that no package can have, so mypy sees it through a link.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, PACKAGE).symlink_to(ROOT, target_is_directory=True)
        packages = [word for name in CHECKED for word in ("-p", f"{PACKAGE}.{name}")]
        command = [str(python), "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *packages, *arguments]
        cache = {"MYPY_CACHE_DIR": str(ROOT / ".cache" / "mypy")}
        return subprocess.run(command, cwd=folder, env={**os.environ, **cache}).returncode
