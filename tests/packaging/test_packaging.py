"""What the Registry, the Manager and pip make of the repository."""

import ast
import os
import re
import struct
import subprocess
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from audiox_core.media.frames import read_image
from devtools.paths import ROOT
from tools import make_pictures
from tools.development import COMFYUI, OLDEST_COMFYUI, comfyui_tree
from tools.development.dry_run import MAY_ADD, dry_versions, outcome
from tools.development.releases import TOOLS

REPOSITORY = "https://github.com/audiox-native/audiox-native"

BROUGHT_ALONG = {"huggingface-hub"}
"""What ComfyUI's requirements bring with them, whatever their version (transformers)."""

IMPORTED_AS = {"pillow": "PIL"}
"""Distribution -> module, where the names differ."""

COMFYUI_MODULES = {
    "comfy",
    "comfy_api",
    "comfy_execution",
    "comfy_extras",
    "folder_paths",
    "latent_preview",
    "node_helpers",
    "nodes",
    "server",
}
"""ComfyUI's own, which only our nodes import."""


@pytest.fixture(scope="module")
def metadata() -> dict:
    toml = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return toml.loads((ROOT / "pyproject.toml").read_text("utf-8"))


# The Registry


def test_the_name_is_one_that_the_registry_takes(metadata):
    name = metadata["project"]["name"]
    assert re.fullmatch(r"[a-z](?:[-_.]?[a-z0-9])*", name)
    assert len(name) < 100
    assert "comfyui" not in name


def test_classifiers_are_those_that_the_registry_reads(metadata):
    systems = {"OS Independent", "Microsoft :: Windows", "POSIX :: Linux", "MacOS"}
    brands = ("NVIDIA CUDA", "AMD ROCm", "Intel Arc", "Apple Metal")
    devices = {"NPU :: Huawei Ascend", *(f"GPU :: {brand}" for brand in brands)}
    for prefix, known in (("Operating System :: ", systems), ("Environment :: ", devices)):
        found = {text[len(prefix) :] for text in metadata["project"]["classifiers"] if text.startswith(prefix)}
        assert found
        assert found <= known


def test_links_lead_into_this_repository(metadata):
    comfy, urls = metadata["tool"]["comfy"], metadata["project"]["urls"]
    assert urls["Repository"] == REPOSITORY
    raw = REPOSITORY.replace("https://github.com", "https://raw.githubusercontent.com") + "/main/"
    for key in ("Icon", "Banner"):
        assert comfy[key].startswith(raw)
        assert (ROOT / comfy[key][len(raw) :]).is_file()
    assert re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])
    assert comfy["requires-comfyui"] == f">={OLDEST_COMFYUI}"
    assert "web" not in comfy, "with WEB_DIRECTORY every script would load twice"


def test_icon_and_banner_have_the_shapes_that_the_registry_asks_for():
    for name, ratio, widest in (("icon.png", 1, 400), ("banner.png", 21 / 9, 1680)):
        content = (ROOT / "docs" / name).read_bytes()
        width, height = struct.unpack(">II", content[16:24])
        assert width / height == ratio
        assert width <= widest
        assert len(content) < 100_000


def test_icon_and_banner_are_what_the_tool_draws():
    for name, drawn in (("icon.png", make_pictures.icon()), ("banner.png", make_pictures.banner())):
        stored = read_image(ROOT / "docs" / name)
        assert stored.shape == (1, drawn.height, drawn.width, 3)
        # other versions of NumPy and FreeType round otherwise
        difference = np.abs(stored[0].numpy().astype(int) - np.asarray(drawn))
        assert difference.max() <= 8, "run python -m tools.make_pictures"


def shipped_files() -> list[str]:
    """What comfy-cli packs: the files in git less those that .comfyignore names."""

    def git(*arguments: str, text: str = "") -> list[str]:
        command = ["git", "-C", str(ROOT), *arguments]
        answer = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
        if answer.returncode > 1 or (answer.returncode == 1 and answer.stderr):
            pytest.skip(f"not a git checkout: {answer.stderr.strip()}")
        return answer.stdout.splitlines()

    tracked = git("ls-files")
    excludes = ("-c", f"core.excludesFile={ROOT / '.comfyignore'}", "check-ignore", "--no-index", "--stdin")
    left_out = set(git(*excludes, text="\n".join(tracked)))
    return [name for name in tracked if name not in left_out]


