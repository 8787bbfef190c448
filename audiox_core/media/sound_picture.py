"""A sound at a glance: words, waveform and spectrogram with their axes in one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import AudioXError
from ..lengths import SAMPLE_RATE
from .bitmap_font import GLYPH_HEIGHT, GLYPH_WIDTH, draw_text, wrapped
from .spectrogram import HIGHEST_HERTZ, LOWEST_HERTZ, mel, spectrogram_picture

WIDTH = 800
MARGIN, LEFT = 12, 52
"""Pixels around everything, and left of the plots, where the frequencies stand."""

PLOT = WIDTH - LEFT - MARGIN
WAVE_HEIGHT, SPECTROGRAM_HEIGHT = 48, 200
"""Pixels of one channel's waveform, and of the spectrogram."""

SCALE = 2
LINE = GLYPH_HEIGHT * SCALE
TITLE_LINES, FACT_LINES = 3, 2
GAP = 6

GROUND, PLOT_GROUND, INK, GREY = (24, 24, 27), (4, 4, 18), (236, 236, 236), (150, 150, 158)
WAVE, CLIPPED = (249, 140, 10), (255, 80, 80)
HERTZ = {100: "100", 500: "500", 1000: "1k", 2000: "2k", 5000: "5k", 10000: "10k"}
SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
MOST_TICKS = 12


def sound_picture(
    sound: np.ndarray, sample_rate: int = SAMPLE_RATE, *, title: str = "", facts: Sequence[str] = ()
) -> np.ndarray:
    """A picture uint8 (height, 800, 3) of a sound (channels, samples): title, facts, waveforms, spectrogram.

    A waveform's column is red where it exceeds full scale. The picture grows with the lines of its words and with
    the channels, of which two are drawn as waveforms.

    Raises:
        AudioXError: not (channels, samples), or no samples.
    """
    sound = np.asarray(sound, dtype=np.float32)
    if sound.ndim != 2 or 0 in sound.shape:
        raise AudioXError(f"The sound has the shape {tuple(sound.shape)}, expected (channels, samples).")
    width = WIDTH - 2 * MARGIN
    words = [(line, INK) for line in (wrapped(title, width, TITLE_LINES, SCALE) if title else [])]
    words += [(line, GREY) for line in (wrapped(", ".join(facts), width, FACT_LINES, SCALE) if facts else [])]
    plots = [wave_picture(channel) for channel in sound[:2]]
    plots.append(spectrogram_picture(sound, PLOT, SPECTROGRAM_HEIGHT, sample_rate))
    height = MARGIN + LINE * len(words) + sum(len(plot) + GAP for plot in plots) + GLYPH_HEIGHT * SCALE + GAP
    pixels = np.full((height, WIDTH, 3), GROUND, np.uint8)
    y = MARGIN
    for line, colour in words:
        draw_text(pixels, MARGIN, y, line, colour, SCALE)
        y += LINE
    for plot in plots:
        y += GAP
        pixels[y : y + len(plot), LEFT : LEFT + PLOT] = plot
        y += len(plot)
    draw_frequencies(pixels, y - SPECTROGRAM_HEIGHT)
    draw_times(pixels, y, sound.shape[1] / sample_rate)
    return pixels


def wave_picture(channel: np.ndarray) -> np.ndarray:
    """A channel's lowest to highest sample in each column, uint8 (WAVE_HEIGHT, PLOT, 3); full scale fills it."""
    starts = np.arange(PLOT) * len(channel) // PLOT
    low, high = np.minimum.reduceat(channel, starts), np.maximum.reduceat(channel, starts)
    rows = np.arange(WAVE_HEIGHT)[:, None]
    top, bottom = (np.rint((1 - edge.clip(-1, 1)) / 2 * (WAVE_HEIGHT - 1)) for edge in (high, low))
    over = np.maximum(high, -low) > 1
    colours = np.where(over[:, None], np.uint8(CLIPPED), np.uint8(WAVE))
    filled = (rows >= top) & (rows <= bottom)
    return np.where(filled[..., None], colours, np.uint8(PLOT_GROUND))


def draw_frequencies(pixels: np.ndarray, top: int) -> None:
    """Hertz beside the spectrogram, whose first row is `top`."""
    lowest, highest = mel(LOWEST_HERTZ), mel(HIGHEST_HERTZ)
    for hertz, words in HERTZ.items():
        y = top + round((1 - (mel(hertz) - lowest) / (highest - lowest)) * (SPECTROGRAM_HEIGHT - 1))
        x = LEFT - GAP - GLYPH_WIDTH * SCALE * len(words)
        draw_text(pixels, x, y - GLYPH_HEIGHT * SCALE // 2, words, GREY, SCALE)
        pixels[y, LEFT - 4 : LEFT] = GREY


def draw_times(pixels: np.ndarray, y: int, duration: float) -> None:
    """Seconds below the spectrogram, whose last row is above `y`."""
    step = next((step for step in SECONDS if duration / step <= MOST_TICKS), duration)
    for tick in range(int(duration / step + 1e-9) + 1):
        words = f"{tick * step:g}" + (" s" if tick == 0 else "")
        x = LEFT + min(round(tick * step / duration * PLOT), PLOT - 1)
        pixels[y : y + 4, x] = GREY
        width = GLYPH_WIDTH * SCALE * len(words)
        draw_text(pixels, min(x - width // 2, WIDTH - width), y + GAP, words, GREY, SCALE)
