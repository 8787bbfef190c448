"""The curves of all stages as one picture: `python -m training.curves RUN_FOLDER PICTURE.png`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from audiox_core.media.drawing import draw_text, line_height, write_png

from .state import curve

WIDTH, HEIGHT, MARGIN = 360, 220, 40
TEXT_SIZE = 11
PANELS_A_ROW = 3
PAPER, INK, FAINT = (250, 250, 247), (40, 40, 40), (215, 215, 210)
COLOURS = ((40, 90, 200), (210, 90, 40), (40, 150, 90), (150, 80, 170))


def panel(name: str, entries: list[dict[str, float]]) -> Image.Image:
    """One stage: every logged value over the steps, on a logarithmic scale."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    canvas = ImageDraw.Draw(picture)
    names = [key for key in entries[0] if key not in ("step", "seconds")]
    values = np.array([[max(entry[key], 1e-4) for key in names] for entry in entries])
    low, high = np.log10(values.min()), np.log10(values.max())
    columns = np.linspace(MARGIN, WIDTH - MARGIN - 1, len(entries))

    def row(value: float) -> float:
        return MARGIN + (high - np.log10(value)) / max(high - low, 1e-6) * (HEIGHT - 2 * MARGIN - 1)

    for value in (values.min(), values.max()):
        canvas.line((MARGIN, row(value), WIDTH - MARGIN, row(value)), FAINT)
        draw_text(canvas, 2, round(row(value)) - TEXT_SIZE // 2, f"{value:.3g}", INK, TEXT_SIZE)
    for number, key in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        canvas.line([(x, row(y)) for x, y in zip(columns, values[:, number], strict=True)], colour, width=2)
        draw_text(canvas, WIDTH - MARGIN - 60, MARGIN + line_height(TEXT_SIZE) * number, key, colour, TEXT_SIZE)
    draw_text(canvas, MARGIN, 8, f"{name}: {entries[-1]['step']} steps", INK, TEXT_SIZE)
    return picture


def picture(folder: Path) -> Image.Image:
    """All stages of a run, three in a row."""
    order = ("vae", "words", "clip", "sync", "base", "polish", "turbo_1.5", "turbo_3")
    panels = [panel(n, list(curve(folder / f"{n}.jsonl"))) for n in order if (folder / f"{n}.jsonl").exists()]
    rows = -(-len(panels) // PANELS_A_ROW)
    sheet = Image.new("RGB", (WIDTH * PANELS_A_ROW, HEIGHT * rows), PAPER)
    for number, each in enumerate(panels):
        sheet.paste(each, (number % PANELS_A_ROW * WIDTH, number // PANELS_A_ROW * HEIGHT))
    return sheet


if __name__ == "__main__":
    write_png(sys.argv[2], picture(Path(sys.argv[1])))
