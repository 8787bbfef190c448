"""Opening checkpoints: names, layouts, variants, and one sentence for each file that cannot work."""

import json
import os
import pickle
import shutil
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import Conv1d, ConvTranspose1d

from audiox_core.checkpoint import checkpoint as opened_module
from audiox_core.checkpoint import open_checkpoint
from audiox_core.checkpoint.file_contents import read_contents
from audiox_core.checkpoint.key_mapping import map_keys, native_name
from audiox_core.checkpoint.reader import TensorFile
from audiox_core.checkpoint.validation import SILENCE_NAMES
from audiox_core.errors import AudioXError
from audiox_core.lengths import PROMPT_SAMPLES
from audiox_core.models.network import AudioXNetwork, NetworkSizes
from audiox_core.models.synchformer import Synchformer, SynchformerSizes
from audiox_core.models.vae import OobleckVAE, VAESizes
from devtools.remap import remap
from devtools.small_model import RELEASED, count, model_shapes, save_pickle, synchformer_shapes, vae_shapes, weights

QKV = "model.model.transformer.layers.0.attn.qkv.weight"
VAE_COPY = "conditioner.conditioners.audio_prompt.pretransform.model."


@pytest.fixture(scope="module")
def model_tensors(small_model_dir) -> dict[str, torch.Tensor]:
    return torch.load(turbo_file(small_model_dir), weights_only=True)


@pytest.fixture(scope="module")
def native(small_model_dir) -> dict[str, torch.Tensor]:
    return open_checkpoint(small_model_dir).state_dict("network")


@pytest.fixture(scope="module")
def silence(native) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(native[name] for name in SILENCE_NAMES)


@pytest.fixture
def known_silence(monkeypatch, silence):
    """Spares tests of other things the VAE's run over silence."""
    monkeypatch.setattr(opened_module, "silence_statistics", lambda vae, samples: silence)


def turbo_file(folder: Path) -> Path:
    return folder / "audiox_turbo" / "audiox_turbo.ckpt"


def sentence(error: pytest.ExceptionInfo) -> str:
    """The message, which has to be one sentence."""
    text = str(error.value)
    assert "\n" not in text and text.endswith("."), text
    return text


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if one[name].dtype != other[name].dtype or not one[name].equal(other[name])]
    assert not different


# names


def test_small_model_has_the_released_names_and_counts():
    assert (len(model_shapes(RELEASED)), count(model_shapes(RELEASED))) == (1384, 2_710_741_752)
    assert (len(vae_shapes(RELEASED)), count(vae_shapes(RELEASED))) == (365, 156_112_514)
    assert (len(synchformer_shapes(RELEASED)), count(synchformer_shapes(RELEASED))) == (238, 122_440_704)


@pytest.mark.parametrize(
    ("shapes", "part", "model"),
    [
        (model_shapes(RELEASED), "network", lambda: AudioXNetwork(NetworkSizes(), device="meta")),
        (vae_shapes(RELEASED), "vae", lambda: OobleckVAE(VAESizes(), device="meta")),
        (synchformer_shapes(RELEASED), "synchformer", lambda: Synchformer(SynchformerSizes(), device="meta")),
    ],
    ids=["network", "vae", "synchformer"],
)
def test_every_released_name_becomes_a_weight_of_the_model_or_is_dead(shapes, part, model):
    planned = map_keys(shapes)
    assert not planned.unknown
    made = {
        recipe.name: recipe.transform.shape(*(shapes[source] for source in recipe.sources))
        for recipe in planned.recipes
        if recipe.part == part
    }
    wanted = {name: tuple(tensor.shape) for name, tensor in model().state_dict().items()}
    computed = {"audio.silence_mean", "audio.silence_std"} if part == "network" else set()
    assert made == {name: shape for name, shape in wanted.items() if name not in computed}


def test_names_outside_the_release_are_refused():
    with pytest.raises(KeyError):
        native_name("model.model.transformer.layers.0.attn.qkv.lora_up")
    assert native_name("model.model.to_cond_embed.0.weight") is None


