"""Scenes of the demo's world: what is to be heard, in words and as sound; deterministic from a seed.

A scene is one sound, or two in an order, from the left, the right or the centre. Captions are split by their own
checksum: one in six is never trained on and is what `evaluate` asks for.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from audiox_core.lengths import LATENT_FRAMES
from training.world import sounds
from training.world.sounds import GRID, SAMPLES_PER_LATENT

LATENTS = LATENT_FRAMES
"""Latent frames of a clip, as long as the models' latent."""

WORDS: dict[str, tuple[str, ...]] = {
    "low tone": ("a low tone", "a deep tone", "a low beep", "a deep steady beep"),
    "mid tone": ("a mid tone", "a middle tone", "a medium tone", "a medium steady beep"),
    "high tone": ("a high tone", "a high pitched tone", "a high beep", "a high steady beep"),
    "rising sweep": ("a rising sweep", "a sweep going up", "a rising siren", "a pitch that climbs"),
    "falling sweep": ("a falling sweep", "a sweep going down", "a falling siren", "a pitch that drops"),
    "slow ticking": ("slow ticking", "a clock ticking slowly", "slow ticks", "slow clicks"),
    "fast ticking": ("fast ticking", "a clock ticking fast", "fast ticks", "fast clicks"),
    "noise": ("noise", "steady noise", "white noise", "a hiss"),
    "noise bursts": ("noise bursts", "bursts of noise", "short bursts of hiss", "repeated noise bursts"),
    "hum": ("a hum", "an electric hum", "a humming machine", "a steady hum"),
    "major chord": ("a major chord", "a happy chord", "a bright major chord", "a cheerful chord"),
    "minor chord": ("a minor chord", "a sad chord", "a dark minor chord", "a gloomy chord"),
    "plucked notes": ("plucked notes", "a plucked string", "a guitar melody", "plucked strings"),
    "slow beat": ("a slow beat", "a slow drum beat", "slow drums", "a drum at 60 beats per minute"),
    "fast beat": ("a fast beat", "a fast drum beat", "fast drums", "a drum at 130 beats per minute"),
    "silence": ("silence", "no sound at all", "nothing but silence", "a silent room"),
}
"""Each kind of sound and what it is called."""

SIDES = {
    "centre": ("",),
    "left": (" on the left", " from the left", " in the left ear"),
    "right": (" on the right", " from the right", " in the right ear"),
}
FRAMES = ("{}", "the sound of {}", "{} can be heard", "we hear {}")
PAIRS = ("{}, then {}", "{} then {}", "{} followed by {}", "first {}, then {}", "{} and after that {}")
STEADY = (
    "low tone",
    "mid tone",
    "high tone",
    "slow ticking",
    "fast ticking",
    "noise",
    "hum",
    "major chord",
    "minor chord",
    "rising sweep",
    "falling sweep",
)
"""Kinds that can be told apart in a few seconds, for scenes of two."""

SIDED = ("low tone", "mid tone", "high tone", "slow ticking", "fast ticking", "noise", "hum")
"""Kinds that may come from a side."""

SHARES = {"centre": (0.8, 0.8), "left": (1.0, 0.0), "right": (0.0, 1.0)}
HELD_OUT, SALT = 6, "o"
"""One caption in six is kept from training; this salt leaves some of every kind on either side."""


@dataclass(frozen=True)
class Scene:
    """kinds: one or two; switch: the latent frame where the second begins; side: centre, left or right."""

    caption: str
    kinds: tuple[str, ...]
    side: str = "centre"
    switch: int = LATENTS
    seed: int = 0


def held_out(caption: str) -> bool:
    """Is this caption kept from training?"""
    return zlib.crc32(f"{SALT}{caption}".encode()) % HELD_OUT == 0


def draw_scene(rng: np.random.Generator, kind: str | None = None, pair: bool = False) -> Scene:
    """A scene with a caption, trained on or not."""
    first = kind or rng.choice(list(WORDS))
    if pair:
        first = kind or rng.choice(STEADY)
        second = rng.choice([other for other in STEADY if not alike(first, other)])
        text = rng.choice(PAIRS).format(rng.choice(WORDS[first]), rng.choice(WORDS[second]))
        return Scene(text, (str(first), str(second)), switch=int(rng.integers(80, 136)), seed=int(rng.integers(2**31)))
    side = str(rng.choice(list(SIDES), p=(0.5, 0.25, 0.25))) if first in SIDED else "centre"
    text = rng.choice(FRAMES).format(rng.choice(WORDS[first]) + rng.choice(SIDES[side]))
    return Scene(text, (str(first),), side, seed=int(rng.integers(2**31)))


def alike(first: str, second: str) -> bool:
    """Could an ear take one for the other, so that their order says little?"""
    return first == second or first.split()[-1] == second.split()[-1] == "chord"


def scene(seed: int, *, test: bool = False, kind: str | None = None, pair: bool | None = None) -> Scene:
    """The scene of a seed, with a caption of the training or of the test part."""
    rng = np.random.default_rng((seed, 1 if test else 0))
    paired = bool(rng.random() < 0.4) if pair is None else pair
    while True:
        drawn = draw_scene(rng, kind, paired)
        if held_out(drawn.caption) == test:
            return drawn


def render(scene: Scene) -> np.ndarray:
    """The scene's sound, float32 (2, LATENTS * 2048)."""
    rng = np.random.default_rng(scene.seed)
    ends = (0, scene.switch, LATENTS)
    parts = [sounds.make(kind, ends[i], ends[i + 1] - ends[i], rng) for i, kind in enumerate(scene.kinds)]
    return stereo(np.concatenate(parts), scene.side)


def stereo(sound: np.ndarray, side: str) -> np.ndarray:
    left, right = SHARES[side]
    return np.stack((left * sound, right * sound)).astype(np.float32)


def render_hits(kind: str, times: tuple[float, ...], seed: int) -> np.ndarray:
    """A short sound of a kind at times in seconds, on the nearest latent frames: float32 (2, LATENTS * 2048)."""
    places = [round(time * GRID) for time in times]
    sound = sounds.hits_at(LATENTS, places, sounds.HITS[kind], np.random.default_rng(seed))
    assert len(sound) == LATENTS * SAMPLES_PER_LATENT
    return stereo(sound, "centre")
