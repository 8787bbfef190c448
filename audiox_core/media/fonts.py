"""Fonts for text in any script: Pillow's own, and where it lacks a character the fonts of the machine.

Pillow's own comes first so that English looks the same on every machine. It knows little beyond ASCII.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont

BUILT_IN = ""
"""Stands for the path of Pillow's own font."""

PREFERRED = (
    "dejavusans",
    "notosans-regular",
    "liberationsans-regular",
    "segoeui",
    "arial",
    "helvetica",
    "arial unicode",
    "notosanscjk-regular",
    "notosanssc-regular",
    "sourcehansans-regular",
    "wqy-microhei",
    "wqy-zenhei",
    "droidsansfallbackfull",
    "msyh",
    "simsun",
    "yugothm",
    "malgun",
    "pingfang",
    "hiragino sans gb",
    "applesdgothicneo",
)
"""Names of plain typefaces, the usual ones of each system: first for Latin, Greek and Cyrillic, then for Chinese,
Japanese and Korean. All other fonts come after them, by name."""

SUFFIXES = (".ttf", ".ttc", ".otf", ".otc")

UNUSABLE = ("lastresort",)
"""macOS's font that draws a box for every character."""

PROBE_SIZE = 24

NO_CHARACTER = "\U0010ffff"
"""No font has it: what a font draws for it, it draws for whatever it lacks."""

MISSING = "?"
"""Drawn for a character that no font has: it shows that there is something, which leaving it out would not."""

INVISIBLE = ("Mn", "Me", "Cf")
"""Unicode categories (marks, joiners, variation selectors) that are left out instead: alone they mean nothing."""


def font_folders() -> list[Path]:
    """Folders in which this system keeps fonts, whether they exist or not."""
    home = Path.home()
    if sys.platform == "win32":
        return [
            Path(os.environ.get("WINDIR", home), "Fonts"),
            Path(os.environ.get("LOCALAPPDATA", home), "Microsoft", "Windows", "Fonts"),
        ]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library" / "Fonts"]
    data = [os.environ.get("XDG_DATA_HOME") or str(home / ".local" / "share")]
    data += (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
    return [home / ".fonts", *(Path(folder, "fonts") for folder in data)]


@lru_cache(maxsize=1)
def font_paths() -> tuple[str, ...]:
    """All fonts in the order in which they are tried: Pillow's own, the preferred ones, the others."""
    paths = [
        Path(folder, name)
        for top in font_folders()
        for folder, _, names in os.walk(top)
        for name in names
        if name.lower().endswith(SUFFIXES)
    ]

    def rank(path: Path) -> tuple[int, str]:
        name = path.stem.lower()
        return PREFERRED.index(name) if name in PREFERRED else len(PREFERRED), path.name

    usable = [path for path in paths if not path.stem.lower().startswith(UNUSABLE)]
    return (BUILT_IN, *map(str, sorted(usable, key=rank)))


@lru_cache(maxsize=64)
def load_font(path: str, size: int) -> Font | None:
    """The font of a path in `font_paths`; None where it has no outlines of that size (some emoji) or is damaged."""
    try:
        font = ImageFont.truetype(path, size) if path else ImageFont.load_default(size)
    except OSError:
        return None
    return font if isinstance(font, Font) else None


@lru_cache(maxsize=4096)
def has_glyph(path: str, character: str) -> bool:
    """Does the font draw this character, and not the box or the blank that it draws for all it lacks?"""
    font = load_font(path, PROBE_SIZE)
    if font is None:
        return False
    drawn, lacking = font.getmask(character), font.getmask(NO_CHARACTER)
    return (drawn.size, bytes(drawn)) != (lacking.size, bytes(lacking))


@lru_cache(maxsize=4096)
def path_for(character: str) -> str | None:
    """The first font with this character, or None."""
    if unicodedata.category(character) in ("Cc", "Cs"):  # a lone surrogate cannot even be asked for
        return None
    return next((path for path in font_paths() if has_glyph(path, character)), None)


def drawable(text: str) -> str:
    """The text in characters that a font of this machine has, on one line.

    An accented letter falls back on the letter; other characters that no font has become `MISSING`.
    """
    return "".join(_substitute(character) for character in " ".join(unicodedata.normalize("NFC", text).split()))


def _substitute(character: str) -> str:
    if character == " " or path_for(character) is not None:
        return character
    if unicodedata.category(character) in INVISIBLE:
        return ""
    base = unicodedata.normalize("NFKD", character)[0]
    return base if base != character and path_for(base) is not None else MISSING


def runs(text: str, size: int) -> Iterator[tuple[Font, str]]:
    """A `drawable` text in stretches of one font each: a single one where one of the fonts has all the characters."""
    paths = {character: path_for(character) or BUILT_IN for character in text if character != " "}
    order = sorted(set(paths.values()), key=font_paths().index, reverse=True)
    whole = next((path for path in order if all(has_glyph(path, character) for character in paths)), None)
    current, stretch = whole or BUILT_IN, ""
    for character in text:
        path = whole or paths.get(character, current)
        if path != current and stretch:
            yield _loaded(current, size), stretch
            stretch = ""
        current, stretch = path, stretch + character
    if stretch:
        yield _loaded(current, size), stretch


def _loaded(path: str, size: int) -> Font:
    font = load_font(path, size)
    assert font is not None  # it has glyphs
    return font
