"""The picture of an evaluation: spectrograms in a grid under their prompts, Base and Turbo side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from audiox_core.lengths import CLIP_SECONDS
from audiox_core.media.bitmap_font import GLYPH_HEIGHT, GLYPH_WIDTH, draw_text, wrapped
from audiox_core.media.spectrogram import spectrogram_picture

WIDTH, HEIGHT = 330, 120
"""Pixels of a spectrogram."""

GAP = 12
SCALE = 2
LINE = GLYPH_HEIGHT * SCALE
HEADER = 2 * LINE + 4
"""Room for two lines of prompt over the spectrograms; one line of verdict follows below them."""

CASES_A_ROW = 2
INK, GREY, GREEN, RED, TICK = (20, 20, 20), (120, 120, 120), (0, 120, 60), (190, 30, 30), (120, 240, 255)

Verdict = tuple[str, bool]
"""What was heard, in a few words, and whether it is right."""


@dataclass
class Shown:
    """A case: its prompt, per model a spectrogram and a verdict; kinds: sounds asked for; times: a film's events."""

    prompt: str
    kinds: int = 1
    times: tuple[float, ...] = ()
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    def add(self, name: str, sound: np.ndarray, verdict: Verdict) -> None:
        """What a model made of the prompt: a sound (2, samples)."""
        self.pictures[name] = with_events(spectrogram_picture(sound, WIDTH, HEIGHT), self.times)
        self.verdicts[name] = verdict


def grid(shown: Sequence[Shown]) -> np.ndarray:
    """The picture uint8 (H, W, 3) of some cases, two in a row."""
    cells = [cell(each) for each in shown]
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (-len(cells) % CASES_A_ROW)
    rows = [np.concatenate(cells[i : i + CASES_A_ROW], axis=1) for i in range(0, len(cells), CASES_A_ROW)]
    return np.concatenate(rows)


def cell(case: Shown) -> np.ndarray:
    """One case: the prompt, one spectrogram per model, and below each what was heard in it."""
    width = GAP + len(case.pictures) * (WIDTH + GAP)
    pixels = np.full((HEADER + HEIGHT + LINE + GAP, width, 3), 255, np.uint8)
    for i, line in enumerate(reversed(wrapped(case.prompt, width - 2 * GAP, 2, SCALE))):
        draw_text(pixels, GAP, HEADER - (i + 1) * LINE, line, INK, SCALE)
    for i, (name, picture) in enumerate(case.pictures.items()):
        x, y = GAP + i * (WIDTH + GAP), HEADER
        pixels[y : y + HEIGHT, x : x + WIDTH] = picture
        draw_verdict(pixels, x, y + HEIGHT + 2, f"{name.capitalize()}: ", case.verdicts[name])
    return pixels


def draw_verdict(pixels: np.ndarray, x: int, y: int, title: str, verdict: Verdict) -> None:
    """The model's name and what was heard, green where it is right."""
    words, right = verdict
    inset = len(title) * GLYPH_WIDTH * SCALE
    draw_text(pixels, x, y, title, GREY, SCALE)
    draw_text(pixels, x + inset, y, wrapped(words, WIDTH - inset, 1, SCALE)[0], GREEN if right else RED, SCALE)


def with_events(picture: np.ndarray, times: Sequence[float]) -> np.ndarray:
    """The spectrogram with a tick at the top for each event of the film, at its time in seconds."""
    for time in times:
        x = min(round(time / CLIP_SECONDS * (picture.shape[1] - 1)), picture.shape[1] - 1)
        picture[:14, max(0, x - 1) : x + 1] = TICK
    return picture


def chosen(shown: dict[str, Shown], films: int = 4, singles: int = 8, pairs: int = 4) -> list[Shown]:
    """A few cases of each sort, in the order in which they were asked, spread over all of them."""
    groups = {"single": [], "pair": [], "film": []}
    for case in shown.values():
        groups["film" if case.times else "pair" if case.kinds == 2 else "single"].append(case)
    return [
        case
        for group, count in zip(groups.values(), (singles, pairs, films), strict=True)
        for case in spread(group, count)
    ]


def spread(group: Sequence[Shown], count: int) -> list[Shown]:
    """`count` of a group, evenly spaced."""
    return [group[i * len(group) // count] for i in range(count)] if len(group) > count else list(group)
