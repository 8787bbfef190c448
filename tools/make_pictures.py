"""Draw the icon and the banner that the Registry shows: `python -m tools.make_pictures` writes them into docs/."""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image, ImageDraw

from audiox_core.measure.spectra import mel_levels
from audiox_core.media.drawing import draw_text, write_png
from audiox_core.media.spectrogram import coloured
from devtools.paths import ROOT

ICON_SIZE = 400
BANNER_SIZE = (720, 1680)
"""Height and width, 9 to 21."""

NIGHT, PAPER, FAINT = (14, 10, 30), (244, 240, 232), (168, 156, 190)
SMOOTH = 4
"""Pictures are drawn this many times as large and averaged, for smooth edges."""

SUBTITLE = "sound and music for text, video and audio"

BARS = (0.22, 0.46, 0.34, 0.72, 1.0, 0.62, 0.84, 0.4, 0.18)
"""Heights of the icon's bars: a sound that swells and dies away."""


def icon() -> Image.Image:
    """A waveform of rounded bars, 400 by 400 pixels; the louder, the brighter."""
    size = ICON_SIZE * SMOOTH
    y, x = np.mgrid[0:size, 0:size] / size
    pitch, half_width = 0.8 / len(BARS), 0.028
    glow = coloured(0.92 - 1.5 * np.abs(y - 0.5))
    pixels = np.full((size, size, 3), NIGHT, np.uint8)
    for number, height in enumerate(BARS):
        beside = x - (0.1 + pitch * (number + 0.5))
        beyond = np.maximum(np.abs(y - 0.5) - (0.37 * height - half_width), 0)  # the caps are half circles
        inside = np.hypot(beside, beyond) < half_width
        pixels[inside] = glow[inside]
    return Image.fromarray(pixels).reduce(SMOOTH)


def melody(seconds: float = 8.0, rate: int = 44100) -> np.ndarray:
    """A sound (1, samples) to look at: a siren that rises and falls, and plucks above it."""
    time = np.arange(round(seconds * rate)) / rate
    pitch = 320 + 260 * np.sin(2 * np.pi * time / seconds * 1.5 - 1.2)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    swell = np.sin(np.pi * time / seconds) ** 0.7
    sound = sum(np.sin(k * phase) / k**1.3 for k in range(1, 7)) * swell
    for number, start in enumerate(np.arange(0.6, seconds - 0.6, 0.8)):
        since = np.maximum(time - start, 0)
        pluck = np.exp(-6 * since) * np.sin(2 * np.pi * (2600 + 700 * (number * 3 % 5)) * since)
        sound += 0.6 * pluck * (time >= start)
    return sound[None].astype(np.float32)


def banner() -> Image.Image:
    """The name above a spectrogram in tiles, 1680 by 720 pixels."""
    height, width = BANNER_SIZE
    pixels = np.full((height, width, 3), NIGHT, np.uint8)
    tile, gap, left, top = 24, 4, 72, 312
    columns, rows = (width - 2 * left) // tile, (height - top - left) // tile
    levels = mel_levels(melody(), columns, rows)
    brightness = np.clip((levels - levels.max()) / 60 + 1, 0, 1)[::-1]
    for row, column in np.ndindex(rows, columns):
        colour = coloured(0.12 + 0.85 * brightness[row, column])
        y, x = top + row * tile, left + column * tile
        pixels[y : y + tile - gap, x : x + tile - gap] = colour
    picture = Image.fromarray(pixels)
    words = Image.new("RGB", (width * SMOOTH, top * SMOOTH), NIGHT)
    canvas = ImageDraw.Draw(words)
    for y, text, colour, size in ((56, "AudioX Native", PAPER, 128), (212, SUBTITLE, FAINT, 44)):
        draw_text(canvas, left * SMOOTH, y * SMOOTH, text, colour, size * SMOOTH)
    picture.paste(words.reduce(SMOOTH))
    return picture


def main() -> int:
    for name, picture in (("icon.png", icon()), ("banner.png", banner())):
        path = ROOT / "docs" / name
        write_png(path, picture)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
