"""What Load AudioX lists from folders as people have them, and what it says of a checkpoint that is not there."""

import pytest

from audiox_core.release.files import RELEASES, gigabytes
from devtools.comfy_server import ComfyServer, PromptError, link_or_copy
from devtools.graphs import BASE, TURBO, load, node
from devtools.paths import LAB_NODES, ROOT
from tools.development import COMFYUI, OLDEST_COMFYUI, comfyui_tree

LISTED = [
    "AudioX-Turbo/audiox_turbo/audiox_turbo.ckpt",  # as released
    "AudioX-Turbo/pretrained_ckpt/pretrained_ckpt.ckpt",
    "audiox-turbo-bf16.safetensors",  # made by our convert
    "model.safetensors",  # packs that put one model's files into models/audiox
    "AudioX-MAF/model.ckpt",  # packs with a folder for each model in models/AudioX
    "AudioX-MAF-MMDiT/model.safetensors",
    "on_another_disk.safetensors",  # extra_model_paths.yaml, whatever the letters of the name
    "AudioX/on_a_third_disk.ckpt",
    "AudioX.ckpt",  # packs that use models/diffusion_models
    "unet/older.safetensors",
]
FILES = {
    "models/audiox/AudioX-Turbo": [
        "audiox_turbo/audiox_turbo.ckpt",
        "pretrained_ckpt/pretrained_ckpt.ckpt",
        "pretransform/vae.ckpt",
        "synchformer/synchformer_state_dict.pth",
        "t5-base/model.safetensors",
        "t5-base/tokenizer.json",
        "audiox_turbo/audiox_turbo.ckpt.0123456789ab.part",
        "download.json",
    ],
    "models/audiox": ["audiox-turbo-bf16.safetensors", "model.safetensors", "config.json"],
    "models/AudioX/AudioX-MAF": ["model.ckpt", "config.json", "synchformer_state_dict.pth"],
    "models/AudioX/AudioX-MAF-MMDiT": ["model.safetensors", "VAE.ckpt"],
    "models/AudioX/clip-vit-base-patch32": ["pytorch_model.bin"],
    "models/diffusion_models": ["AudioX.ckpt"],
    "models/unet/unet": ["older.safetensors"],
    "disk": ["on_another_disk.safetensors", "notes.txt"],
    "third": ["AudioX/on_a_third_disk.ckpt"],
}
EXTRA = """
one:
  base_path: {base}
  audiox: disk
two:
  base_path: {base}
  AUDIOX: third
"""


@pytest.fixture(scope="module", params=[COMFYUI, OLDEST_COMFYUI])
def comfy_with_folders(request, tmp_path_factory):
    base = tmp_path_factory.mktemp("folders")
    for folder, names in FILES.items():
        for name in names:
            path = base / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    link_or_copy(LAB_NODES, base / "custom_nodes" / "lab_nodes")
    extra = base / "extra.yaml"
    extra.write_text(EXTRA.format(base=base))
    arguments = ["--extra-model-paths-config", str(extra)]
    with ComfyServer(comfyui_tree(request.param), pack=ROOT, base=base, arguments=arguments) as server:
        yield server


def refusal(server, checkpoint: str) -> str:
    prompt = {"load": load(checkpoint), "save": node("ModelSave", model=["load", 0], filename_prefix="bad/result")}
    with pytest.raises(PromptError) as caught:
        server.queue(prompt)
    assert (caught.value.kind, caught.value.node_type) == ("refused", "AudioXLoad")
    [error] = caught.value.node_errors["load"]["errors"]
    assert error["extra_info"]["input_name"] == "checkpoint"
    return error["details"]


def test_everything_on_disk_is_listed_once_and_the_demo_last(comfy_with_folders):
    offered = comfy_with_folders.options("AudioXLoad", "checkpoint")
    assert sorted(offered[:-2]) == sorted(LISTED)
    assert offered[-2:] == ["demo_turbo.safetensors", "demo_base.safetensors"]


@pytest.mark.parametrize(
    ("checkpoint", "key"),
    [
        (TURBO + "x", "turbo"),
        (BASE + "x", "base"),
        ("x.ckpt", "turbo"),
        ("AudioX/model.ckpt", "audiox"),
        ("AudioX-MAF/x.ckpt", "maf"),
    ],
)
def test_a_missing_checkpoint_is_explained(comfy_with_folders, checkpoint, key):
    said, release = refusal(comfy_with_folders, checkpoint), RELEASES[key]
    for part in (
        repr(checkpoint),
        release.model.repository.page,
        release.model.source,
        gigabytes(release.model.size),
        "google-t5/t5-base",
        release.licence,
        f"models/audiox/{release.folder}",
        f"`python -m audiox_core download {key}`",
        "custom_nodes/audiox-native",
        "AudioX-Turbo/audiox_turbo",
    ):
        assert part in said
    assert "not in list" not in said


def test_a_number_for_a_name_is_explained_too(comfy_with_folders):
    assert "'5'" in refusal(comfy_with_folders, 5)


def test_what_is_listed_is_not_refused_before_it_is_opened(comfy_with_folders):
    prompt = {"load": load(TURBO), "save": node("ModelSave", model=["load", 0], filename_prefix="bad/result")}
    with pytest.raises(PromptError) as caught:
        comfy_with_folders.run(prompt)
    assert caught.value.kind == "failed"  # an empty file
    assert "audiox_turbo.ckpt" in caught.value.message


def test_a_linked_name_is_explained_when_the_node_runs(comfy_with_folders):
    prompt = {
        "name": node("LabName", name="AudioX-Turbo/none.ckpt"),
        "load": load(["name", 0]),
        "save": node("ModelSave", model=["load", 0], filename_prefix="bad/result"),
    }
    with pytest.raises(PromptError) as caught:
        comfy_with_folders.run(prompt)
    assert caught.value.kind == "failed"
    assert "python -m audiox_core download turbo" in caught.value.message
