"""Reads every byte of a model's files and says what is wrong with them: for files that were downloaded by hand."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import AudioXError
from ..progress import Counter, Progress, Report, no_progress
from ..release.files import KNOWN_CONTENT, RELEASES
from .convert import recorded_sha256, sha256
from .reader import TensorFile

RELEASED = {
    **{size: checksum.removeprefix("sha256:") for size, checksum in KNOWN_CONTENT.values()},
    **{file.size: file.sha256 for release in RELEASES.values() for file in release.files if file.sha256},
}
"""Exact sizes of released files -> SHA-256."""

BLOCK = 2**14
"""Numbers in a row that are never all zero in trained weights: 64 KiB in float32, a run that a failing disk leaves."""

CHUNK = 2**22
"""Numbers, or four times as many bytes, that are looked at in one go: a multiple of BLOCK."""

NAMED = 3
"""How many damaged tensors are named."""


@dataclass
class Verified:
    """What reading a file has shown. expected: the checksum that its record or its size calls for, None if none."""

    path: Path
    bytes: int
    sha256: str
    expected: str | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def is_released(self) -> bool:
        """Whether it is, bit by bit, the file that was released or downloaded."""
        return self.sha256 == self.expected

    def describe(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "path": str(self.path),
            "bytes": self.bytes,
            "sha256": self.sha256,
            "expected_sha256": self.expected,
            "problems": self.problems,
        }


def verify(paths: Iterable[Path], progress: Progress = no_progress) -> list[Verified]:
    """Read files in full. Where the checksum is the expected one, that is all; else their contents are looked at.

    A pickle's archive carries checksums, which are compared; weights that are not finite, or zero over a long stretch,
    are a sign of damage. The stages of progress are "hash" and "verify".
    """
    return [_verify(path, progress) for path in paths]


def _verify(path: Path, progress: Progress) -> Verified:
    size = path.stat().st_size
    checksum = sha256(path, Counter(progress, "hash", size))
    verified = Verified(path, size, checksum, recorded_sha256(path) or RELEASED.get(size))
    if verified.is_released:
        return verified
    if verified.expected:
        verified.problems.append("its checksum is not that of the released file")
    try:
        file = TensorFile(path)
    except AudioXError as error:
        verified.problems.append(str(error))
        return verified
    is_archive = zipfile.is_zipfile(path)
    numbers = sum(map(file.bytes_of, file.shapes))
    counter = Counter(progress, "verify", numbers + (size if is_archive else 0))
    if is_archive:
        verified.problems += _archive_problems(path, counter)
    verified.problems += _tensor_problems(file, counter)
    return verified


def _archive_problems(path: Path, report: Report) -> list[str]:
    """The entries of a zip file whose contents are not what their own checksums say."""
    damaged = []
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            try:
                with archive.open(entry) as content:
                    while chunk := content.read(4 * CHUNK):
                        report(len(chunk))
            except zipfile.BadZipFile:
                damaged.append(entry.filename)
    return [f"damaged: the archive's own checksum fails for {_first(damaged)}"] if damaged else []


def _tensor_problems(file: TensorFile, report: Report) -> list[str]:
    """Tensors with numbers that trained weights do not have."""
    opened = file.open()
    infinite, zero = [], []
    for name in file.shapes:
        tensor = opened.read(name)
        if tensor.dtype.is_floating_point and tensor.is_contiguous():
            if not all(map(_is_finite, tensor.view(-1).split(CHUNK))):
                infinite.append(name)
            elif not all(map(_has_no_gap, tensor.view(-1).split(CHUNK))):
                zero.append(name)
        opened.done(tensor)
        report(file.bytes_of(name))
    problems = []
    if infinite:
        problems.append(f"numbers that are not finite (NaN or infinite) in {_first(infinite)}")
    if zero:
        problems.append(f"nothing but zeros over a long stretch of {_first(zero)}")
    return problems


def _is_finite(numbers: torch.Tensor) -> bool:
    return bool(torch.isfinite(numbers if numbers.dtype.itemsize > 1 else numbers.float()).all())


def _has_no_gap(numbers: torch.Tensor) -> bool:
    """Whether every whole block of numbers (n,) holds one that isn't zero."""
    whole = len(numbers) // BLOCK * BLOCK
    return bool((numbers[:whole].view(-1, BLOCK) != 0).any(dim=1).all())


def _first(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
