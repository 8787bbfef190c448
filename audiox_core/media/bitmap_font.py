"""Text and lines on pixels: a small fixed-width font for ASCII, so that pictures need no other library."""

from __future__ import annotations

import textwrap

import numpy as np

GLYPH_WIDTH, GLYPH_HEIGHT = 6, 10
"""Pixels that a character takes at scale 1, with the gaps to the next one."""

ROWS = {
    " ": "0000000",
    "!": "4444004",
    '"': "AAA0000",
    "#": "AAVAVAA",
    "$": "4FKE5U4",
    "%": "OP248J3",
    "&": "CIK8LID",
    "'": "C480000",
    "(": "2488842",
    ")": "8422248",
    "*": "04LEL40",
    "+": "044V440",
    ",": "0000C48",
    "-": "000V000",
    ".": "00000CC",
    "/": "01248G0",
    "0": "EHJLPHE",
    "1": "4C4444E",
    "2": "EH1248V",
    "3": "V2421HE",
    "4": "26AIV22",
    "5": "VGU11HE",
    "6": "68GUHHE",
    "7": "V124888",
    "8": "EHHEHHE",
    "9": "EHHF12C",
    ":": "0CC0CC0",
    ";": "0CC0C48",
    "<": "248G842",
    "=": "00V0V00",
    ">": "8421248",
    "?": "EH12404",
    "@": "EH1DLLE",
    "A": "EHHVHHH",
    "B": "UHHUHHU",
    "C": "EHGGGHE",
    "D": "UHHHHHU",
    "E": "VGGUGGV",
    "F": "VGGUGGG",
    "G": "EHGNHHF",
    "H": "HHHVHHH",
    "I": "E44444E",
    "J": "72222IC",
    "K": "HIKOKIH",
    "L": "GGGGGGV",
    "M": "HRLLHHH",
    "N": "HHPLJHH",
    "O": "EHHHHHE",
    "P": "UHHUGGG",
    "Q": "EHHHLID",
    "R": "UHHUKIH",
    "S": "FGGE11U",
    "T": "V444444",
    "U": "HHHHHHE",
    "V": "HHHHHA4",
    "W": "HHHLLLA",
    "X": "HHA4AHH",
    "Y": "HHHA444",
    "Z": "V1248GV",
    "[": "E88888E",
    "\\": "0G84210",
    "]": "E22222E",
    "^": "4AH0000",
    "_": "000000V",
    "`": "8420000",
    "a": "00E1FHF",
    "b": "GGMPHHU",
    "c": "00EGGHE",
    "d": "11DJHHF",
    "e": "00EHVGE",
    "f": "698S888",
    "g": "00FHHF1E",
    "h": "GGMPHHH",
    "i": "40C444E",
    "j": "206222IC",
    "k": "GGIKOKI",
    "l": "C44444E",
    "m": "00QLLHH",
    "n": "00MPHHH",
    "o": "00EHHHE",
    "p": "00UHHUGG",
    "q": "00FHHF11",
    "r": "00MPGGG",
    "s": "00EGE1U",
    "t": "88S8896",
    "u": "00HHHJD",
    "v": "00HHHA4",
    "w": "00HHLLA",
    "x": "00HA4AH",
    "y": "00HHHF1E",
    "z": "00V248V",
    "{": "2448442",
    "|": "4444444",
    "}": "8442448",
    "~": "008L200",
}
"""Rows of five pixels for each character, each row a digit to the base of 32, highest bit on the left; seven rows,
and an eighth for what reaches below the line."""

UNKNOWN = "VHHHHHV"
"""A box for a character that is not there."""

Colour = tuple[int, int, int]


def text_mask(text: str, scale: int = 1) -> np.ndarray:
    """Pixels that one line of text sets, bool (GLYPH_HEIGHT * scale, GLYPH_WIDTH * scale * len(text))."""
    mask = np.zeros((GLYPH_HEIGHT, GLYPH_WIDTH * len(text)), bool)
    for place, letter in enumerate(text):
        for row, digit in enumerate(ROWS.get(letter, UNKNOWN)):
            bits = int(digit, 32)
            mask[row + 1, place * GLYPH_WIDTH : place * GLYPH_WIDTH + 5] = [bits >> (4 - i) & 1 for i in range(5)]
    return mask.repeat(scale, axis=0).repeat(scale, axis=1)


def draw_text(pixels: np.ndarray, x: int, y: int, text: str, colour: Colour, scale: int = 1) -> None:
    """Write one line with its top left corner at (x, y) on uint8 (H, W, 3); what sticks out is cut off."""
    target = pixels[y:, x:]
    mask = text_mask(text, scale)[: target.shape[0], : target.shape[1]]
    target[: mask.shape[0], : mask.shape[1]][mask] = colour


def wrapped(text: str, width: int, lines: int, scale: int = 1) -> list[str]:
    """The text in at most `lines` lines that fit `width` pixels, with .. where something is left out."""
    columns = max(3, width // (GLYPH_WIDTH * scale))
    return textwrap.wrap(text, columns, max_lines=lines, placeholder=" ..") or [""]
