"""Converting and inspecting, as a library and from the command line."""

import errno
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from audiox_core import disk
from audiox_core.checkpoint import open_checkpoint, verify
from audiox_core.checkpoint import reader as reader_module
from audiox_core.checkpoint.convert import LICENCE, convert, recorded_sha256, sha256
from audiox_core.checkpoint.inspect import inspect
from audiox_core.checkpoint.writer import Entry, write_safetensors
from audiox_core.cli import main
from audiox_core.errors import AudioXError
from devtools.small_model import save_pickle

PREFIXES = {
    "network": "model.diffusion_model.",
    "vae": "vae.",
    "clip_vision": "clip_vision.",
    "synchformer": "synchformer.",
    "t5": "text_encoders.t5base.transformer.",
    "tokenizer": "text_encoders.t5base.",
}
MODEL = "audiox_turbo/audiox_turbo.ckpt"
VAE = "pretransform/vae.ckpt"


@pytest.fixture(scope="module")
def converted(small_model_dir, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("converted") / "small.safetensors"
    convert(small_model_dir, output)
    return output


@pytest.fixture(scope="module")
def half(small_model_dir, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("half") / "small.safetensors"
    convert(small_model_dir, output, dtype=torch.float16)
    return output


def test_a_converted_file_gives_the_same_tensors_bit_for_bit(small_model_dir, converted):
    source, result = open_checkpoint(small_model_dir), open_checkpoint(converted)
    assert result.parts == source.parts == tuple(PREFIXES)
    assert (result.variant, result.variant_source) == ("turbo", "metadata")
    assert result.sizes == source.sizes
    for part in source.parts:
        one, other = source.state_dict(part), result.state_dict(part)
        assert one.keys() == other.keys()
        for name in one:
            assert one[name].dtype == other[name].dtype and one[name].equal(other[name]), name
    assert result.tokenizer_json() == (small_model_dir / "t5-base" / "tokenizer.json").read_bytes()


def test_the_file_is_what_the_safetensors_library_writes_and_reads(tmp_path, converted):
    loaded = load_file(converted)
    assert {name.split(".")[0] for name in loaded} == {"model", "vae", "clip_vision", "synchformer", "text_encoders"}
    with safe_open(converted, "pt") as file:
        save_file(loaded, tmp_path / "again.safetensors", metadata=file.metadata())
    again = load_file(tmp_path / "again.safetensors")
    assert all(again[name].equal(loaded[name]) for name in loaded)
    assert abs((tmp_path / "again.safetensors").stat().st_size - converted.stat().st_size) < 64


def test_converting_twice_gives_the_same_bytes(tmp_path, converted):
    convert(converted, tmp_path / "b.safetensors")
    convert(converted, tmp_path / "c.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "c.safetensors").read_bytes()
    one, other = load_file(converted), load_file(tmp_path / "b.safetensors")
    assert one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def test_types_are_as_asked(half):
    types = {name: tensor.dtype for name, tensor in load_file(half).items()}
    network = PREFIXES["network"]
    assert types[f"{network}transformer.layers.0.qkv.weight"] == torch.float16
    assert types[f"{network}audio.silence_std"] == types[f"{network}transformer.time_features.weight"] == torch.float32
    assert types["vae.decoder.layers.0.weight"] == torch.float32
    assert types["synchformer.norm.weight"] == types["clip_vision.vision_model.pre_layrnorm.weight"] == torch.float16
    assert types["text_encoders.t5base.tokenizer_json"] == torch.uint8


def test_rounding_is_that_of_one_cast(small_model_dir, half):
    exact, cast = (open_checkpoint(path).state_dict("clip_vision") for path in (small_model_dir, half))
    assert all(cast[name].equal(exact[name].half()) for name in exact)


def test_the_vae_can_be_cast_too(tmp_path, small_model_dir):
    output = tmp_path / "a.safetensors"
    convert(small_model_dir, output, dtype=torch.bfloat16, vae_dtype=torch.bfloat16)
    assert load_file(output)["vae.decoder.layers.0.weight"].dtype == torch.bfloat16


def test_metadata_says_where_it_comes_from(small_model_dir, converted, half):
    with safe_open(converted, "pt") as file:
        metadata = file.metadata()
    assert metadata["audiox.variant"] == "turbo" and metadata["audiox.format_version"] == "1"
    assert metadata["audiox.architecture"] == "audiox-mmdit" and metadata["license"] == LICENCE
    sources = {source["name"]: source for source in json.loads(metadata["audiox.sources"])}
    assert set(sources) == {
        "audiox_turbo.ckpt",
        "vae.ckpt",
        "synchformer_state_dict.pth",
        "model.safetensors",
        "tokenizer.json",
    }
    content = (small_model_dir / MODEL).read_bytes()
    assert sources["audiox_turbo.ckpt"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert sources["audiox_turbo.ckpt"]["bytes"] == len(content)
    with safe_open(half, "pt") as file:
        assert (file.metadata()["audiox.dtype"], file.metadata()["audiox.vae_dtype"]) == ("float16", "float32")


def test_a_licence_stated_by_the_source_is_kept(tmp_path, small_model_dir):
    tensors = torch.load(small_model_dir / MODEL, weights_only=True)
    save_file(tensors, tmp_path / "turbo.safetensors", metadata={"license": "mine"})
    convert(tmp_path / "turbo.safetensors", tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert file.metadata()["license"] == "mine"


def test_parts_can_be_left_out(tmp_path, small_model_dir):
    output = tmp_path / "turbo.safetensors"
    convert(small_model_dir, output, without=("vae", "t5", "tokenizer"))
    opened = open_checkpoint(output)
    assert opened.parts == ("network", "clip_vision", "synchformer")
    assert "audio.silence_mean" in opened.state_dict("network")  # computed while there was a VAE


def test_neither_the_source_nor_a_half_written_file_is_left_behind(tmp_path, small_model_dir, converted):
    copy = tmp_path / "turbo.safetensors"
    shutil.copy(converted, copy)
    before = sha256(copy)
    with pytest.raises(AudioXError, match="is a source of this conversion"):
        convert(copy, copy)
    with pytest.raises(AudioXError, match=r"ends in \.safetensors"):
        convert(copy, tmp_path / "out.ckpt")
    with pytest.raises(AudioXError, match="Cannot leave out network"):
        convert(copy, tmp_path / "out.safetensors", without=("network",))
    (tmp_path / "out.safetensors").write_bytes(b"precious")

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "convert" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(copy, tmp_path / "out.safetensors", progress=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.safetensors", "turbo.safetensors"]
    assert (tmp_path / "out.safetensors").read_bytes() == b"precious" and sha256(copy) == before


def test_a_weight_too_large_for_fp16_is_refused(tmp_path, small_model_dir):
    tensors = torch.load(small_model_dir / MODEL, weights_only=True)
    name = "model.model.transformer.layers.1.ffn.w3.weight"
    large = tensors[name].clone()
    large[3, 2, 1] = 1e6
    save_pickle(tensors | {name: large}, tmp_path / "turbo.ckpt")
    with pytest.raises(AudioXError, match="does not fit fp16; choose bf16") as error:
        convert(tmp_path / "turbo.ckpt", tmp_path / "out.safetensors", dtype=torch.float16)
    assert name in str(error.value)
    convert(tmp_path / "turbo.ckpt", tmp_path / "out.safetensors", dtype=torch.bfloat16)


def test_progress_shows_from_the_first_byte_what_is_read_and_written(tmp_path, small_model_dir):
    seen: dict[str, list[tuple[int, int]]] = {}
    convert(
        small_model_dir,
        tmp_path / "out.safetensors",
        progress=lambda stage, done, total: seen.setdefault(stage, []).append((done, total)),
    )
    assert list(seen) == ["compare", "hash", "convert"]
    for counts in seen.values():
        assert counts == sorted(counts) and counts[0][0] == 0 and counts[-1][0] == counts[-1][1] > 1e5
    assert seen["hash"][0][1] == sum(path.stat().st_size for path in small_model_dir.rglob("*.*") if is_read(path))


def is_read(path: Path) -> bool:
    return path.suffix in (".ckpt", ".pth", ".safetensors") or path.name == "tokenizer.json"


def test_checksums_that_download_has_recorded_are_not_computed_again(tmp_path, small_model_dir):
    folder = shutil.copytree(small_model_dir, tmp_path / "model")
    size = (folder / MODEL).stat().st_size
    record = {"files": {MODEL: {"bytes": size, "checksum": "sha256:" + "ab" * 32}}}
    (folder / "download.json").write_text(json.dumps(record))
    assert recorded_sha256(folder / MODEL) == "ab" * 32
    hashed = []
    convert(
        folder,
        tmp_path / "out.safetensors",
        progress=lambda stage, done, total: hashed.append(total) if stage == "hash" else None,
    )
    assert hashed[0] + size == sum(path.stat().st_size for path in folder.rglob("*.*") if is_read(path))
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        sources = {source["name"]: source for source in json.loads(file.metadata()["audiox.sources"])}
    assert sources["audiox_turbo.ckpt"]["sha256"] == "ab" * 32
    assert sources["vae.ckpt"]["sha256"] == sha256(folder / VAE)
    assert recorded_sha256(folder / VAE) is None
    later = (folder / "download.json").stat().st_mtime + 5
    os.utime(folder / MODEL, (later, later))  # written to after the download
    assert recorded_sha256(folder / MODEL) is None


def test_a_disk_that_is_too_small_is_found_before_anything_is_read(tmp_path, small_model_dir, monkeypatch):
    def touch(self, name):
        raise AssertionError(f"{name} was read")

    monkeypatch.setattr(reader_module.OpenTensors, "read", touch)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6))
    with pytest.raises(AudioXError, match=r"out\.safetensors needs \d+ MB, but only 1 MB are free there"):
        convert(small_model_dir, tmp_path / "out.safetensors", progress=lambda *call: pytest.fail(str(call)))
    assert not list(tmp_path.iterdir())


def test_a_disk_that_becomes_full_is_one_sentence(tmp_path):
    def full() -> torch.Tensor:
        raise OSError(errno.ENOSPC, "No space left on device")

    entry = Entry("a", (2,), torch.float32, full, lambda _: None)
    with pytest.raises(AudioXError, match=r"became full while .*a\.safetensors was written, which needs"):
        write_safetensors(tmp_path / "a.safetensors", [entry], {})
    assert not list(tmp_path.iterdir())


def test_the_writer_refuses_what_was_not_announced(tmp_path):
    entry = Entry("a", (2,), torch.float32, lambda: torch.zeros(3), lambda _: None)
    with pytest.raises(ValueError, match="a was announced"):
        write_safetensors(tmp_path / "a.safetensors", [entry], {})
    assert not list(tmp_path.iterdir())


# the command line


def test_convert_from_the_command_line(tmp_path, small_model_dir, capsys):
    output = tmp_path / "out.safetensors"
    arguments = ["convert", str(small_model_dir), str(output), "--dtype", "bf16", "--without-t5", "--without-tokenizer"]
    assert main(arguments) == 0
    assert f"{output}: AudioX-Turbo, network, vae, clip_vision, synchformer" in capsys.readouterr().out
    assert load_file(output)["clip_vision.vision_model.pre_layrnorm.weight"].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["convert", "{tmp}/none", "{tmp}/out.safetensors"], "does not exist"),
        (["convert", "{small}/pretransform/vae.ckpt", "{tmp}/out.safetensors"], "holds only a VAE"),
        (["convert", "{small}", "{tmp}/out.ckpt"], "ends in .safetensors"),
        (["convert", "{small}", "{small}/audiox_turbo/audiox_turbo.ckpt/out.safetensors"], "audiox_turbo.ckpt"),
        (["inspect", "{tmp}/none"], "does not exist"),
    ],
)
def test_bad_input_is_exit_code_2_and_one_sentence(tmp_path, small_model_dir, capsys, arguments, said):
    filled = [argument.format(tmp=tmp_path, small=small_model_dir) for argument in arguments]
    assert main(filled) == 2
    printed = capsys.readouterr()
    assert said in printed.err and printed.err.count("\n") == 1 and not printed.out
    assert not list(tmp_path.iterdir())


def test_usage_errors_are_exit_code_2(capsys):
    for arguments in ([], ["convert"], ["convert", "a", "b", "--dtype", "int4"], ["sing"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2


# inspect


def test_inspect_loads_no_weights(small_model_dir, converted, monkeypatch):
    def touch(self, name):
        raise AssertionError(f"{name} was read")

    monkeypatch.setattr(reader_module.OpenTensors, "read", touch)
    with pytest.raises(AssertionError, match="was read"):
        open_checkpoint(converted).state_dict("vae")
    for path in (small_model_dir, converted):
        found = inspect(path)
        assert found["usable"] and found["problem"] is None


def test_inspect_tells_parts_sizes_types_and_variant(small_model_dir, half):
    found = inspect(half)
    checkpoint = found["checkpoint"]
    assert (checkpoint["variant"], checkpoint["variant_source"]) == ("turbo", "metadata")
    network = checkpoint["parts"]["network"]
    assert network["dtypes"]["float16"] > 50 and network["dtypes"]["float32"] >= 3
    tensors = open_checkpoint(half).state_dict("network")
    assert network["bytes"] == sum(tensor.nbytes for tensor in tensors.values())
    assert network["tensors"] == len(tensors)
    assert "width=48" in network["sizes"] and "depth=2" in network["sizes"]
    assert found["files"][0]["metadata"]["license"] == LICENCE
    names = {Path(file["path"]).name for file in inspect(small_model_dir)["files"]}
    assert names == {"audiox_turbo.ckpt", "vae.ckpt", "synchformer_state_dict.pth", "model.safetensors"}


@pytest.mark.parametrize(
    ("name", "part", "problem"),
    [
        (VAE, "vae", "holds only a VAE"),
        ("synchformer/synchformer_state_dict.pth", "synchformer", "holds only a Synchformer"),
        ("t5-base/model.safetensors", "t5", "holds only a T5 text encoder"),
    ],
)
def test_inspect_describes_what_is_no_model(small_model_dir, name, part, problem):
    found = inspect(small_model_dir / name)
    assert not found["usable"] and problem in found["problem"]
    assert list(found["files"][0]["parts"]) == [part]


def test_inspect_prints_for_people_and_for_programs(small_model_dir, capsys, tmp_path):
    assert main(["inspect", str(small_model_dir)]) == 0
    table = capsys.readouterr().out
    assert "Usable: AudioX-Turbo, according to the file name" in table
    assert re.search(r"Synchformer +\d+ kB +float32 +.*synchformer_state_dict\.pth", table)
    assert re.search(r"diffusion model +\d+ MB +float32 +.*audiox_turbo\.ckpt", table)
    assert "Sizes(" not in table and "{" not in table and "Missing" not in table
    assert main(["inspect", str(small_model_dir), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["usable"] is True
    (tmp_path / "x.ckpt").write_bytes(b"rubbish")
    assert main(["inspect", str(tmp_path / "x.ckpt")]) == 0
    assert "Not usable as a model" in capsys.readouterr().out


def test_inspect_says_what_is_missing_and_how_to_add_it(tmp_path, small_model_dir, capsys):
    folder = shutil.copytree(small_model_dir, tmp_path / "AudioX-Turbo")
    shutil.rmtree(folder / "t5-base")
    assert main(["inspect", str(folder)]) == 0
    [t5, tokenizer] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Missing: ")]
    assert t5.startswith("Missing: T5 text encoder; without it no text can be used. Put t5-base")
    assert "tokenizer" in tokenizer


def test_inspect_tells_where_a_converted_file_comes_from(half, capsys):
    assert main(["inspect", str(half)]) == 0
    table = capsys.readouterr().out
    assert re.search(r"small\.safetensors was converted from audiox_turbo\.ckpt \(\d+ MB\), ", table)
    assert f"Licence of small.safetensors: {LICENCE}" in table and "sha256" not in table


# inspect --verify


def test_whole_files_pass(small_model_dir, half, capsys):
    for path in (small_model_dir, half):
        assert main(["inspect", str(path), "--verify"]) == 0
        printed = capsys.readouterr()
        assert "no damage found" in printed.out and "hash: 0/" in printed.err and "verify: 0/" in printed.err


def test_released_files_are_known_by_their_checksum(tmp_path, small_model_dir, capsys, monkeypatch):
    path = shutil.copy(small_model_dir / VAE, tmp_path / "vae.ckpt")
    monkeypatch.setitem(verify.RELEASED, path.stat().st_size, sha256(path))
    assert main(["inspect", str(path), "--verify", "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)["verified"]
    assert found["sha256"] == found["expected_sha256"] == sha256(path) and not found["problems"]
    assert main(["inspect", str(path), "--verify"]) == 0
    assert "right, bit by bit" in capsys.readouterr().out
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert main(["inspect", str(path), "--verify"]) == 1
    printed = capsys.readouterr().out
    assert "its checksum is not that of the released file; damaged: the archive's own checksum fails for" in printed
    assert "Get this file again." in printed


def test_synchformer_is_known():
    assert verify.RELEASED[950_058_171] == "8aff082f2df5c3bc52759db0c865c7ee772ae6400b860d1b7e90413f2defb67c"
    assert len(verify.RELEASED) == 3  # and T5's two files


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "nothing but zeros over a long stretch of"), (float("nan"), "not finite (NaN or infinite) in")],
)
def test_damaged_weights_are_found(tmp_path, half, value, said, capsys):
    tensors = load_file(half)
    name = max(tensors, key=lambda name: tensors[name].numel())
    tensors[name].view(-1)[verify.BLOCK : 2 * verify.BLOCK] = value
    save_file(tensors, tmp_path / "turbo.safetensors")
    assert main(["inspect", str(tmp_path / "turbo.safetensors"), "--verify"]) == 1
    assert f"{said} {name}. Get this file again." in capsys.readouterr().out


def test_what_cannot_be_opened_is_verified_too(tmp_path, capsys):
    (tmp_path / "x.ckpt").write_bytes(b"rubbish")
    assert main(["inspect", str(tmp_path / "x.ckpt"), "--verify"]) == 1
    assert "is not a checkpoint" in capsys.readouterr().out