def test_the_archive_holds_what_users_need_and_nothing_else():
    shipped = shipped_files()
    tops = {name.split("/")[0] for name in shipped}
    assert tops >= {"LICENSE", "README.md", "__init__.py", "nodes", "pyproject.toml", "requirements.txt"}
    assert not [name for name in tops if name.startswith(".")]
    assert tops.isdisjoint({"CONTRIBUTING.md", "benchmarks", "comfy-test.toml", "devtools", "tests", "training"})
    assert [name for name in shipped if name.startswith("tools/")] == ["tools/client_example.py"]
    assert any(name.startswith("audiox_core/demo/") and name.endswith(".safetensors") for name in shipped)
    assert {"locales/zh/nodeDefs.json", "workflows/api/v2a_turbo.json", "web/docs/AudioXLoad.md"} <= set(shipped)
    assert {"web/docs/AudioXLoad/zh.md", "web/docs/pictures/AudioXLoad.jpg"} <= set(shipped)
    assert not [name for name in shipped if name.startswith("docs/") and name.endswith(".png")]
    assert sum((ROOT / name).stat().st_size for name in shipped) < 15e6


# What pip and developers get


def test_the_installed_command_is_the_command_line(metadata, capsys, monkeypatch):
    [(name, target)] = metadata["project"]["scripts"].items()
    main = EntryPoint(name, target, "console_scripts").load()
    monkeypatch.setattr("sys.argv", [name, "inspect", "missing.safetensors"])
    assert main() == 2
    assert "missing.safetensors does not exist" in capsys.readouterr().err


def test_everyone_runs_the_same_ruff_and_mypy(metadata):
    """In the environment of tools/dev.py, in .[dev] and before a commit."""
    pins = [pin for pin in TOOLS if pin.startswith(("ruff", "mypy"))]
    assert sorted(metadata["project"]["optional-dependencies"]["dev"]) == sorted(pins)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    assert {pin for hook in hooks for pin in hook["additional_dependencies"]} <= set(pins)


# Requirements


def requirements(text: str) -> dict[str, Requirement]:
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    parsed = [Requirement(line) for line in lines if line]
    return {canonicalize_name(requirement.name): requirement for requirement in parsed}


def changes(ours: dict[str, Requirement], comfyui: dict[str, Requirement]) -> list[str]:
    """What installing our requirements into a ComfyUI would add or could replace."""
    found = []
    for name, requirement in ours.items():
        if name in MAY_ADD or name in BROUGHT_ALONG:
            continue
        if name not in comfyui:
            found.append(f"{name} is not there")
            continue
        lowest = [part.version for part in comfyui[name].specifier if part.operator in (">=", "==", "~=")]
        beyond = [part for part in requirement.specifier if part.operator not in (">=", "!=")]
        if beyond or not all(requirement.specifier.contains(version) for version in lowest):
            found.append(f"{requirement} may change {comfyui[name]}")
    return found


@pytest.mark.parametrize("version", [COMFYUI, OLDEST_COMFYUI])
def test_requirements_change_nothing_in_a_comfyui(version, metadata):
    comfyui = requirements((comfyui_tree(version) / "requirements.txt").read_text("utf-8"))
    assert "torch" in comfyui
    assert not changes(requirements((ROOT / "requirements.txt").read_text("utf-8")), comfyui)
    assert not changes(requirements("\n".join(metadata["project"]["dependencies"])), comfyui)
    # Not installed into a ComfyUI, but what the library is tested with must be what ComfyUI has.
    assert not changes(requirements("\n".join(metadata["project"]["optional-dependencies"]["headless"])), comfyui)


def test_changes_are_noticed():
    comfyui = requirements("numpy>=1.25\nav>=14.2.0\ntorch  # any")
    ours = requirements("numpy>=1.25\naccelerate\ntorch<2.9\nav>=16\ndecord")
    replaced = ["torch<2.9 may change torch", "av>=16 may change av>=14.2.0"]
    assert changes(ours, comfyui) == [*replaced, "decord is not there"]


