"""Writes a safetensors file one tensor at a time.

The safetensors package is not used here: it takes all tensors at once, so that the whole model would be in memory.
"""

from __future__ import annotations

import errno
import json
import math
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..disk import temporary_path
from ..errors import AudioXError
from ..progress import Counter, Progress, no_progress
from ..release.files import gigabytes
from .reader import DTYPE_NAMES
from .transforms import Shape

ALIGNMENT = 64
"""Bytes. Mapped tensors that are aligned like newly allocated ones give the same rounding in matrix products."""


@dataclass(frozen=True)
class Entry:
    """A tensor to write. make: returns it; done: is given it again once it is written."""

    name: str
    shape: Shape
    dtype: torch.dtype
    make: Callable[[], torch.Tensor]
    done: Callable[[torch.Tensor], None]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def write_safetensors(
    path: Path,
    entries: Sequence[Entry],
    metadata: Mapping[str, str],
    progress: Progress = no_progress,
) -> None:
    """Write the entries to a file beside `path`, then move it there in one step.

    Tensors whose size is a multiple of the alignment come first, so all of these are aligned. progress("convert", bytes
    written, bytes in all) is called at the start and after each tensor.

    Raises:
        AudioXError: the disk became full.
    """
    ordered = sorted(entries, key=lambda entry: (entry.bytes % ALIGNMENT != 0, -entry.dtype.itemsize))
    counter = Counter(progress, "convert", sum(entry.bytes for entry in ordered))
    partial = temporary_path(path).with_suffix(".partial")  # not one of a checkpoint's, which would be listed
    try:
        with partial.open("wb") as file:
            file.write(_header(ordered, metadata))
            for entry in ordered:
                tensor = entry.make()
                file.write(_bytes(entry, tensor))
                entry.done(tensor)
                counter(entry.bytes)
        os.replace(partial, path)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise AudioXError(
            f"The disk became full while {path} was written, which needs {gigabytes(counter.total)}; make room, or "
            "write it to another disk."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _header(entries: Sequence[Entry], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    position = 0
    for entry in entries:
        offsets = [position, position + entry.bytes]
        header[entry.name] = {
            "dtype": DTYPE_NAMES[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": offsets,
        }
        position = offsets[1]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % ALIGNMENT)  # 8 bytes of length come first
    return struct.pack("<Q", len(text)) + text


def _bytes(entry: Entry, tensor: torch.Tensor) -> memoryview:
    if tuple(tensor.shape) != entry.shape or tensor.dtype != entry.dtype:
        actual = f"{tensor.dtype} {tuple(tensor.shape)}"
        raise ValueError(f"{entry.name} was announced as {entry.dtype} {entry.shape}, but is {actual}.")
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data
