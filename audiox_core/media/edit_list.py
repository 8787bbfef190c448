"""Shorten the edit lists of an mp4 or mov file to an exact length.

A muxer that copies packets cannot end a track between two pictures, or before a picture that others refer to.
The edit list can: it says how much of a track is shown.
"""

import math
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

CONTAINERS = (b"moov", b"trak", b"edts")


def limit_edits(path: Path, length: Fraction) -> None:
    """Let no track of an mp4 or mov file, nor the file, show more than `length` seconds.

    Changes numbers in place: the durations in movie header, track headers and edit lists (ISO/IEC 14496-12).
    """
    with open(path, "r+b") as file:
        atoms = list(_atoms(file, 0, path.stat().st_size))
        header = next(position for kind, position in atoms if kind == b"mvhd")
        version = _number(file, header, 1)
        scale = _number(file, header + (20 if version else 12), 4)
        limit = math.floor(length * scale + Fraction(1, 2))
        for kind, position in atoms:
            wide = _number(file, position, 1) == 1
            if kind == b"mvhd":
                _lower(file, position + (24 if wide else 16), wide, limit)
            elif kind == b"tkhd":
                _lower(file, position + (28 if wide else 20), wide, limit)
            else:
                _limit_edit_list(file, position, wide, limit)


def _limit_edit_list(file: BinaryIO, position: int, wide: bool, limit: int) -> None:
    for index in range(_number(file, position + 4, 4)):
        limit -= _lower(file, position + 8 + index * (20 if wide else 12), wide, max(limit, 0))


def _atoms(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    """(kind, position of the contents) of the headers and edit lists between two positions of the file."""
    while start + 8 <= end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        contents = start + 8
        if size == 1:
            size, contents = _number(file, contents, 8), start + 16
        elif size == 0:
            size = end - start
        if kind in CONTAINERS:
            yield from _atoms(file, contents, start + size)
        elif kind in (b"mvhd", b"tkhd", b"elst"):
            yield kind, contents
        start += size


def _number(file: BinaryIO, position: int, size: int) -> int:
    file.seek(position)
    return int.from_bytes(file.read(size), "big")


def _lower(file: BinaryIO, position: int, wide: bool, limit: int) -> int:
    """Lower a duration to `limit` and return the result."""
    size = 8 if wide else 4
    value = min(_number(file, position, size), limit)
    file.seek(position)
    file.write(value.to_bytes(size, "big"))
    return value
