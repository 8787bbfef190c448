"""What the models are asked in an evaluation: captions and films that no training has seen, balanced over kinds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from audiox_core.lengths import CLIP_SECONDS, samples_from_seconds
from training.world import films, scenes
from training.world.films import Film
from training.world.scenes import Scene

FILM_SIZE = 256
"""Height and width in pixels of the films as files."""

TRIES = 60
"""Scenes that are drawn to choose each case from."""


@dataclass(frozen=True)
class FilmCase:
    """A film and the words that are given with it."""

    film: Film
    text: str


def single_scenes(count: int, seed: int) -> list[Scene]:
    """Held-out scenes of one sound: every kind in turn, and from round to round another side."""
    kinds, sides = list(scenes.WORDS), list(scenes.SIDES)
    chosen: list[Scene] = []
    for i in range(count):
        drawn = draw_scenes(seed_of(seed, i), kinds[i % len(kinds)], pair=False)
        side = sides[(i + i // len(kinds)) % len(sides)]
        chosen.append(pick([scene for scene in drawn if scene.side == side] or drawn, chosen))
    return chosen


def pair_scenes(count: int, seed: int) -> list[Scene]:
    """Held-out scenes of two sounds in an order; each kind in turn is the first."""
    chosen: list[Scene] = []
    for i in range(count):
        drawn = draw_scenes(seed_of(seed, 500 + i), scenes.STEADY[i % len(scenes.STEADY)], pair=True)
        chosen.append(pick(drawn, chosen))
    return chosen


def draw_scenes(seed: int, kind: str, pair: bool) -> list[Scene]:
    return [scenes.scene(seed + i, test=True, kind=kind, pair=pair) for i in range(TRIES)]


def pick(drawn: list[Scene], chosen: list[Scene]) -> Scene:
    """The first scene whose caption is not chosen yet, else the first one: some kinds have few held-out captions."""
    taken = {scene.caption for scene in chosen}
    return next((scene for scene in drawn if scene.caption not in taken), drawn[0])


def seed_of(seed: int, number: int) -> int:
    """A seed for each case, far enough apart that the search for one does not reach the next."""
    return (seed * 1000 + number) * TRIES


def true_sound(scene: Scene) -> np.ndarray:
    """What a scene sounds like, float32 (2, 441000): as long as a decoded sound."""
    return scenes.render(scene)[:, : samples_from_seconds(CLIP_SECONDS)]


def film_cases(count: int, seed: int) -> list[FilmCase]:
    """Held-out films: every style and every colour in turn, every other one with no words at all."""
    kinds = list(films.COLOURS)
    return [
        FilmCase(
            films.film(seed_of(seed, i), test=True, style=films.STYLES[i % 3], kind=kinds[(i // 3) % len(kinds)]),
            "" if i % 2 else films.GENERIC,
        )
        for i in range(count)
    ]


def write_film(path: Path, film: Film, size: int = FILM_SIZE) -> None:
    """A film as an mp4 file, H.264 at 25 pictures a second, 10 s."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=films.FPS, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
        stream.thread_type = "NONE"  # the same file on every machine
        for picture in films.draw(film, size):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        output.mux(stream.encode())
