"""Checkpoints as training code, other packs and bad luck leave them: what opens, and what the user is told."""

from __future__ import annotations

import argparse
import json
import logging
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PosixPath

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from audiox_core.checkpoint import checkpoint as checkpoint_module
from audiox_core.checkpoint import open_checkpoint
from audiox_core.checkpoint.convert import convert
from audiox_core.checkpoint.inspect import inspect
from audiox_core.checkpoint.key_mapping import has_dit, map_keys
from audiox_core.checkpoint.loading import find_checkpoint
from audiox_core.checkpoint.reader import TensorFile
from audiox_core.checkpoint.released_names import released_names
from audiox_core.checkpoint.validation import SILENCE_NAMES, find_mismatch
from audiox_core.cli import main
from audiox_core.errors import AudioXError
from devtools import small_family, small_model
from devtools.small_model import RELEASED, model_shapes, save_pickle, synchformer_shapes

Tensors = dict[str, torch.Tensor]

CLIP = "conditioner.conditioners.video_prompt.visual_encoder_model."
PROMPT_VAE = "conditioner.conditioners.audio_prompt.pretransform.model."
NETWORK = "model.model."
LAYER = f"{NETWORK}transformer.layers."
MODEL, VAE = "audiox_turbo/audiox_turbo.ckpt", "pretransform/vae.ckpt"


@pytest.fixture(scope="module")
def tensors(small_model_dir) -> Tensors:
    return torch.load(small_model_dir / MODEL, weights_only=True)


@pytest.fixture(scope="module")
def clean(small_model_dir) -> dict[str, Tensors]:
    checkpoint = open_checkpoint(small_model_dir / MODEL)
    return {part: checkpoint.state_dict(part) for part in ("network", "vae", "clip_vision")}


@pytest.fixture
def known_silence(monkeypatch, clean):
    """Spares tests of other things the VAE's run over silence."""
    silence = tuple(clean["network"][name] for name in SILENCE_NAMES)
    monkeypatch.setattr(checkpoint_module, "silence_statistics", lambda vae, samples: silence)


def assert_same(one: Tensors, other: Tensors) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if one[name].dtype != other[name].dtype or not one[name].equal(other[name])]
    assert not different


# The table


@dataclass(frozen=True)
class Case:
    """make(tensors, folder) writes the checkpoint and returns its path; said: what the user is told, "" for nothing."""

    make: Callable[[Tensors, Path], Path]
    said: str
    usable: bool = True


def written(change: Callable[[Tensors], object], said: str, usable: bool = True) -> Case:
    def make(tensors: Tensors, folder: Path) -> Path:
        save_pickle(change(tensors), folder / "turbo.ckpt")
        return folder / "turbo.ckpt"

    return Case(make, said, usable)


def prefixed(prefix: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {prefix + name: tensor for name, tensor in tensors.items()}


def changed(tensors: Tensors) -> Tensors:
    return {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def averaged(tensors: Tensors) -> Tensors:
    """As the trainer's EMA keeps it: the transformer alone, without the first `model.`."""
    return {
        f"diffusion_ema.ema_model.{name.removeprefix('model.')}": tensor * 0.5
        for name, tensor in tensors.items()
        if name.startswith(NETWORK)
    }


def trainer(tensors: Tensors) -> Tensors:
    return {**prefixed("diffusion.")(tensors), **averaged(tensors), "diffusion_ema.step": torch.tensor(9)}


def compiled(tensors: Tensors) -> Tensors:
    return {name.replace("model.model.", "model._orig_mod.model."): tensor for name, tensor in tensors.items()}


def lightning(tensors: Tensors) -> dict:
    hyper = argparse.Namespace(lr=1e-4, path=PosixPath("/data"), table=defaultdict(list, a=[1]), best=np.float64(0.5))
    return {
        "state_dict": OrderedDict(prefixed("diffusion.")(tensors)),
        "hyper_parameters": hyper,
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}],
        "epoch": 3,
    }


