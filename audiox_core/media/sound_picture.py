"""A sound at a glance: words, waveform and spectrogram with their axes in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ..lengths import SAMPLE_RATE
from ..measure.levels import as_sound
from ..measure.spectra import HIGHEST_HERTZ, LOWEST_HERTZ, mel
from .drawing import draw_text, line_height, text_width, wrap_text
from .spectrogram import spectrogram_picture

WIDTH = 800
MARGIN, LEFT = 12, 52
"""Pixels around everything, and left of the plots, where the frequencies stand."""

PLOT = WIDTH - LEFT - MARGIN
WAVE_HEIGHT, SPECTROGRAM_HEIGHT = 48, 200
"""Pixels of one channel's waveform, and of the spectrogram."""

TEXT_SIZE, LABEL_SIZE = 18, 15
LINE, LABEL_LINE = line_height(TEXT_SIZE), line_height(LABEL_SIZE)
TITLE_LINES, FACT_LINES = 3, 2
GAP = 6

GROUND, PLOT_GROUND, INK, GREY = (24, 24, 27), (4, 4, 18), (236, 236, 236), (150, 150, 158)
WAVE, CLIPPED = (249, 140, 10), (255, 80, 80)
HERTZ = {100: "100", 500: "500", 1000: "1k", 2000: "2k", 5000: "5k", 10000: "10k"}
SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
MOST_TICKS = 12


def sound_picture(
    sound: Any, sample_rate: int = SAMPLE_RATE, *, title: str = "", facts: Sequence[str] = ()
) -> Image.Image:
    """A picture 800 pixels wide of a sound (channels, samples): title, facts, waveforms, spectrogram.

    A column of a waveform is red where the sound exceeds full scale. The picture grows with the lines of its words and
    with the channels, of which two are drawn as waveforms.

    Args:
        sound: an array, or a tensor on the CPU.

    Raises:
        AudioXError: not (channels, samples), or no samples.
    """
    sound = as_sound(sound)
    words = [(line, INK) for line in wrapped(title, TITLE_LINES)]
    words += [(line, GREY) for line in wrapped(", ".join(facts), FACT_LINES)]
    plots = [wave_picture(channel) for channel in sound[:2]]
    plots.append(spectrogram_picture(sound, PLOT, SPECTROGRAM_HEIGHT, sample_rate))
    height = MARGIN + LINE * len(words) + sum(len(plot) + GAP for plot in plots) + GAP + LABEL_LINE + GAP
    picture = Image.new("RGB", (WIDTH, height), GROUND)
    canvas = ImageDraw.Draw(picture)
    y = MARGIN
    for line, colour in words:
        draw_text(canvas, MARGIN, y, line, colour, TEXT_SIZE)
        y += LINE
    for plot in plots:
        y += GAP
        picture.paste(Image.fromarray(plot), (LEFT, y))
        y += len(plot)
    draw_frequencies(canvas, y - SPECTROGRAM_HEIGHT)
    draw_times(canvas, y, sound.shape[1] / sample_rate)
    return picture


def wrapped(text: str, lines: int) -> list[str]:
    """Lines across the picture; none without a text."""
    return wrap_text(text, WIDTH - 2 * MARGIN, lines, TEXT_SIZE) if text.strip() else []


def wave_picture(channel: np.ndarray) -> np.ndarray:
    """A channel's lowest to highest sample in each column, uint8 (WAVE_HEIGHT, PLOT, 3); full scale fills it."""
    starts = np.arange(PLOT) * len(channel) // PLOT
    low, high = np.minimum.reduceat(channel, starts), np.maximum.reduceat(channel, starts)
    rows = np.arange(WAVE_HEIGHT)[:, None]
    top, bottom = (np.rint((1 - edge.clip(-1, 1)) / 2 * (WAVE_HEIGHT - 1)) for edge in (high, low))
    colours = np.where((np.maximum(high, -low) > 1)[:, None], colour(CLIPPED), colour(WAVE))
    filled = (rows >= top) & (rows <= bottom)
    return np.where(filled[..., None], colours, colour(PLOT_GROUND))


def colour(rgb: tuple[int, int, int]) -> np.ndarray:
    return np.array(rgb, np.uint8)


def draw_frequencies(canvas: ImageDraw.ImageDraw, top: int) -> None:
    """Hertz beside the spectrogram, whose first row is `top`."""
    lowest, highest = mel(LOWEST_HERTZ), mel(HIGHEST_HERTZ)
    for hertz, words in HERTZ.items():
        y = top + round(float((1 - (mel(hertz) - lowest) / (highest - lowest)) * (SPECTROGRAM_HEIGHT - 1)))
        x = LEFT - GAP - text_width(words, LABEL_SIZE)
        draw_text(canvas, x, y - round(0.65 * LABEL_SIZE), words, GREY, LABEL_SIZE)  # centred on the tick
        canvas.line((LEFT - 4, y, LEFT - 1, y), GREY)


def draw_times(canvas: ImageDraw.ImageDraw, y: int, duration: float) -> None:
    """Seconds below the spectrogram, whose last row is above `y`."""
    step = next((step for step in SECONDS if duration / step <= MOST_TICKS), duration)
    for tick in range(int(duration / step + 1e-9) + 1):
        words = f"{tick * step:g}" + (" s" if tick == 0 else "")
        x = LEFT + min(round(tick * step / duration * PLOT), PLOT - 1)
        canvas.line((x, y, x, y + 3), GREY)
        width = text_width(words, LABEL_SIZE)
        draw_text(canvas, min(x - width // 2, WIDTH - width), y + GAP, words, GREY, LABEL_SIZE)