def test_qkv_rows_and_key_rows_come_in_plain_order():
    width, head_width = 48, 24
    rows = torch.arange(3 * width, dtype=torch.float32)[:, None].expand(-1, width).contiguous()
    made = remap({QKV: rows, "model.model.transformer.layers.0.cross_attn.to_kv.weight": rows[: 2 * width]})["network"]
    qkv, key = made["transformer.layers.0.qkv.weight"], made["transformer.layers.0.time_key.weight"]
    for head in range(2):
        for component in range(head_width):
            row = head_width * head + component
            assert [int(qkv[j * width + row, 0]) for j in range(3)] == [3 * row + j for j in range(3)]
            assert int(key[row, 0]) == 2 * row


@pytest.mark.parametrize("layer", [Conv1d(3, 5, 7), ConvTranspose1d(6, 4, 8)], ids=["conv", "transposed"])
def test_weight_norm_folds_to_what_torch_computes(layer):
    torch.manual_seed(0)
    torch.nn.utils.parametrizations.weight_norm(layer)
    stored = layer.parametrizations.weight
    gain, direction = torch.rand_like(stored.original0) + 0.5, torch.randn_like(stored.original1)
    stored.original0.data, stored.original1.data = gain, direction
    spellings = [("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1")]
    for g, v in spellings:
        stem = "decoder.layers.1.layers.1."
        folded = remap({stem + v: direction, stem + g: gain})["vae"]["decoder.layers.1.layers.1.weight"]
        torch.testing.assert_close(folded, layer.weight.detach(), rtol=1e-6, atol=1e-6)


def test_half_of_a_weight_norm_pair_is_unknown():
    assert map_keys(["decoder.layers.0.weight_g"]).unknown == ("decoder.layers.0.weight_g",)


# what comes out


def test_the_models_load_strictly_what_is_opened(small_model_dir, known_silence):
    opened = open_checkpoint(small_model_dir)
    assert opened.parts == ("network", "vae", "clip_vision", "synchformer", "t5", "tokenizer")
    for part, model in (("network", AudioXNetwork), ("vae", OobleckVAE), ("synchformer", Synchformer)):
        model(opened.sizes[part], device="meta").load_state_dict(opened.state_dict(part), assign=True)


def test_untouched_tensors_are_views_of_the_file(small_model_dir, known_silence):
    path = turbo_file(small_model_dir)
    tensors = open_checkpoint(path).state_dict("network")
    kept = {name for name, tensor in tensors.items() if tensor.untyped_storage().nbytes() >= 10 * tensor.nbytes}
    assert "maf.gating_network.0.weight" not in kept  # torch's own map gives each tensor its piece
    with open(f"/proc/{os.getpid()}/maps") as maps:
        places = [line.split()[0].split("-") for line in maps if line.rstrip().endswith(path.name)]
    mapped = [range(int(start, 16), int(end, 16)) for start, end in places]
    for name, inside in (("maf.experts.weight", True), ("transformer.layers.0.qkv.weight", False)):
        assert any(tensors[name].data_ptr() in place for place in mapped) is inside


def test_what_an_owner_does_to_a_tensor_is_not_seen_by_the_next(small_model_dir, known_silence):
    opened = open_checkpoint(small_model_dir)
    first = opened.state_dict("network")
    before = first["maf.experts.weight"].clone()
    first["maf.experts.weight"].zero_()
    opened.state_dict("network", torch.bfloat16)
    assert opened.state_dict("network")["maf.experts.weight"].equal(before)
    assert not first["maf.experts.weight"].any()


def test_dtype_casts_all_but_what_the_model_keeps_in_float32(small_model_dir, known_silence):
    tensors = open_checkpoint(small_model_dir).state_dict("network", torch.float16)
    kept = {name for name, tensor in tensors.items() if tensor.dtype == torch.float32}
    assert {"audio.silence_mean", "audio.silence_std", "transformer.time_features.weight"} <= kept
    assert all("layers" not in name for name in kept)


