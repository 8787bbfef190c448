"""ComfyUI's own TorchCompileModel takes our MODEL: the same numbers, one graph for a 10 s sound, none made twice."""

import json
import subprocess
import sys

import pytest

from devtools.paths import ROOT
from devtools.small_family import make_family_model
from tools.development import COMFYUI, OLDEST_COMFYUI, comfyui_tree

GRAPHS = {"first": 1, "again": 1, "batch": 2}
"""Graphs that there are after each run of a 10 s sound; long ones have windows, between which a user may stop."""


@pytest.mark.parametrize(
    ("variant", "version", "runs"),
    [
        ("turbo", COMFYUI, [*GRAPHS, "long"]),
        ("v1", COMFYUI, [*GRAPHS]),
        ("turbo", OLDEST_COMFYUI, [*GRAPHS]),
    ],
)
def test_torch_compile_model_takes_ours(variant, version, runs, released_dir, tmp_path):
    if variant == "turbo":
        model = released_dir / "audiox_turbo" / "audiox_turbo.ckpt"
    else:
        model = make_family_model(tmp_path / variant, variant) / "model.ckpt"
    command = [sys.executable, "-m", "devtools.comfy_compile", comfyui_tree(version), ROOT, model, *runs]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    assert list(found) == runs
    for name, numbers in found.items():
        assert numbers["largest"] > 0.1, name
        assert numbers["difference"] < 1e-4, name
        if name in GRAPHS:
            assert (numbers["graphs"], numbers["breaks"]) == (GRAPHS[name], 0), name
