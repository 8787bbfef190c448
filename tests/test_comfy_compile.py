"""ComfyUI's own TorchCompileModel takes our MODEL: the same numbers, one graph for a 10 s sound, none made twice."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from dev import COMFYUI, OLDEST_COMFYUI, comfyui_tree
from graphs import ROOT
from small_family import make_family_model

COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
INDUCTOR = pytest.param(
    "turbo", COMFYUI, "inductor", marks=pytest.mark.skipif(not COMPILER, reason="inductor needs a C++ compiler")
)


@pytest.mark.parametrize(
    ("variant", "version", "backend"),
    [("turbo", COMFYUI, "eager"), ("v1", COMFYUI, "eager"), ("turbo", OLDEST_COMFYUI, "eager"), INDUCTOR],
)
def test_torch_compile_model_takes_ours(variant, version, backend, released_dir, tmp_path):
    if variant == "turbo":
        model = released_dir / "audiox_turbo" / "audiox_turbo.ckpt"
    else:
        model = make_family_model(tmp_path / variant, variant) / "model.ckpt"
    command = [sys.executable, ROOT / "tests" / "comfy_compile.py", comfyui_tree(version), ROOT, model, backend]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    for name, numbers in found.items():
        assert numbers["largest"] > 0.1, name
        assert numbers["difference"] < 1e-4, name
    assert [found[name]["graphs"] for name in ("first", "again", "batch")] == [1, 1, 2]
    assert [found[name]["breaks"] for name in ("first", "again", "batch")] == [0, 0, 0]