def test_silence_is_what_the_vae_makes_of_silence(small_model_dir, native):
    opened = open_checkpoint(small_model_dir)
    vae = OobleckVAE(opened.sizes["vae"])
    vae.load_state_dict(opened.state_dict("vae"))
    mean, std = vae.encode_statistics(torch.zeros(1, 2, PROMPT_SAMPLES))
    torch.testing.assert_close(native["audio.silence_mean"], mean[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(native["audio.silence_std"], std[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("wrapper", "prefix"),
    [
        ("state_dict", ""),
        ("model", "module."),
        ("student", "model."),
        ("student_state_dict", "student."),
        (None, "student.model."),
        (None, "module."),
    ],
)
def test_wrappers_and_training_prefixes_fall_off(tmp_path, model_tensors, native, wrapper, prefix, known_silence):
    content = {prefix + name: tensor for name, tensor in model_tensors.items()}
    save_pickle({wrapper: content, "step": 3} if wrapper else content, tmp_path / "turbo.ckpt")
    assert_same(open_checkpoint(tmp_path / "turbo.ckpt").state_dict("network"), native)


def test_pickles_of_before_torch_1_6_open(tmp_path, model_tensors, native, known_silence):
    torch.save(model_tensors, tmp_path / "turbo.pth", _use_new_zipfile_serialization=False)
    assert_same(open_checkpoint(tmp_path / "turbo.pth").state_dict("network"), native)


def test_safetensors_with_released_names_open(tmp_path, model_tensors, native, known_silence):
    save_file(model_tensors, tmp_path / "turbo.safetensors")
    opened = open_checkpoint(tmp_path / "turbo.safetensors")
    assert_same(opened.state_dict("network"), native)
    # a view of the whole file
    assert opened.state_dict("network")["maf.experts.weight"].untyped_storage().nbytes() > 1e6


def test_a_safetensors_header_of_odd_length_is_read_right(tmp_path, model_tensors, native, known_silence):
    save_file(model_tensors, tmp_path / "even.safetensors")
    content = (tmp_path / "even.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    text = content[8 : 8 + length].rstrip() + b" "
    text += b" " * (1 - len(text) % 2)
    (tmp_path / "turbo.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    assert len(text) % 8
    assert_same(open_checkpoint(tmp_path / "turbo.safetensors").state_dict("network"), native)


# layouts


def lay_out(source: Path, target: Path, moves: dict[str, str]) -> Path:
    for old, new in moves.items():
        (target / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / old, target / new)
    return target


MODEL, VAE, SYNC = "audiox_turbo/audiox_turbo.ckpt", "pretransform/vae.ckpt", "synchformer/synchformer_state_dict.pth"
T5, TOKENIZER = "t5-base/model.safetensors", "t5-base/tokenizer.json"
ALL = ("network", "vae", "clip_vision", "synchformer", "t5", "tokenizer")


@pytest.mark.parametrize(
    ("files", "path", "parts"),
    [
        ((MODEL, VAE, SYNC, T5, TOKENIZER), ".", ALL),
        ((MODEL, VAE, SYNC, T5, TOKENIZER), MODEL, ALL),
        ((MODEL, VAE, SYNC, T5, TOKENIZER), "audiox_turbo", ALL),
        ((MODEL,), MODEL, ("network", "vae", "clip_vision")),
        ((MODEL, SYNC, T5), ".", ("network", "vae", "clip_vision", "synchformer", "t5")),
    ],
    ids=["folder", "file", "sub folder", "model alone", "no tokenizer"],
)
def test_the_released_folder_is_found_from_each_of_its_paths(tmp_path, small_model_dir, files, path, parts):
    folder = lay_out(small_model_dir, tmp_path / "checkpoints", {name: name for name in files})
    opened = open_checkpoint(folder / path)
    assert opened.parts == parts
    used = str(opened.sources["vae"]["decoder.layers.0.weight"].file.path)
    assert used.endswith("vae.ckpt" if VAE in files else "audiox_turbo.ckpt")


@pytest.mark.parametrize("vae", ["VAE.ckpt", "vae.safetensors", None])
@pytest.mark.parametrize("shared_t5", [True, False])
def test_the_folder_of_other_packs_opens(tmp_path, small_model_dir, vae, shared_t5):
    home = tmp_path / "models" / "AudioX"
    moves = {MODEL: "AudioX-Turbo/model.ckpt", SYNC: "AudioX-Turbo/synchformer_state_dict.pth"}
    t5 = "t5-base" if shared_t5 else "AudioX-Turbo/t5-base"
    moves |= {T5: f"{t5}/model.safetensors", TOKENIZER: f"{t5}/tokenizer.json"}
    if vae == "VAE.ckpt":
        moves[VAE] = f"AudioX-Turbo/{vae}"
    folder = lay_out(small_model_dir, home, moves) / "AudioX-Turbo"
    if vae == "vae.safetensors":
        tensors = torch.load(small_model_dir / VAE, weights_only=True)["state_dict"]
        save_file(tensors, folder / vae)
    (home / "clip-vit-base-patch32").mkdir()
    (home / "clip-vit-base-patch32" / "pytorch_model.bin").write_bytes(b"not looked at")
    config = {"model": {"diffusion": {"diffusion_objective": "rectified_flow"}}}
    (folder / "config.json").write_text(json.dumps(config))
    for path in (folder, folder / "model.ckpt"):
        opened = open_checkpoint(path)
        assert opened.parts == ALL
        assert (opened.variant, opened.variant_source) == ("turbo", "folder name")
        assert opened.sources["vae"]["decoder.layers.0.weight"].file.path.name == (vae or "model.ckpt")


def test_files_named_by_the_caller_win(tmp_path, small_model_dir):
    other = lay_out(small_model_dir, tmp_path, {VAE: "a/x.ckpt", SYNC: "b/y.pth", T5: "c/z.safetensors"})
    opened = open_checkpoint(
        small_model_dir, vae=other / "a/x.ckpt", synchformer=other / "b/y.pth", text_encoder=other / "c/z.safetensors"
    )
    used = {part: next(iter(sources.values())).file.path.name for part, sources in opened.sources.items()}
    assert used == {
        "network": "audiox_turbo.ckpt",
        "clip_vision": "audiox_turbo.ckpt",
        "vae": "x.ckpt",
        "synchformer": "y.pth",
        "t5": "z.safetensors",
    }
    assert "tokenizer" not in opened.parts


# variants


@pytest.mark.parametrize(
    ("path", "variant", "source"),
    [
        ("audiox_turbo.ckpt", "turbo", "file name"),
        ("models/AudioX-Turbo/model.ckpt", "turbo", "folder name"),
        ("AudioX-Turbo/main/model.ckpt", "turbo", "folder name"),
        ("AudioX-Turbo/pretrained_ckpt/pretrained_ckpt.ckpt", "base", "file name"),
        ("AudioX-Base/model.ckpt", "base", "folder name"),
        ("audiox_teacher.ckpt", "base", "file name"),
        ("t5-base/turbo/model.ckpt", "turbo", "folder name"),
    ],
)
def test_names_tell_the_variant(tmp_path, small_model_dir, path, variant, source):
    lay_out(small_model_dir, tmp_path / "x", {MODEL: path})
    opened = open_checkpoint(tmp_path / "x" / path)
    assert (opened.variant, opened.variant_source) == (variant, source)


@pytest.mark.parametrize("path", ["model.ckpt", "database/model.ckpt", "turbo_from_teacher.ckpt", "t5-base/model.ckpt"])
def test_nothing_is_guessed_when_names_do_not_tell(tmp_path, small_model_dir, path):
    lay_out(small_model_dir, tmp_path / "x", {MODEL: path})
    with pytest.raises(AudioXError) as error:
        open_checkpoint(tmp_path / "x" / path)
    assert "say the variant, turbo, base or maf-mmdit" in sentence(error)
    opened = open_checkpoint(tmp_path / "x" / path, variant="base")
    assert (opened.variant, opened.variant_source) == ("base", "explicit")


def test_metadata_beats_the_name_and_a_contradicting_choice_is_refused(tmp_path, model_tensors):
    path = tmp_path / "turbo.safetensors"
    save_file(model_tensors, path, metadata={"audiox.variant": "base"})
    opened = open_checkpoint(path)
    assert (opened.variant, opened.variant_source) == ("base", "metadata")
    with pytest.raises(AudioXError) as error:
        open_checkpoint(path, variant="turbo")
    assert str(path) in sentence(error) and "'base'" in str(error.value)


def test_a_folder_with_both_models_asks_which(tmp_path, small_model_dir):
    base = "pretrained_ckpt/pretrained_ckpt.ckpt"
    lay_out(small_model_dir, tmp_path / "x", {MODEL: MODEL, VAE: VAE})
    lay_out(small_model_dir, tmp_path / "x", {MODEL: base})
    with pytest.raises(AudioXError) as error:
        open_checkpoint(tmp_path / "x")
    assert "several models" in sentence(error)
    for variant, name in (("turbo", MODEL), ("base", base)):
        assert open_checkpoint(tmp_path / "x", variant=variant).layout.model == tmp_path / "x" / name


@pytest.mark.parametrize("tell", ["folder", "config"])
def test_maf_mmdit_of_the_same_keys_is_recognised(tmp_path, small_model_dir, tell):
    folder = tmp_path / ("AudioX-MAF-MMDiT" if tell == "folder" else "some")
    lay_out(small_model_dir, folder, {MODEL: "model.ckpt"})
    if tell == "config":
        (folder / "config.json").write_text(json.dumps({"model": {"diffusion": {"diffusion_objective": "v"}}}))
    opened = open_checkpoint(folder)
    source = "folder name" if tell == "folder" else "config.json"
    assert (opened.variant, opened.variant_source) == ("maf-mmdit", source)
    assert open_checkpoint(folder, variant="turbo").variant == "turbo"


# files that cannot work


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_pickle_is_not_run(tmp_path):
    fuse = tmp_path / "exploded"
    for name, write in (
        ("zip.ckpt", lambda path: torch.save({"state_dict": Bomb(fuse)}, path)),
        ("plain.ckpt", lambda path: path.write_bytes(pickle.dumps(Bomb(fuse), protocol=2))),
    ):
        write(tmp_path / name)
        with pytest.raises(AudioXError) as error:
            open_checkpoint(tmp_path / name)
        assert name in sentence(error)
        assert not fuse.exists()
    pickle.loads((tmp_path / "plain.ckpt").read_bytes())  # noqa: S301  the bomb is live
    assert fuse.exists()


def truncate(path: Path, source: Path, share: float) -> None:
    content = source.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def as_safetensors(path: Path, tensors: dict) -> Path:
    save_file(tensors, path)
    return path


def stable_audio_tensors() -> dict:
    names = ["transformer.layers.0.pre_norm.gamma", "transformer.layers.0.self_attn.to_qkv.weight"]
    return {f"model.model.{name}": torch.zeros(2) for name in names}


BAD = {
    "missing": (lambda path, files: None, "does not exist"),
    "empty": (lambda path, files: path.write_bytes(b""), "is not a checkpoint"),
    "web page": (lambda path, files: path.write_text("<!DOCTYPE html>" * 9), "is not a checkpoint"),
    "lfs pointer": (lambda path, files: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "Git LFS"),
    "truncated zip": (lambda path, files: truncate(path, files["model"], 0.7), "truncated"),
    "truncated old pickle": (lambda path, files: truncate(path, files["old"], 0.7), "again: it is damaged"),
    "truncated safetensors": (lambda path, files: truncate(path, files["safetensors"], 0.7), "truncated"),
    "truncated header": (lambda path, files: truncate(path, files["safetensors"], 0.001), "truncated"),
    "bad header": (lambda path, files: path.write_bytes(struct.pack("<Q", 9) + b"{nonsense"), "safetensors header"),
    "lying header": (
        lambda path, files: path.write_bytes(
            struct.pack("<Q", 58) + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}    ' + b"\0" * 4
        ),
        "contradicts itself",
    ),
    "no tensors": (lambda path, files: save_pickle({"step": 3}, path), "no tensors with names"),
    "a list": (lambda path, files: torch.save([torch.zeros(2)], path), "no tensors with names"),
    "vae": (lambda path, files: shutil.copy(files["vae"], path), "holds only a VAE"),
    "synchformer": (lambda path, files: shutil.copy(files["sync"], path), "holds only a Synchformer"),
    "t5": (lambda path, files: shutil.copy(files["t5"], path), "holds only a T5 text encoder"),
    "strange": (lambda path, files: save_pickle({"a": torch.zeros(1)}, path), "holds a, not an AudioX model"),
    "stable audio": (lambda path, files: save_pickle(stable_audio_tensors(), path), "is a Stable Audio model, not an"),
}


@pytest.fixture(scope="module")
def good_files(small_model_dir, model_tensors, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("good")
    torch.save(model_tensors, folder / "old.pth", _use_new_zipfile_serialization=False)
    return {
        "model": turbo_file(small_model_dir),
        "vae": small_model_dir / VAE,
        "sync": small_model_dir / SYNC,
        "t5": small_model_dir / T5,
        "old": folder / "old.pth",
        "safetensors": as_safetensors(folder / "turbo.safetensors", model_tensors),
    }


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_sentence_that_names_it(tmp_path, good_files, case):
    make, said = BAD[case]
    path = tmp_path / "turbo.ckpt"
    make(path, good_files)
    with pytest.raises(AudioXError) as error:
        open_checkpoint(path)
    assert str(path) in sentence(error) and said in str(error.value)


def without(*names):
    return lambda tensors: {name: value for name, value in tensors.items() if name not in names}


def changed(name, value):
    return lambda tensors: tensors | {name: value}


LAYER = "model.model.transformer.layers."
EDITS = {
    "missing key": (without(QKV), ["lacks", "transformer.layers.0.qkv.weight"]),
    "missing layer part": (
        lambda t: {k: v for k, v in t.items() if not (k.startswith(f"{LAYER}1.") and "ffn" in k)},
        [f"lacks {LAYER}1.ffn.w1.weight (ours: transformer.layers.1.ffn.w1.weight), "],
    ),
    "missing size key": (without("maf_block.unified_experts"), ["lacks", "experts"]),
    "missing clip key": (
        without("conditioner.conditioners.video_prompt.visual_encoder_model.vision_model.pre_layrnorm.bias"),
        ["lacks conditioner.", "visual_encoder_model.vision_model.pre_layrnorm.bias"],
    ),
    "wrong shape": (changed(f"{LAYER}1.attn.qkv.weight", torch.zeros(144, 47)), ["layers.1.qkv.weight [144, 47]"]),
    "wrong rank": (changed(f"{LAYER}1.ffn.w1.weight", torch.zeros(96, 48)), ["layers.1.ffn.w1.weight [96, 48]"]),
    "scalar": (changed("model.model.transformer.project_in.weight", torch.zeros(())), ["project_in.weight []"]),
    "half weight norm": (
        without("pretransform.model.decoder.layers.0.weight_g"),
        ["decoder.layers.0.weight_g"],
    ),
    "impossible width": (changed("maf_block.unified_experts", torch.zeros(191, 64)), ["191 experts"]),
}


@pytest.mark.parametrize("case", EDITS)
def test_missing_keys_and_wrong_shapes_are_refused(tmp_path, model_tensors, case):
    edit, said = EDITS[case]
    path = tmp_path / "turbo.ckpt"
    save_pickle(edit(dict(model_tensors)), path)
    with pytest.raises(AudioXError) as error:
        open_checkpoint(path)
    assert str(path) in sentence(error)
    assert all(part in str(error.value) for part in said), str(error.value)


@pytest.mark.parametrize("argument", ["vae", "synchformer", "text_encoder"])
def test_a_companion_of_the_wrong_kind_is_named(small_model_dir, argument):
    wrong = turbo_file(small_model_dir) if argument != "vae" else small_model_dir / SYNC
    with pytest.raises(AudioXError) as error:
        open_checkpoint(small_model_dir, **{argument: wrong})
    assert f"{wrong} holds no " in sentence(error)


def test_other_branches_of_the_synchformer_file_are_not_read(tmp_path, small_model_dir):
    tensors = torch.load(small_model_dir / SYNC, weights_only=True)
    save_pickle(tensors | {"afeat_extractor.x": torch.zeros(1), "whatever.y": torch.zeros(1)}, tmp_path / "s.pth")
    opened = open_checkpoint(small_model_dir, synchformer=tmp_path / "s.pth")
    assert_same(opened.state_dict("synchformer"), open_checkpoint(small_model_dir).state_dict("synchformer"))


def test_an_unknown_variant_is_refused(small_model_dir):
    with pytest.raises(AudioXError, match="expected one of turbo, base"):
        open_checkpoint(small_model_dir, variant="medium")


def test_absent_parts_say_what_to_put_where(tmp_path, small_model_dir):
    lay_out(small_model_dir, tmp_path, {MODEL: MODEL})
    opened = open_checkpoint(tmp_path)
    wanted = {"synchformer": "synchformer_state_dict.pth", "t5": "t5-base", "tokenizer": "tokenizer.json"}
    for part, said in wanted.items():
        with pytest.raises(AudioXError) as error:
            opened.state_dict(part)
        assert said in sentence(error)


def test_the_diffusion_model_alone_as_comfyui_saves_it(tmp_path, native):
    path = tmp_path / "x_00001_.safetensors"
    save_file({f"model.diffusion_model.{name}": tensor.contiguous() for name, tensor in native.items()}, path)
    with pytest.raises(AudioXError, match="say the variant"):
        open_checkpoint(path)
    opened = open_checkpoint(path, variant="turbo")
    assert opened.parts == ("network",)
    assert_same(opened.state_dict("network"), native)
    with pytest.raises(AudioXError) as error:
        opened.state_dict("vae")
    assert "vae.ckpt" in sentence(error)


# the VAE, which is there up to three times


def test_a_coarser_copy_of_the_vae_is_the_same_vae(tmp_path, small_model_dir, model_tensors):
    folder = lay_out(small_model_dir, tmp_path, {VAE: VAE})
    half = {k: v.half() if k.startswith(VAE_COPY) else v for k, v in model_tensors.items()}
    save_pickle(half, folder / MODEL)
    open_checkpoint(folder).state_dict("vae")


def test_one_copy_of_the_vae_is_enough(tmp_path, small_model_dir, model_tensors, native, known_silence):
    for kept in ("pretransform.", VAE_COPY):
        thrown = {"pretransform.", VAE_COPY} - {kept}
        lean = {k: v for k, v in model_tensors.items() if not k.startswith(tuple(thrown))}
        save_pickle(lean, tmp_path / "turbo.ckpt")
        opened = open_checkpoint(tmp_path / "turbo.ckpt")
        assert_same(opened.state_dict("vae"), open_checkpoint(small_model_dir).state_dict("vae"))
        assert_same(opened.state_dict("network"), native)


def test_a_model_without_any_vae_opens_but_has_no_silence(tmp_path, model_tensors):
    lean = {k: v for k, v in model_tensors.items() if "pretransform." not in k}
    save_pickle(lean, tmp_path / "turbo.ckpt")
    opened = open_checkpoint(tmp_path / "turbo.ckpt")
    with pytest.raises(AudioXError) as error:
        opened.state_dict("network")
    assert "statistics of silence" in sentence(error)


def test_both_weight_norm_spellings_give_the_same_vae(tmp_path, small_model_dir):
    tensors = torch.load(small_model_dir / VAE, weights_only=True)["state_dict"]
    spelled = {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): tensor
        for name, tensor in tensors.items()
    }
    save_pickle({"state_dict": spelled}, tmp_path / "vae.ckpt")
    plain = open_checkpoint(small_model_dir).state_dict("vae")
    assert_same(open_checkpoint(small_model_dir, vae=tmp_path / "vae.ckpt").state_dict("vae"), plain)


def test_reading_contents_reads_no_values(tmp_path):
    """A sparse file of 40 GB says what it holds at once."""
    shapes = {name: shape for name, shape in model_shapes(RELEASED).items() if "pretransform" not in name}
    header, place = {}, 0
    for name, shape in shapes.items():
        size = 4 * count({name: shape})
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    with open(tmp_path / "turbo.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + place)
    contents = read_contents(TensorFile(tmp_path / "turbo.safetensors"))
    assert not contents.unknown and len(contents.part("network")) > 400
    assert open_checkpoint(tmp_path / "turbo.safetensors").sizes["network"] == NetworkSizes()


def test_weights_of_another_seed_differ_but_share_the_vae():
    shapes = {"maf_block.unified_experts": (4, 4), "pretransform.model.decoder.layers.0.bias": (4,)}
    zero, one = weights(shapes, 0), weights(shapes, 1)
    assert not zero["maf_block.unified_experts"].equal(one["maf_block.unified_experts"])
    assert zero["pretransform.model.decoder.layers.0.bias"].equal(one["pretransform.model.decoder.layers.0.bias"])
