"""Shortening the edit lists of an mp4 or mov file to an exact length.

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
        header = next(place for kind, place in atoms if kind == b"mvhd")
        version = _number(file, header, 1)
        scale = _number(file, header + (20 if version else 12), 4)
        limit = math.floor(length * scale + Fraction(1, 2))
        for kind, place in atoms:
            wide = _number(file, place, 1) == 1
            if kind == b"mvhd":
                _lower(file, place + (24 if wide else 16), wide, limit)
            elif kind == b"tkhd":
                _lower(file, place + (28 if wide else 20), wide, limit)
            else:
                _limit_edit_list(file, place, wide, limit)


def _limit_edit_list(file: BinaryIO, place: int, wide: bool, limit: int) -> None:
    for index in range(_number(file, place + 4, 4)):
        limit -= _lower(file, place + 8 + index * (20 if wide else 12), wide, max(limit, 0))


def _atoms(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    """(kind, place of the contents) of the headers and edit lists between two places of the file."""
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


def _number(file: BinaryIO, place: int, size: int) -> int:
    file.seek(place)
    return int.from_bytes(file.read(size), "big")


def _lower(file: BinaryIO, place: int, wide: bool, limit: int) -> int:
    """Lower a duration to `limit`; returns what it is then."""
    size = 8 if wide else 4
    value = min(_number(file, place, size), limit)
    file.seek(place)
    file.write(value.to_bytes(size, "big"))
    return value
