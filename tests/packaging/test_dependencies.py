"""What `[headless]` lists is what the library imports, and a missing package is told in one sentence."""

import ast
import os
import re
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from devtools.paths import ROOT

DISTRIBUTIONS = {"PIL": "pillow"}
"""Packages that pip knows by another name than Python."""

GENERATE = "from audiox_core.cli import main\nsys.exit(main(['generate', '--prompt', 'rain', '--seconds', '0.2', "
GENERATE += "'--steps', '1', '--out', 'sound.wav']))"
BATCH = "from audiox_core.cli import main\nsys.exit(main(['batch', 'list.jsonl', '--out', '.']))"
DOWNLOAD = "from audiox_core.cli import main\nsys.exit(main(['download', 'turbo', '--to', '.']))"
PICTURE = "from audiox_core.cli import exit_code\n"
PICTURE += "sys.exit(exit_code('picture', lambda: __import__('audiox_core.media.sound_picture')))"
HELP = "from audiox_core.cli import main\nmain(['--help'])"

NEEDED_BY = {
    "torch": GENERATE,
    "numpy": GENERATE,
    "transformers": GENERATE,
    "tokenizers": GENERATE,
    "psutil": GENERATE,
    "av": GENERATE,
    "accelerate": BATCH,
    "huggingface_hub": DOWNLOAD,
    "PIL": PICTURE,
}
"""A use of each package."""


def headless() -> set[str]:
    """Canonical names of what `pip install ".[headless]"` installs."""
    toml = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    project = toml.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {canonicalize_name(Requirement(line).name) for line in project["optional-dependencies"]["headless"]}


def imported() -> set[str]:
    """Packages, by Python's names, that a file of audiox_core imports anywhere."""
    packages = set()
    for path in (ROOT / "audiox_core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                packages |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                packages.add(node.module.split(".")[0])
    return packages - set(sys.stdlib_module_names) - {"audiox_core"}


def test_headless_lists_what_is_imported_and_nothing_else():
    assert {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in imported()} == headless()


def test_every_package_has_a_use_that_is_tested():
    assert set(NEEDED_BY) == imported()


def run_without(package: str, code: str, folder) -> subprocess.CompletedProcess:
    """Run Python code on a machine without a package: imports of it raise ModuleNotFoundError."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.modules[{package!r}] = None\n{code}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )


@pytest.mark.live
@pytest.mark.parametrize("package", NEEDED_BY)
def test_a_missing_package_is_named_in_one_sentence(package, tmp_path):
    (tmp_path / "list.jsonl").write_text('{"id": "a", "prompt": "rain", "seconds": 0.2}\n')
    answer = run_without(package, NEEDED_BY[package], tmp_path)
    assert answer.returncode == 2, answer.stderr
    assert "Traceback" not in answer.stderr
    name = DISTRIBUTIONS.get(package, package)
    assert re.search(rf"^(audiox \w+|picture): .*\b{name}\b.*pip install .*\b{name}\b", answer.stderr.splitlines()[-1])


@pytest.mark.live
@pytest.mark.parametrize("package", NEEDED_BY)
def test_the_help_needs_no_package(package, tmp_path):
    answer = run_without(package, HELP, tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "generate" in answer.stdout


@pytest.mark.live
def test_sound_at_48_khz_is_read_without_torchaudio(tmp_path):
    code = """
import importlib, pkgutil
import torch
import audiox_core
for module in pkgutil.walk_packages(audiox_core.__path__, "audiox_core."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from audiox_core.media.audio import read_audio, whole_sound, write_audio
write_audio("sound.wav", torch.rand(2, 4800) - 0.5, 48000)
sound = whole_sound(*read_audio("sound.wav"))
assert sound.shape == (2, 4410) and sound.std() > 0.1
"""
    answer = run_without("torchaudio", code, tmp_path)
    assert answer.returncode == 0, answer.stderr
