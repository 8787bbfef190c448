"""ComfyUI's manager may load our models whole, in part or not at all: the numbers stay the same, bit for bit."""

import json
import subprocess
import sys

import pytest

from devtools.paths import ROOT
from devtools.small_family import make_family_model
from tools.development import COMFYUI, OLDEST_COMFYUI, comfyui_tree

CASES = [("turbo", COMFYUI), ("turbo", OLDEST_COMFYUI), ("maf", COMFYUI), ("v1", COMFYUI)]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def found(request, released_dir, tmp_path_factory) -> dict:
    """What devtools.comfy_partial finds for a model in a version of ComfyUI."""
    variant, version = request.param
    if variant == "turbo":
        model = released_dir / "audiox_turbo" / "audiox_turbo.ckpt"
    else:
        model = make_family_model(tmp_path_factory.mktemp("model") / variant, variant) / "model.ckpt"
    command = [sys.executable, "-m", "devtools.comfy_partial", comfyui_tree(version), ROOT, model]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr[-3000:]
    parts = {"network", "network in fp8", "decode", "encode", "CLIP", "Synchformer", "T5"}
    results = json.loads(run.stdout.splitlines()[-1])
    assert set(results) == parts - ({"Synchformer"} if variant == "v1" else set())
    return results


def test_partly_loaded_models_give_the_same_bits(found):
    for name, numbers in found.items():
        assert numbers["largest"] > 0.1, name
        assert numbers["difference"] == 0.0, name


def test_every_model_can_be_kept_off_the_device(found):
    """With no memory to spare nothing is loaded: all trained layers can stream, the rest finds its device itself."""
    for name, numbers in found.items():
        whole, half, least = numbers["loaded"]
        assert whole == numbers["bytes"], name
        assert half <= whole / 2 and least == 0, name


def test_estimates_are_honest(found):
    """Never below the peak that was seen, and not far above it; ComfyUI on a CPU has no fused attention."""
    for name in ("network", "decode", "encode"):
        estimate, seen = found[name]["estimate"], found[name]["seen"]
        assert seen <= estimate < 1.3 * seen + 4e6, name
