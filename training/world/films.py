"""Videos of the demo's world: flashes, a bouncing ball or a swinging bar say when, their colour says what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audiox_core.release.tasks import VIDEO_TO_AUDIO

FPS = 25
SECONDS = 10.0

COLOURS = {
    "click": (230, 40, 40),
    "burst": (50, 210, 60),
    "thump": (60, 80, 240),
    "ping": (240, 220, 50),
}
"""Red clicks, green hisses, blue thumps, yellow pings."""

STYLES = ("flash", "ball", "bar")

WORDS = {
    "click": ("clicks", "short clicks"),
    "burst": ("bursts of hiss", "short hisses"),
    "thump": ("thumps", "deep thumps"),
    "ping": ("pings", "bell pings"),
}
GENERIC = VIDEO_TO_AUDIO
"""What is said of a video without words."""

GLOW = 0.18
"""Seconds in which a flash fades to a third."""


@dataclass(frozen=True)
class Film:
    """times: seconds of the events; kind: a key of COLOURS; style: one of STYLES."""

    style: str
    kind: str
    times: tuple[float, ...]
    period: float = 0.0
    seed: int = 0


def film(seed: int, *, test: bool = False, style: str | None = None, kind: str | None = None) -> Film:
    """The film of a seed; test films have seeds of their own."""
    rng = np.random.default_rng((seed, 3 if test else 2))
    style, kind = style or str(rng.choice(STYLES)), kind or str(rng.choice(list(COLOURS)))
    if style == "flash":
        times, time = [], rng.uniform(0.2, 1.5)
        while time < SECONDS - 0.3:
            times.append(round(time * FPS) / FPS)
            time += rng.uniform(0.7, 2.2)
        return Film(style, kind, tuple(times), seed=seed)
    period, start = rng.uniform(0.8, 1.8), rng.uniform(0.2, 0.8)
    times = np.arange(start, SECONDS - 0.2, period)
    return Film(style, kind, tuple(np.round(times, 4).tolist()), float(period), seed)


def draw(film: Film, size: int = 96, fps: int = FPS, count: int | None = None) -> np.ndarray:
    """Pictures uint8 (count, size, size, 3) at times k / fps; 10 s of them unless told."""
    count = round(SECONDS * fps) if count is None else count
    paint = {"flash": flash, "ball": ball, "bar": bar}[film.style]
    colour = np.array(COLOURS[film.kind], np.float32)
    rows, columns = np.mgrid[0:size, 0:size] / size
    pictures = np.empty((count, size, size, 3), np.uint8)
    for k in range(count):
        light = paint(film, k / fps, rows, columns)[..., None]  # 0 background .. 1 colour
        pictures[k] = np.clip(0.12 * colour + 20 + light * (0.88 * colour - 20), 0, 255)
    return pictures


def flash(film: Film, time: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The whole picture lights up at once and fades."""
    ages = [time - event for event in film.times if event <= time + 1e-6]
    return np.full(rows.shape, np.exp(-ages[-1] / GLOW) if ages else 0.0)


def ball(film: Film, time: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A disc that jumps as high as its period allows and touches the floor at each event."""
    phase = ((time - film.times[0]) / film.period) % 1.0
    height = 4 * phase * (1 - phase) * 0.6
    distance = np.hypot(rows - (0.85 - height), columns - 0.5)
    floor = 0.35 * (rows > 0.97)
    return np.maximum(np.clip((0.13 - distance) * 40, 0, 1), floor)


def bar(film: Film, time: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A bar that swings from side to side and stands in the middle, on a thin line, at each event."""
    place = 0.5 + 0.42 * np.sin(np.pi * (time - film.times[0]) / film.period)
    line = 0.3 * (np.abs(columns - 0.5) < 0.01)
    return np.maximum(np.clip((0.07 - np.abs(columns - place)) * 60, 0, 1), line)
