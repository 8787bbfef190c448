"""Text on pictures, and pictures as PNG files with the workflow in them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping

from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from .files import written_whole
from .fonts import drawable, runs

Colour = tuple[int, int, int]

ELLIPSIS = "…"

LONGEST_NOTE_NAME = 79
"""Characters that PNG allows in the name of a text."""


def line_height(size: int) -> int:
    """Pixels from one line of text to the next."""
    return round(1.3 * size)


def text_width(text: str, size: int) -> int:
    """Pixels that a line of text takes, rounded up."""
    return -int(-sum(font.getlength(stretch) for font, stretch in runs(drawable(text), size)) // 1)


def draw_text(canvas: ImageDraw.ImageDraw, x: int, y: int, text: str, colour: Colour, size: int) -> None:
    """Write one line, with its top left corner at (x, y), in whatever fonts its characters need."""
    position = float(x)
    for font, stretch in runs(drawable(text), size):
        canvas.text((position, y + size), stretch, colour, font, anchor="ls")  # one baseline for all fonts
        position += font.getlength(stretch)


def wrap_text(text: str, width: int, lines: int, size: int) -> list[str]:
    """The text in at most `lines` lines that fit `width` pixels; an ellipsis ends it where something is left out."""
    wrapped = [""]
    for word in _words(drawable(text)):
        if not wrapped[-1] or text_width(wrapped[-1] + word, size) <= width:
            wrapped[-1] += word
        else:
            wrapped.append(word.lstrip())
        while len(fitting := _fitting(wrapped[-1], width, size)) < len(wrapped[-1]):  # a word wider than a line
            wrapped[-1:] = [fitting, wrapped[-1][len(fitting) :]]
        if len(wrapped) > lines:
            last = wrapped[lines - 1]
            while last and text_width(last + ELLIPSIS, size) > width:
                last = last[:-1]
            return [*wrapped[: lines - 1], last.rstrip() + ELLIPSIS]
    return wrapped


def _fitting(text: str, width: int, size: int) -> str:
    """As much of the text as fits, but at least one character."""
    while len(text) > 1 and text_width(text, size) > width:
        text = text[:-1]
    return text


def _words(text: str) -> Iterator[str]:
    """Stretches that lines are broken between, each with the space before it; Chinese breaks at every character."""
    word = ""
    for character in text:
        if word.strip() and (character == " " or _is_wide(character) or _is_wide(word[-1])):
            yield word
            word = ""
        word += character
    if word:
        yield word


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in ("W", "F")


def write_png(path: str | os.PathLike, picture: Image.Image, notes: Mapping[str, str] | None = None) -> None:
    """Write a picture as PNG, whole or not at all.

    Args:
        notes: texts to store in the file by name, where ComfyUI looks for a workflow: tEXt, or iTXt beyond Latin-1.
            PNG allows names of 79 characters of Latin-1; others become escapes.

    Raises:
        AudioXError: no folder to write into.
    """
    info = PngInfo()
    for name, text in (notes or {}).items():
        info.add_text(name.encode("latin-1", "backslashreplace").decode("latin-1")[:LONGEST_NOTE_NAME], text)
    with written_whole(path) as temporary:
        picture.save(temporary, "png", pnginfo=info)
