"""The picture of an evaluation: spectrograms in a grid under their prompts, Base and Turbo side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from audiox_core.lengths import CLIP_SECONDS
from audiox_core.media.drawing import draw_text, line_height, text_width, wrap_text
from audiox_core.media.spectrogram import spectrogram_picture

WIDTH, HEIGHT = 330, 120
"""Pixels of a spectrogram."""

GAP = 12
TEXT_SIZE = 16
LINE = line_height(TEXT_SIZE)
HEADER = 2 * LINE + 4
"""Two lines of prompt above the spectrograms; one line of verdict follows below them."""

CASES_A_ROW = 2
WHITE, INK, GREY, GREEN, RED, TICK = (
    (255, 255, 255),
    (20, 20, 20),
    (120, 120, 120),
    (0, 120, 60),
    (190, 30, 30),
    (120, 240, 255),
)

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


def grid(shown: Sequence[Shown]) -> Image.Image:
    """The picture of some cases, two in a row."""
    cells = [cell(each) for each in shown]
    width, height = cells[0].size
    rows = -(-len(cells) // CASES_A_ROW)
    sheet = Image.new("RGB", (width * CASES_A_ROW, height * rows), WHITE)
    for i, each in enumerate(cells):
        sheet.paste(each, (i % CASES_A_ROW * width, i // CASES_A_ROW * height))
    return sheet


def cell(case: Shown) -> Image.Image:
    """One case: the prompt, one spectrogram per model, and below each what was heard in it."""
    width = GAP + len(case.pictures) * (WIDTH + GAP)
    picture = Image.new("RGB", (width, HEADER + HEIGHT + LINE + GAP), WHITE)
    canvas = ImageDraw.Draw(picture)
    for i, line in enumerate(reversed(wrap_text(case.prompt, width - 2 * GAP, 2, TEXT_SIZE))):
        draw_text(canvas, GAP, HEADER - (i + 1) * LINE, line, INK, TEXT_SIZE)
    for i, (name, spectrogram) in enumerate(case.pictures.items()):
        x, y = GAP + i * (WIDTH + GAP), HEADER
        picture.paste(Image.fromarray(spectrogram), (x, y))
        draw_verdict(canvas, x, y + HEIGHT + 2, f"{name.capitalize()}:", case.verdicts[name])
    return picture


def draw_verdict(canvas: ImageDraw.ImageDraw, x: int, y: int, title: str, verdict: Verdict) -> None:
    """The model's name and what was heard, green where it is right."""
    words, right = verdict
    inset = text_width(title, TEXT_SIZE) + GAP // 2
    draw_text(canvas, x, y, title, GREY, TEXT_SIZE)
    line = wrap_text(words, WIDTH - inset, 1, TEXT_SIZE)[0]
    draw_text(canvas, x + inset, y, line, GREEN if right else RED, TEXT_SIZE)


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
