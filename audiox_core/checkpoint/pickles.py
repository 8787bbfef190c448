"""Files written by torch.save, opened so that no code in them can run."""

from __future__ import annotations

import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from ..errors import AudioXError
from ..wording import first_few
from .inert import StandIn, inert_pickle

WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "student",
    "student_state_dict",
    "generator",
    "net",
    "network",
)
"""Keys under which training code stores the tensors instead of at the top level; the first that is there counts."""

MAX_WRAPPERS = 4
"""How deep tensors may be wrapped."""

MAX_TENSORS = 20_000
"""More than any checkpoint of these models has, with every copy and counter of its training."""

MAX_INDEX_BYTES = 32_000_000
"""Longest list of names and shapes: thirty times that of a released model with the state of its training."""

MAX_INFLATION = 4
"""How many times larger than the file its contents may be. torch.save compresses nothing."""

DAMAGE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What torch.load raises for damaged files: a wrong byte can send it anywhere."""


@dataclass(frozen=True)
class PickledTensors:
    """What a file written by torch.save holds.

    tensors: by name; those of the model without the keys around them, all others with. wrapper: the keys around the
    model's. other: names of entries that aren't tensors. left_out: types of objects that were not rebuilt. mapped: are
    the tensors views of the mapped file?
    """

    tensors: dict[str, torch.Tensor]
    wrapper: str | None
    other: tuple[str, ...]
    left_out: tuple[str, ...]
    mapped: bool


def truncated(path: Path) -> AudioXError:
    """The error for a file that ends too early."""
    return AudioXError(f"{path} is truncated ({path.stat().st_size} bytes); download or copy it again.")


def load_pickle(path: Path) -> PickledTensors:
    """The tensors of a file written by torch.save.

    Raises:
        AudioXError: the file is truncated, damaged, compressed beyond reason, or holds no tensors.
    """
    mapped = _is_mappable(path)
    left_out: Mapping[str, type[StandIn]] = {}
    try:
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except pickle.UnpicklingError:
            inert, left_out = inert_pickle()
            # weights_only stands for torch's own unpickler, which refuses what `inert` replaces by nothing
            loaded = torch.load(path, map_location="cpu", weights_only=False, mmap=mapped, pickle_module=inert)
    except DAMAGE as error:
        if isinstance(error, EOFError) or "truncated" in str(error):
            raise truncated(path) from error
        raise AudioXError(f"Get {path} again: it is damaged, torch cannot read it.") from error
    keys, contents = _unwrapped(loaded)
    tensors = _named_tensors(contents)
    beside = "".join(f"{key}." for key in keys)
    for name, tensor in islice(_nested_tensors(loaded), 2 * MAX_TENSORS):
        if not (beside and name.startswith(beside)):
            tensors.setdefault(name, tensor)
    if len(tensors) > MAX_TENSORS:
        raise AudioXError(f"{path} holds {len(tensors)} tensors, more than any AudioX checkpoint ({MAX_TENSORS}).")
    if not tensors:
        seen = f"; it has {first_few(map(str, loaded))}" if isinstance(loaded, Mapping) and loaded else ""
        raise AudioXError(f"{path} is not a checkpoint: it holds no tensors with names{seen}.")
    other = tuple(str(name) for name in contents if name not in tensors)
    return PickledTensors(tensors, ".".join(keys) or None, other, tuple(left_out), mapped)


def _unwrapped(loaded: object) -> tuple[list[str], Mapping[Any, Any]]:
    """The keys around the model's tensors, and the mapping that they lead to."""
    keys: list[str] = []
    contents = loaded if isinstance(loaded, Mapping) else {}
    while len(keys) < MAX_WRAPPERS:
        key = next((key for key in WRAPPERS if isinstance(contents.get(key), Mapping)), None)
        if key is None:
            break
        keys.append(key)
        contents = contents[key]
    return keys, contents


def _named_tensors(contents: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    return {
        name: value.detach() for name, value in contents.items() if isinstance(name, str) and _is_usable_tensor(value)
    }


def _nested_tensors(
    contents: object, prefix: str = "", depth: int = 0, seen: frozenset[int] = frozenset()
) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors anywhere in nested mappings, named by the way to them; a mapping may hold itself."""
    if not isinstance(contents, Mapping) or depth > MAX_WRAPPERS or id(contents) in seen:
        return
    seen |= {id(contents)}
    for key, value in contents.items():
        if _is_usable_tensor(value):
            yield f"{prefix}{key}", value.detach()
        else:
            yield from _nested_tensors(value, f"{prefix}{key}.", depth + 1, seen)


def _is_usable_tensor(value: object) -> bool:
    """Is it a plain tensor in memory, not larger than what is stored of it?

    Strides of 0 let a small file stand for a tensor of any size.
    """
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return not value.is_quantized and value.nbytes <= value.untyped_storage().nbytes()


def _is_mappable(path: Path) -> bool:
    """True for torch's zip files with uncompressed data, False for compressed ones and pickles before torch 1.6.

    Raises:
        AudioXError: the file is no zip file though it begins like one, a program, or far larger inside than outside.
    """
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            if tarfile.is_tarfile(path):
                raise AudioXError(f"{path} is not a checkpoint: it is a tar archive.")
            return False
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, *DAMAGE) as error:
        raise truncated(path) from error
    if any(entry.filename.endswith("constants.pkl") for entry in entries):
        raise AudioXError(f"{path} is not a checkpoint but a TorchScript program; get the weights alone.")
    size = path.stat().st_size
    index = sum(entry.file_size for entry in entries if entry.filename.endswith(".pkl"))
    inside = sum(entry.file_size for entry in entries)
    if index > MAX_INDEX_BYTES or inside > MAX_INFLATION * size + MAX_INDEX_BYTES or len(entries) > MAX_TENSORS:
        raise AudioXError(
            f"Get {path} again: its {size} bytes claim to hold {inside} in {len(entries)} pieces, which no checkpoint "
            "does."
        )
    return all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
