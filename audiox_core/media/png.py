"""PNG files from pixels, with nothing but the standard library."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping

import numpy as np

from ..errors import AudioXError
from .files import written_whole

SIGNATURE = b"\x89PNG\r\n\x1a\n"
UP = 2
"""Row filter: each byte as the difference from the one above it, which packs spectrograms well."""


def png_bytes(pixels: np.ndarray, text: Mapping[str, str] | None = None) -> bytes:
    """A PNG file's content for uint8 (H, W, 3) red, green, blue.

    Args:
        text: notes kept in the file, each a tEXt chunk of its name; ASCII, as `json.dumps` writes it.

    Raises:
        AudioXError: another shape or type.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise AudioXError(
            f"The picture is {pixels.dtype} of shape {tuple(pixels.shape)}, expected uint8 (height, width, 3)."
        )
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, width * 3)
    above = np.concatenate((np.zeros_like(rows[:1]), rows[:-1]))
    lines = np.concatenate((np.full((height, 1), UP, np.uint8), rows - above), axis=1)  # wraps around, as PNG asks
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB, not interlaced
    notes = [chunk(b"tEXt", f"{key}\0{value}".encode("ascii")) for key, value in (text or {}).items()]
    content = zlib.compress(lines.tobytes(), 6)
    return b"".join([SIGNATURE, chunk(b"IHDR", header), *notes, chunk(b"IDAT", content), chunk(b"IEND", b"")])


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_png(path: str | os.PathLike, pixels: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write uint8 (H, W, 3) as a PNG with the notes of `png_bytes`, whole or not at all.

    Raises:
        AudioXError: pixels of another shape or type, or no folder to write into.
    """
    content = png_bytes(pixels, text)
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
