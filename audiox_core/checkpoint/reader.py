"""One file of tensors, opened safely: names, shapes and types at once, values one at a time from the file.

The safetensors package is not used here: it keeps every page that was read mapped and in memory until the whole file is
closed, while a conversion has to release each tensor as soon as it is written.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch

from ..errors import AudioXError
from .mmap import release_pages
from .pickles import MAX_INDEX_BYTES, MAX_TENSORS, load_pickle, truncated

SUFFIXES = (".safetensors", ".ckpt", ".pth", ".pt", ".bin")
"""Suffixes of files that can hold tensors."""

MAX_DIMENSION = 2**40
"""Longest side of a tensor that a header may claim."""

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
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
    wrapper: the keys around the tensors of a pickle, None if they are at the top level.
    other: names of entries that aren't tensors; left_out: types of objects that were not rebuilt.

    Raises:
        AudioXError: the file is missing, truncated, unsafe, or not a file of tensors.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.metadata: dict[str, str] = {}
        self.wrapper: str | None = None
        self.other: tuple[str, ...] = ()
        self.left_out: tuple[str, ...] = ()
        if not self.path.is_file():
            problem = "is a folder" if self.path.is_dir() else "does not exist"
            raise AudioXError(f"{self.path} {problem}; give the path of a checkpoint file.")
        self.is_pickle = _is_pickle(self.path)
        if self.is_pickle:
            pickled = load_pickle(self.path)
            self.wrapper, self.other, self.left_out = pickled.wrapper, pickled.other, pickled.left_out
            self.shapes = {name: tuple(tensor.shape) for name, tensor in pickled.tensors.items()}
            self.dtypes = {name: tensor.dtype for name, tensor in pickled.tensors.items()}
        else:
            header, self.metadata, self._data_start = _read_header(self.path)
            self.shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
            self.dtypes = {name: _DTYPES[entry["dtype"]] for name, entry in header.items()}
            self._starts = {name: entry["data_offsets"][0] for name, entry in header.items()}

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files on disk that the tensors are in."""
        return (self.path,)

    def open(self) -> OpenTensors:
        """A new memory map of the file, to read values from.

        Tensors from earlier maps belong to their owners: changes to them are not seen here.
        """
        if self.is_pickle:
            pickled = load_pickle(self.path)
            return OpenTensors(pickled.tensors, pickled.mapped)
        size = self.path.stat().st_size
        try:
            storage = cast("torch.UntypedStorage", torch.UntypedStorage.from_file(str(self.path), False, size))
        except RuntimeError as error:
            raise AudioXError(f"Get {self.path} again: its {size} bytes cannot be mapped into memory.") from error
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
    # A header's length may begin with the first bytes of a pickle, so this comes first.
    if len(start) >= 9 and start[8:9] == b"{" and struct.unpack("<Q", start[:8])[0] <= MAX_INDEX_BYTES:
        return False
    if start.startswith((b"PK", b"\x80")):
        return True
    raise AudioXError(f"{path} is not a checkpoint: it is neither a safetensors file nor a file written by torch.save.")


def _read_header(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, str], int]:
    """Entries, metadata and the position at which the data of a safetensors file starts."""
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        text = file.read(length)
    if len(text) < length:
        raise truncated(path)
    try:
        header = json.loads(text)
        metadata = header.pop("__metadata__", {})
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        consistent = all(_fits(entry) for entry in header.values())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise AudioXError(f"{path} has an unreadable safetensors header; get the file again.") from error
    if len(header) > MAX_TENSORS:
        raise AudioXError(f"{path} holds {len(header)} tensors, more than any AudioX checkpoint ({MAX_TENSORS}).")
    if not consistent:
        raise AudioXError(f"{path} has a safetensors header that contradicts itself; get the file again.")
    if size < 8 + length + end:
        raise truncated(path)
    return header, _texts(metadata), 8 + length


def _texts(metadata: object) -> dict[str, str]:
    """The entries of a header's metadata that the format allows: texts."""
    if not isinstance(metadata, Mapping):
        return {}
    return {key: value for key, value in metadata.items() if isinstance(value, str)}


def _fits(entry: Mapping[str, Any]) -> bool:
    """Is a header entry's range as long as its type and shape need?"""
    start, end = entry["data_offsets"]
    if not all(type(number) is int for number in (start, end, *entry["shape"])):
        return False
    if not all(0 <= side < MAX_DIMENSION for side in entry["shape"]):
        return False
    return 0 <= start <= end and end - start == math.prod(entry["shape"]) * _DTYPES[entry["dtype"]].itemsize
