"""One file of tensors, opened safely: names, shapes and types at once, values one at a time from the file.

The safetensors package is not used here: it keeps every page that was read mapped and in memory until the whole file is
closed, while a conversion has to release each tensor as soon as it is written.
"""

from __future__ import annotations

import json
import math
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch

from ..errors import AudioXError
from .mmap import release_pages

SUFFIXES = (".safetensors", ".ckpt", ".pth", ".pt", ".bin")
"""Suffixes of files that can hold tensors."""

WRAPPERS = ("state_dict", "model", "student", "student_state_dict")
"""Keys under which training code stores the tensors instead of at the top level."""

MAX_HEADER_BYTES = 100_000_000
"""Longest header that the safetensors format allows."""

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
"""torch type -> its name in a safetensors header."""


class TensorFile:
    """Names, shapes and types of the tensors of one file, and a way to read each.

    shapes, dtypes: by name, in the file's order.
    metadata: the text entries of a safetensors header; empty for pickles.
    wrapper: the key that holds the tensors of a pickle, None if they are at the top level.
    other: names of entries that aren't tensors.

    Raises:
        AudioXError: the file is missing, truncated, unsafe, or not a file of tensors.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.metadata: dict[str, str] = {}
        self.wrapper: str | None = None
        self.other: tuple[str, ...] = ()
        if not self.path.is_file():
            problem = "is a folder" if self.path.is_dir() else "does not exist"
            raise AudioXError(f"{self.path} {problem}; give the path of a checkpoint file.")
        self.is_pickle = _is_pickle(self.path)
        if self.is_pickle:
            tensors, self.wrapper, self.other, _ = _load_pickle(self.path)
            self.shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
            self.dtypes = {name: tensor.dtype for name, tensor in tensors.items()}
        else:
            header, self.metadata, self._data_start = _read_header(self.path)
            self.shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
            self.dtypes = {name: _DTYPES[entry["dtype"]] for name, entry in header.items()}
            self._starts = {name: entry["data_offsets"][0] for name, entry in header.items()}

    def open(self) -> OpenTensors:
        """A new memory map of the file, to read values from.

        Tensors from earlier maps belong to their owners: changes to them are not seen here.
        """
        if self.is_pickle:
            tensors, _, _, mapped = _load_pickle(self.path)
            return OpenTensors(tensors, mapped)
        size = self.path.stat().st_size
        storage = cast("torch.UntypedStorage", torch.UntypedStorage.from_file(str(self.path), False, size))
        # Unaligned tensors are copied to the heap, whose pages must not be dropped.
        aligned = all(
            (self._data_start + start) % self.dtypes[name].itemsize == 0 for name, start in self._starts.items()
        )
        return OpenTensors(_MappedTensors(self, storage), mapped=aligned)

    def bytes_of(self, name: str) -> int:
        """Bytes that one tensor takes in the file."""
        return math.prod(self.shapes[name]) * self.dtypes[name].itemsize


class OpenTensors:
    """Tensors of an opened file: views into its memory map, or copies in memory for old pickles."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], mapped: bool) -> None:
        self._tensors = tensors
        self._mapped = mapped

    def read(self, name: str) -> torch.Tensor:
        """One tensor, which must not be changed."""
        return self._tensors[name]

    def done(self, tensor: torch.Tensor) -> None:
        """Say that the caller no longer needs a tensor from `read`."""
        if self._mapped:
            release_pages(tensor)


class _MappedTensors(dict[str, torch.Tensor]):
    """Tensors of a safetensors file, created on first access."""

    def __init__(self, file: TensorFile, storage: torch.UntypedStorage) -> None:
        super().__init__()
        self._file = file
        self._storage = storage

    def __missing__(self, name: str) -> torch.Tensor:
        file = self._file
        shape, dtype = file.shapes[name], file.dtypes[name]
        start = file._data_start + file._starts[name]
        raw = torch.empty(0, dtype=torch.uint8).set_(self._storage, start, (file.bytes_of(name),), (1,))
        if raw.data_ptr() % dtype.itemsize:
            raw = raw.clone()  # headers of any length are legal, but unaligned numbers are slow or worse
        self[name] = raw.view(dtype).view(shape)
        return self[name]


def _is_pickle(path: Path) -> bool:
    """True for torch's pickles, False for safetensors, by the first bytes."""
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"version https://git-lfs"):
        raise AudioXError(f"{path} is a Git LFS pointer, not the file itself; download the file.")
    if start.startswith((b"PK", b"\x80")):
        return True
    if len(start) >= 9 and start[8:9] == b"{" and struct.unpack("<Q", start[:8])[0] <= MAX_HEADER_BYTES:
        return False
    raise AudioXError(f"{path} is not a checkpoint: it is neither a safetensors file nor a file written by torch.save.")


def _read_header(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, str], int]:
    """Entries, metadata and the position at which the data of a safetensors file starts."""
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        text = file.read(length)
    if len(text) < length:
        raise _truncated(path)
    try:
        header = json.loads(text)
        metadata = header.pop("__metadata__", {})
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        consistent = all(_fits(entry) for entry in header.values())
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise AudioXError(f"{path} has an unreadable safetensors header; get the file again.") from error
    if not consistent:
        raise AudioXError(f"{path} has a safetensors header that contradicts itself; get the file again.")
    if size < 8 + length + end:
        raise _truncated(path)
    return header, metadata, 8 + length


def _fits(entry: Mapping[str, Any]) -> bool:
    """Is a header entry's range as long as its type and shape need?"""
    start, end = entry["data_offsets"]
    return 0 <= start <= end and end - start == math.prod(entry["shape"]) * _DTYPES[entry["dtype"]].itemsize


def _truncated(path: Path) -> AudioXError:
    return AudioXError(f"{path} is truncated ({path.stat().st_size} bytes); download or copy it again.")


def _load_pickle(path: Path) -> tuple[dict[str, torch.Tensor], str | None, tuple[str, ...], bool]:
    """Tensors by name, the key that holds them, names of other entries, and whether the tensors are memory-mapped."""
    mapped = _can_map(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        if "truncated" in str(error):
            raise _truncated(path) from error
        raise AudioXError(
            f"{path} holds objects other than tensors, which could run code, so it is not opened; get it as "
            ".safetensors, or convert it on a machine that may come to harm."
        ) from error
    except EOFError as error:
        raise _truncated(path) from error
    except RuntimeError as error:
        raise AudioXError(f"{path} is damaged, torch cannot read it; get the file again.") from error
    wrapper = None
    if isinstance(loaded, Mapping):
        wrapper = next((key for key in WRAPPERS if isinstance(loaded.get(key), Mapping)), None)
        loaded = loaded[wrapper] if wrapper else loaded
    tensors = _tensors_of(loaded)
    if not tensors:
        raise AudioXError(f"{path} is not a checkpoint: it holds no tensors with names.")
    other = tuple(str(name) for name in loaded if name not in tensors)
    return tensors, wrapper, other, mapped


def _tensors_of(loaded: object) -> dict[str, torch.Tensor]:
    if not isinstance(loaded, Mapping):
        return {}
    return {
        name: value.detach()
        for name, value in loaded.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }


def _can_map(path: Path) -> bool:
    """True for torch's zip files with uncompressed data, False for pickles from before torch 1.6."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return False
    try:
        with zipfile.ZipFile(path) as archive:
            return all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
    except zipfile.BadZipFile as error:
        raise _truncated(path) from error
