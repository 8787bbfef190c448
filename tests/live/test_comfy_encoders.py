"""ComfyUI's T5 and CLIP vision classes give what the core's, from transformers, give; video encoders are lazy."""

import json
import subprocess
import sys

import pytest

from devtools.paths import ROOT
from tools.development import COMFYUI, OLDEST_COMFYUI, comfyui_tree


@pytest.mark.parametrize("version", [COMFYUI, OLDEST_COMFYUI])
def test_comfyui_and_transformers_agree(version, released_dir):
    model = released_dir / "audiox_turbo" / "audiox_turbo.ckpt"
    command = [sys.executable, "-m", "devtools.comfy_checks", comfyui_tree(version), ROOT, model]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    assert found.pop("types on a CPU") == {
        "wide": ["torch.float32", "None"],
        "narrow": ["torch.bfloat16", "torch.float32"],
        "weights": ["the same"],
    }
    encoders = ["clip_vision", "synchformer"]
    assert found.pop("video encoders") == [[], [], encoders, encoders], "read for the first video, once"
    assert set(found) == {
        "T5, text",
        "T5, empty",
        "T5, brackets",
        "T5, long",
        "CLIP",
        "prompt VAE",
        "MODEL anew",
        "T5 anew",
    }
    for name, numbers in found.items():
        assert numbers["largest"] > 0.1, name
        assert numbers["difference"] < 1e-4 * max(1.0, numbers["largest"]), name
