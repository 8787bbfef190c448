"""The curves of all stages as one picture: `python -m training.curves RUN_FOLDER PICTURE.png`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from audiox_core.media.bitmap_font import draw_text
from audiox_core.media.png import write_png

from .state import curve

WIDTH, HEIGHT, MARGIN = 360, 220, 34
PAPER, INK, FAINT = (250, 250, 247), (40, 40, 40), (215, 215, 210)
COLOURS = ((40, 90, 200), (210, 90, 40), (40, 150, 90), (150, 80, 170))


def panel(name: str, entries: list[dict[str, float]]) -> np.ndarray:
    """One stage: every logged value over the steps, on a logarithmic scale, uint8 (HEIGHT, WIDTH, 3)."""
    pixels = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    names = [key for key in entries[0] if key not in ("step", "seconds")]
    values = np.array([[max(entry[key], 1e-4) for key in names] for entry in entries])
    low, high = np.log10(values.min()), np.log10(values.max())
    inner_width, inner_height = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN

    def row(value: float) -> int:
        return MARGIN + round((high - np.log10(value)) / max(high - low, 1e-6) * (inner_height - 1))

    for place in (values.min(), values.max()):
        pixels[row(place), MARGIN:-MARGIN] = FAINT
        draw_text(pixels, 2, row(place) - 4, f"{place:.3g}", INK)
    columns = np.linspace(MARGIN, WIDTH - MARGIN - 1, inner_width).astype(int)
    for number, key in enumerate(names):
        resampled = np.interp(np.linspace(0, len(entries) - 1, inner_width), np.arange(len(entries)), values[:, number])
        rows = [row(value) for value in resampled]
        for column, top, bottom in zip(columns[1:], rows[:-1], rows[1:], strict=True):
            pixels[min(top, bottom) : max(top, bottom) + 2, column] = COLOURS[number % len(COLOURS)]
        draw_text(pixels, WIDTH - MARGIN - 60, MARGIN + 12 * number, key, COLOURS[number % len(COLOURS)])
    draw_text(pixels, MARGIN, 8, f"{name}: {entries[-1]['step']} steps", INK)
    return pixels


def picture(folder: Path) -> np.ndarray:
    """All stages of a run, three in a row."""
    order = ("vae", "words", "clip", "sync", "base", "polish", "turbo_1.5", "turbo_3")
    panels = [panel(n, list(curve(folder / f"{n}.jsonl"))) for n in order if (folder / f"{n}.jsonl").exists()]
    blank = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    panels += [blank] * (-len(panels) % 3)
    return np.concatenate([np.concatenate(panels[i : i + 3], axis=1) for i in range(0, len(panels), 3)])


if __name__ == "__main__":
    write_png(sys.argv[2], picture(Path(sys.argv[1])))