def shards(tensors: Tensors, folder: Path, index: bool) -> Path:
    names = sorted(tensors)
    cuts = (names[::3], names[1::3], names[2::3])
    files = [f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
    where = folder / "AudioX-Turbo"
    where.mkdir()
    for file, part in zip(files, cuts, strict=True):
        save_file({name: tensors[name] for name in part}, where / file)
    if index:
        weight_map = {name: file for file, part in zip(files, cuts, strict=True) for name in part}
        (where / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return where


def lost_shard(tensors: Tensors, folder: Path) -> Path:
    where = shards(tensors, folder, index=True)
    (where / "model-00002-of-00003.safetensors").unlink()
    return where / "model-00001-of-00003.safetensors"


def component_folders(tensors: Tensors, folder: Path) -> Path:
    where = folder / "AudioX-Turbo"
    starts = {"transformer": "model.", "conditioners": ("conditioner.", "maf_block."), "vae": "pretransform."}
    for name, start in starts.items():
        (where / name).mkdir(parents=True)
        part = {key: tensor for key, tensor in tensors.items() if key.startswith(start)}
        save_file(part, where / name / "diffusion_pytorch_model.safetensors")
    return where


def without(*ends: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if not name.endswith(ends)}


CASES = {
    "CLIP's position_ids": written(
        lambda t: {**t, f"{CLIP}vision_model.embeddings.position_ids": torch.arange(50)[None]}, ""
    ),
    "counters and a discriminator": written(
        lambda t: {
            **t,
            "discriminator.0.weight": torch.zeros(9),
            "global_step": torch.tensor(3),
            "losses.x": t[min(t)],
        },
        r"3 tensors \(.*\) that AudioX does not have left out: discriminator\.0\.weight, ",
    ),
    "an unknown tensor in a block": written(
        lambda t: {**t, f"{LAYER}0.attn.lora_up": torch.zeros(2)}, r"1 tensor \(.*left out: .*attn\.lora_up"
    ),
    "a training checkpoint with EMA": written(trainer, r"tensors \(.*left out: diffusion_ema.*--weights ema"),
    "student and teacher": written(
        lambda t: {**prefixed("student.")(t), **prefixed("teacher.")(changed(t))}, r"left out: teacher\."
    ),
    "generator and fake": written(
        lambda t: {**prefixed("generator.")(t), **prefixed("fake.")(changed(t))}, r"left out: fake\."
    ),
    "prefix of DeepSpeed": written(prefixed("_forward_module."), ""),
    "prefix of torch.compile": written(compiled, ""),
    "an unheard-of prefix": written(prefixed("trainer.wrapped.net."), ""),
    "wrapper of DeepSpeed": written(lambda t: {"module": t, "ds_version": "0.9"}, ""),
    "two wrappers": written(lambda t: {"checkpoint": 1, "model": {"model_state_dict": t}}, ""),
    "a Lightning checkpoint": written(lightning, r"not tensors left out, their code was not run: argparse\.Namespace"),
    "an optimizer beside it": written(
        lambda t: {"model": t, "optimizer": {"momentum": {"x": torch.zeros(5)}}}, r"left out: optimizer\.momentum\.x"
    ),
    "shards with an index": Case(lambda t, folder: shards(t, folder, index=True), ""),
    "shards without an index": Case(lambda t, folder: shards(t, folder, index=False), ""),
    "one file for each component": Case(component_folders, ""),
    "a lost shard": Case(lost_shard, r"Get model-00002-of-00003\.safetensors too", usable=False),
    "a lost tensor": written(
        without("1.linear1.bias"),
        r"lacks model\.model\.transformer\.layers\.1\.linear1\.bias \(ours: transformer\.layers\.1\.attn_out\.bias\)",
        usable=False,
    ),
    "a lost half of a weight": written(
        without("pretransform.model.decoder.layers.0.weight_g"),
        r"lacks pretransform\.model\.decoder\.layers\.0\.weight_g \(ours: decoder\.layers\.0\.weight\)",
        usable=False,
    ),
    "a lost conditioner": written(
        lambda t: {name: tensor for name, tensor in t.items() if "Temp_pos_embedding" not in name},
        r"lacks conditioner\.\S+Temp_pos_embedding \(ours: video\.position_embedding\.weight\)",
        usable=False,
    ),
    "no tensors": written(
        lambda t: {"epoch": 1, "weights": [1]}, r"no tensors with names; it has epoch, weights", usable=False
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_disturbed_checkpoint_opens_or_says_why_not(tmp_path, tensors, clean, known_silence, caplog, name):
    case = CASES[name]
    path = case.make(dict(tensors), tmp_path)
    if not case.usable:
        with pytest.raises(AudioXError, match=case.said):
            open_checkpoint(path)
        assert not inspect(path)["usable"]
        return
    with caplog.at_level(logging.WARNING):
        checkpoint = open_checkpoint(path)
    notices = "\n".join(checkpoint.opening_notices)
    assert caplog.messages == list(checkpoint.opening_notices)
    assert bool(case.said) == bool(notices), notices
    assert re.search(case.said, notices), notices
    for part, expected in clean.items():
        assert_same(checkpoint.state_dict(part), expected)
    described = inspect(path)
    assert described["checkpoint"]["notices"] == list(checkpoint.opening_notices)


# Dead names


DEAD = [
    f"{CLIP}vision_model.embeddings.position_ids",
    f"{CLIP}embeddings.position_ids",
    f"{CLIP}vision_model.post_layernorm.weight",
    f"{CLIP}post_layernorm.bias",
    f"{CLIP}visual_projection.weight",
    f"{NETWORK}to_global_embed.0.bias",
    f"{NETWORK}transformer.latent_rot",
    f"{NETWORK}transformer.rotary_pos_emb.inv_freq",
    "vfeat_extractor.patch_embed.proj.weight",
    "afeat_extractor.blocks.0.norm1.weight",
    "vproj.weight",
    "aproj.bias",
    "transformer.blocks.0.attn.weight",
    "decoder.block.0.layer.0.SelfAttention.q.weight",
    "decoder.embed_tokens.weight",
    "decoder.final_layer_norm.weight",
    "lm_head.weight",
]


@pytest.fixture(scope="module")
def shapes_of_all() -> dict[str, small_model.Shapes]:
    sizes = dict.fromkeys(("v1", "maf"), small_family.DIT_SIZES)
    shapes = {variant: small_family.SHAPES[variant](size) for variant, size in sizes.items()}
    mmdit = model_shapes(small_model.ModelSizes())
    return shapes | dict.fromkeys(("turbo", "base", "maf-mmdit"), mmdit)


def sparse(path: Path, shapes: small_model.Shapes) -> Path:
    """A safetensors file of these shapes whose numbers take no room on the disk."""
    header, place = {}, 0
    for name, shape in shapes.items():
        size = 4 * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + place)
    return path


@pytest.mark.parametrize("variant", ["turbo", "base", "maf-mmdit", "maf", "v1"])
def test_dead_names_do_no_harm_in_any_model(tmp_path, shapes_of_all, variant):
    shapes = shapes_of_all[variant]
    plain = find_checkpoint(sparse(tmp_path / "plain.safetensors", shapes), variant=variant)
    more = find_checkpoint(
        sparse(tmp_path / "more.safetensors", shapes | {name: (1, 5) for name in DEAD if name not in shapes}),
        variant=variant,
    )
    assert more.opening_notices == ()
    assert {part: list(each) for part, each in more.sources.items()} == {
        part: list(each) for part, each in plain.sources.items()
    }


# Averaged weights


def test_averaged_weights_can_be_chosen(tmp_path, tensors, clean, known_silence):
    save_pickle(trainer(tensors), tmp_path / "turbo.ckpt")
    ema = open_checkpoint(tmp_path / "turbo.ckpt", weights="ema").state_dict("network")
    name = "transformer.project_in.weight"
    assert ema[name].equal(clean["network"][name] * 0.5)
    assert ema["maf.experts.weight"].equal(clean["network"]["maf.experts.weight"])  # there is no average of it


def test_converting_the_average_from_the_command_line(tmp_path, tensors, capsys, known_silence):
    save_pickle(trainer(tensors), tmp_path / "turbo.ckpt")
    out = tmp_path / "ema.safetensors"
    assert main(["convert", str(tmp_path / "turbo.ckpt"), str(out), "--weights", "ema"]) == 0
    assert find_checkpoint(out).variant == "turbo"
    save_pickle(tensors, tmp_path / "turbo.ckpt")
    assert main(["convert", str(tmp_path / "turbo.ckpt"), str(out), "--weights", "ema"]) == 2
    assert "Leave --weights ema out" in capsys.readouterr().err


# Two VAEs


def with_another_prompt_vae(tensors: Tensors, end: str) -> Tensors:
    name = PROMPT_VAE + end
    return tensors | {name: tensors[name] + 0.1}


@pytest.fixture
def two_vaes(tmp_path, small_model_dir, tensors) -> Path:
    """The released layout with a prompt VAE that encodes otherwise."""
    folder = tmp_path / "AudioX-Turbo"
    save_pickle(with_another_prompt_vae(tensors, "encoder.layers.0.bias"), folder / MODEL)
    (folder / VAE).parent.mkdir()
    (folder / VAE).symlink_to(small_model_dir / VAE)
    return folder


def test_two_vaes_are_used_as_the_official_code_uses_them(two_vaes, small_model_dir, clean, caplog):
    checkpoint = open_checkpoint(two_vaes)
    assert_same(checkpoint.state_dict("vae"), clean["vae"])
    prompt = checkpoint.prompt_vae_state_dict()
    assert {name for name in prompt if not prompt[name].equal(clean["vae"][name])} == {"encoder.layers.0.bias"}
    assert "first decodes and the second encodes audio prompts" in checkpoint.notices[0]
    assert [message for message in caplog.messages if "differ at" in message]
    silence = checkpoint.state_dict("network")["audio.silence_mean"]
    assert not silence.equal(clean["network"]["audio.silence_mean"])  # silence is a prompt too


def test_the_stages_encode_prompts_with_the_second_vae(two_vaes, small_model_dir):
    from audiox_core.stages import Stages

    sound = torch.rand(1, 2, 8192, generator=torch.Generator().manual_seed(0))
    one, two = Stages(open_checkpoint(small_model_dir)), Stages(open_checkpoint(two_vaes))
    assert one.encode_statistics(sound)[0].equal(two.encode_statistics(sound)[0])
    assert one.encode_statistics(sound)[0].equal(one.encode_prompt_statistics(sound)[0])
    assert not two.encode_statistics(sound)[0].equal(two.encode_prompt_statistics(sound)[0])
    latent = one.encode_statistics(sound)[0]
    assert one.decode(latent, seconds=0.1).equal(two.decode(latent, seconds=0.1))


def test_a_converted_file_keeps_both_vaes(two_vaes, tmp_path):
    source = open_checkpoint(two_vaes)
    convert(two_vaes, tmp_path / "both.safetensors")
    result = open_checkpoint(tmp_path / "both.safetensors")
    assert TensorFile(tmp_path / "both.safetensors").metadata["audiox.format_version"] == "2"
    for state_dict in ("vae", "network"):
        assert_same(result.state_dict(state_dict), source.state_dict(state_dict))
    assert_same(result.prompt_vae_state_dict(), source.prompt_vae_state_dict())
    assert not result.opening_notices and "differ at" in result.notices[0]
    convert(two_vaes, tmp_path / "none.safetensors", without=["vae"])
    assert not any(name.startswith("prompt_encoder.") for name in TensorFile(tmp_path / "none.safetensors").shapes)


def test_only_what_runs_of_the_second_vae_is_compared(tmp_path, tensors, clean, known_silence):
    save_pickle(with_another_prompt_vae(tensors, "decoder.layers.0.bias"), tmp_path / "turbo.ckpt")
    checkpoint = open_checkpoint(tmp_path / "turbo.ckpt")
    assert not checkpoint.prompt_encoder and not checkpoint.notices
    assert_same(checkpoint.state_dict("vae"), clean["vae"])


def test_a_second_vae_that_does_not_fit_is_left_out(tmp_path, tensors, clean, known_silence):
    lean = {name: tensor for name, tensor in tensors.items() if name != f"{PROMPT_VAE}encoder.layers.0.bias"}
    save_pickle(lean, tmp_path / "turbo.ckpt")
    checkpoint = open_checkpoint(tmp_path / "turbo.ckpt")
    assert "does not fit at encoder.layers.0.bias" in checkpoint.notices[0]
    assert_same(checkpoint.state_dict("vae"), clean["vae"])


# Lost blocks


@pytest.mark.parametrize("variant", ["turbo", "maf", "v1"])
@pytest.mark.parametrize(
    "lost", [f"{LAYER}23.", "maf_block.fusion_transformer.layers.7.", "video_prompt.Temp_transformer.layers.3."]
)
def test_a_released_file_without_its_last_block_is_refused(tmp_path, variant, lost):
    every = small_family.SHAPES["maf-mmdit" if variant == "turbo" else variant](RELEASED)
    shapes = {name: shape for name, shape in every.items() if lost not in name}
    if len(shapes) == len(every):
        return  # the first AudioX has no fusion block
    path = sparse(tmp_path / "x.safetensors", shapes)
    with pytest.raises(AudioXError, match=r"has (23 of the 24|7 of the 8|3 of the 4) blocks"):
        find_checkpoint(path, variant=variant)


def test_the_other_encoders_lose_no_block_either():
    planned = map_keys(
        {name: shape for name, shape in synchformer_shapes(RELEASED).items() if "blocks.11." not in name}
    )
    shapes = {each.name: synchformer_shapes(RELEASED)[each.sources[0]] for each in planned.recipes}
    assert find_mismatch("synchformer", shapes, released=True).depth == (11, 12)
    assert find_mismatch("synchformer", shapes).depth is None  # a model of one's own, in our names


# Names


@pytest.mark.parametrize("variant", ["v1", "maf", "maf-mmdit"])
def test_every_native_name_leads_back_to_its_released_one(variant):
    shapes = small_family.SHAPES[variant](RELEASED) | synchformer_shapes(RELEASED) | small_model.t5_shapes(RELEASED)
    for recipe in map_keys(shapes).recipes[::5]:
        found = released_names(recipe.part, recipe.name, dit=has_dit(shapes))
        assert found == tuple(name.split("pretransform.model.")[-1] for name in recipe.sources)


# Missing components


def test_a_missing_component_is_told_with_the_way_out_first(tmp_path, tensors):
    lean = {name: tensor for name, tensor in tensors.items() if "pretransform." not in name and CLIP not in name}
    save_pickle(lean, tmp_path / "turbo.ckpt")
    checkpoint = open_checkpoint(tmp_path / "turbo.ckpt")
    assert checkpoint.parts == ("network",)
    firsts = {
        "vae": "Put vae.ckpt beside the model",
        "clip_vision": "Use the released model file",
        "synchformer": "Put synchformer_state_dict.pth beside the model",
        "t5": "Put t5-base's model.safetensors",
        "tokenizer": "Put t5-base's tokenizer.json",
    }
    for part, first in firsts.items():
        with pytest.raises(AudioXError) as error:
            checkpoint.require(part)
        way_out = str(error.value).split(":")[0]
        assert way_out.startswith(first) and len(way_out.split()) < 15
        assert "--" not in str(error.value)
        assert part == "synchformer" or "ynchformer" not in str(error.value)


def test_text_only_works_without_synchformer_and_clip(tmp_path, small_model_dir, tensors):
    from audiox_core.pipeline import AudioX

    lean = {name: tensor for name, tensor in tensors.items() if CLIP not in name}
    save_pickle(lean, tmp_path / "turbo.ckpt")
    (tmp_path / "t5-base").symlink_to(small_model_dir / "t5-base")
    model = AudioX.open(tmp_path / "turbo.ckpt", device="cpu")
    assert set(model.checkpoint.parts) == {"network", "vae", "t5", "tokenizer"}
    assert model.generate("rain", seconds=1.0, settings=model.settings(steps=1)).shape == (1, 2, 44100)


# The layout of a pack that keeps safetensors files flat


def test_a_flat_folder_of_safetensors_opens(tmp_path, family_dirs):
    source = next(folder for folder in family_dirs if folder.name == "AudioX-MAF")
    folder = tmp_path / "models" / "audiox"
    folder.mkdir(parents=True)
    save_file(torch.load(source / "model.ckpt", weights_only=True)["state_dict"], folder / "model.safetensors")
    sync = torch.load(source / "synchformer_state_dict.pth", weights_only=True)
    save_file(sync, folder / "synchformer_state_dict.safetensors")
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    checkpoint = open_checkpoint(folder / "model.safetensors")
    assert (checkpoint.variant, checkpoint.variant_source) == ("maf", "tensors")
    assert {"network", "vae", "clip_vision", "synchformer"} <= set(checkpoint.parts)
    assert_same(checkpoint.state_dict("synchformer"), open_checkpoint(source).state_dict("synchformer"))
