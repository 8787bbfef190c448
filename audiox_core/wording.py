"""How names from files are shown in sentences."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST_NAME = 240
"""Characters of a name that are shown; names in damaged files can have any length."""


def shown(name: str) -> str:
    """A name from a file on one line: shortened, and with signs that cannot be printed escaped."""
    name = name if name.isprintable() else ascii(name)[1:-1]
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"


def first_few(names: Iterable[str], shown_names: int = 3) -> str:
    """The first few of a list, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - shown_names} more" if len(names) > shown_names else ""
    return ", ".join(map(shown, names[:shown_names])) + more


def in_mid_sentence(sentence: str) -> str:
    """A sentence with a small first letter."""
    return sentence[:1].lower() + sentence[1:]
