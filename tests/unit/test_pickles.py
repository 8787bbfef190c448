"""Pickles with more than tensors in them: the tensors load, nothing else is rebuilt, no code runs."""

import argparse
import pickle
import tarfile
import zipfile
from collections import defaultdict
from pathlib import PosixPath
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from audiox_core.checkpoint.reader import TensorFile
from audiox_core.errors import AudioXError


def test_foreign_objects_are_named_and_their_tensors_load(tmp_path):
    bf16 = torch.arange(3, dtype=torch.bfloat16)
    content = {"a": torch.arange(4.0), "b": torch.nn.Parameter(torch.ones(2)), "c": bf16}
    foreign = {"hyper": argparse.Namespace(x=1), "best": np.float32(2), "path": PosixPath("x"), "d": defaultdict(dict)}
    for zipped in (True, False):
        path = tmp_path / "x.ckpt"
        torch.save({"state_dict": content, **foreign}, path, _use_new_zipfile_serialization=zipped)
        file = TensorFile(path)
        opened = file.open()
        assert list(file.shapes) == ["a", "b", "c"]
        assert all(opened.read(name).float().equal(tensor.float()) for name, tensor in content.items())
        assert "argparse.Namespace" in file.left_out
        assert any("numpy" in name for name in file.left_out) and any("Path" in name for name in file.left_out)


def test_types_without_a_storage_of_their_own_are_rebuilt(tmp_path):
    rows = torch.tensor([[0, 1, 2], [3, 4, 5]], dtype=torch.uint16)
    content = {"a": torch.arange(4.0).to(torch.float8_e5m2), "b": rows[1]}
    torch.save({"state_dict": content, "hyper": argparse.Namespace(x=1)}, tmp_path / "x.ckpt")
    opened = TensorFile(tmp_path / "x.ckpt").open()
    assert opened.read("a").float().tolist() == [0, 1, 2, 3]
    assert opened.read("b").tolist() == [3, 4, 5]


def test_the_wrong_kinds_of_archives_are_refused(tmp_path):
    program = tmp_path / "program.pt"
    torch.save({"a": torch.zeros(1)}, program)
    with zipfile.ZipFile(program, "a") as archive:
        archive.writestr("program/constants.pkl", b"\x80\x02).")
    with pytest.raises(AudioXError, match="TorchScript"):
        TensorFile(program)
    packed = tmp_path / "PK.pt"
    with tarfile.open(packed, "w") as archive:
        archive.addfile(tarfile.TarInfo("\x80"), None)
    with pytest.raises(AudioXError, match="not a checkpoint"):
        TensorFile(packed)


def test_unusual_pickles_change_nothing_in_this_process(tmp_path):
    """BUILD and SETITEM on what the unpickler hands out must not reach torch itself."""
    for state in ({"nbytes": 1}, (None, {"nbytes": 1})):
        built = pickle.dumps(state, 2)[2:-1]
        for name in (b"torch.storage\nUntypedStorage", b"torch\nSize", b"torch._utils\n_rebuild_tensor_v2"):
            path = tmp_path / "x.ckpt"
            path.write_bytes(b"\x80\x02c" + name + b"\n" + built + b"b.")
            with pytest.raises(AudioXError):
                TensorFile(path)
    assert torch.zeros(3).untyped_storage().nbytes() == 12
    assert SimpleNamespace(**vars(torch._utils._rebuild_tensor_v2)) == SimpleNamespace()