def test_what_pip_would_add_and_replace_is_told_apart():
    def item(name, version, is_direct=False):
        return {"metadata": {"name": name, "version": version}, "is_direct": is_direct}

    report = {
        "install": [
            item("accelerate", "1.15.0"),
            item("NumPy", "1.26.4"),
            item("Typing_Extensions", "4.1"),
            item("audiox-native", "0.1.0", is_direct=True),
        ]
    }
    installed = {"numpy": "2.4.6", "typing-extensions": "4.16", "torch": "2.11.0"}
    replaced = ["numpy 2.4.6 by 1.26.4", "typing-extensions 4.16 by 4.1"]
    assert outcome(report, installed) == (["accelerate 1.15.0"], replaced)
    assert outcome({"install": []}, installed) == ([], [])


def test_a_dry_run_asks_the_ends_of_the_supported_range():
    assert dry_versions([]) == [OLDEST_COMFYUI, COMFYUI]
    assert dry_versions(["--comfyui", "0.18.2"]) == ["0.18.2"]
    with pytest.raises(SystemExit):
        dry_versions(["--comfyui", "9.9"])


def imported(folder: str) -> dict[str, str]:
    """Module at the top of an absolute import -> a file with it, anywhere in the files of a folder."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            found.update({name.split(".")[0]: str(path.relative_to(ROOT)) for name in names})
    return found


@pytest.mark.parametrize(("folder", "own"), [("audiox_core", MAY_ADD), ("nodes", COMFYUI_MODULES)])
def test_only_what_comfyui_brings_is_imported(folder, own):
    comfyui = requirements((comfyui_tree(OLDEST_COMFYUI) / "requirements.txt").read_text("utf-8"))
    modules = {IMPORTED_AS.get(name, name).replace("-", "_") for name in (*comfyui, *BROUGHT_ALONG)}
    known = modules | set(sys.stdlib_module_names) | own
    foreign = {name: path for name, path in imported(folder).items() if name not in known}
    assert not foreign


# Imports where something is broken

HOSTILE = """
import importlib, pkgutil, socket, sys

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torchaudio":
            raise OSError("undefined symbol: a torchaudio of another torch")

def refuse(*arguments):
    raise AssertionError(f"a connection was asked for: {arguments}")

sys.meta_path.insert(0, Broken())
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
import audiox_core
for module in pkgutil.walk_packages(audiox_core.__path__, "audiox_core."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        print(module.name)
"""


def test_every_module_imports_with_torchaudio_broken_and_without_gpu_and_network():
    answer = subprocess.run(
        [sys.executable, "-c", HOSTILE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": ""},
    )
    assert answer.returncode == 0, answer.stderr
    assert {"audiox_core.pipeline", "audiox_core.media.audio", "audiox_core.cli.generate"} <= set(answer.stdout.split())


ALONE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("pack", "__init__.py", submodule_search_locations=["."])
module = sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
assert callable(module.comfy_entrypoint)
print([name for name in sys.modules if name.split(".")[0] in ("comfy", "comfy_api", "torch", "nodes")])
"""


def test_the_pack_alone_imports_without_comfyui():
    """Tools that scan packs import them so, on machines where comfy.model_management finds no device and raises."""
    answer = subprocess.run([sys.executable, "-c", ALONE], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert answer.stdout.strip() == "[]", answer.stderr


def test_a_comfyui_that_is_too_old_is_told_so_with_a_traceback():
    code = ALONE + "import asyncio; asyncio.run(module.comfy_entrypoint())"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 1
    assert "It needs ComfyUI 0.16.3 or newer.\nTraceback" in answer.stderr


@pytest.mark.live
def test_the_oldest_comfyui_samples_with_torchaudio_broken(small_model_dir, tmp_path):
    """Newer ones do not start themselves then; what is left out here are ComfyUI's own audio nodes."""
    from devtools.comfy_server import ComfyServer
    from devtools.graphs import run_latent, text_to_latent

    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text("raise OSError('undefined symbol: of another torch')\n")
    paths = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    with ComfyServer(comfyui_tree(OLDEST_COMFYUI), pack=ROOT, environment={"PYTHONPATH": paths}) as comfy:
        assert "undefined symbol" in comfy.log()
        assert "SaveAudio" not in comfy.object_info()
        comfy.place_model(small_model_dir)
        assert run_latent(comfy, text_to_latent()).shape == (1, 64, 236)
