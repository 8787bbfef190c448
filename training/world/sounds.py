"""The sounds of the demo's world, made from formulas: what its models learn and what `evaluate` expects to hear.

Everything sits on the latent grid: events begin at latent frames, pitches are multiples of 44100 / 2048 Hz, sweeps
move in steps, and noise is stitched from a few blocks. A steady sound then looks the same in every latent frame, all
frames together span few directions, and a model of a million weights can learn them, which is the point of a demo.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from audiox_core.lengths import SAMPLE_RATE, SAMPLES_PER_LATENT

GRID = SAMPLE_RATE / SAMPLES_PER_LATENT
"""Latent frames a second, and the frequency step of all pitches in Hz: 21.53."""

PITCHES = {"low": (7, 9), "mid": (20, 24, 30), "high": (96, 112, 128)}
"""Multiples of GRID: 151 and 194, 431 to 646 and 2067 to 2756 Hz."""

SCALE = (7, 9, 12, 16, 20, 24, 30, 36, 45, 54, 64, 80, 96, 112, 128)
"""The steps of a sweep in multiples of GRID: 151 to 2756 Hz."""

PERIODS = {
    "slow ticking": 14,
    "fast ticking": 4,
    "noise bursts": 20,
    "plucked notes": 10,
    "slow beat": 22,
    "fast beat": 10,
}
"""Latent frames from one event of a repeating sound to the next: 650, 186, 929, 464, 1022 and 464 ms."""

MAJOR, MINOR = ((20, 25, 30), (24, 30, 36)), ((20, 24, 30), (30, 36, 45))
"""Just triads in multiples of GRID."""

MELODY = (20, 24, 30, 36, 45)
HUM = 5
FADE = 512
NOISE_FRAMES, NOISE_BLOCKS, BLOCK = 4, 4, 256
BURST_LATENTS = 8

Sound = np.ndarray
"""float32 (samples,), full scale -1..1."""


def seconds_of(latents: float) -> float:
    """Time of a latent frame's begin."""
    return latents / GRID


def clock(first: int, count: int) -> np.ndarray:
    """Times in seconds of the samples of `count` latent frames from frame `first` on."""
    return np.arange(first * SAMPLES_PER_LATENT, (first + count) * SAMPLES_PER_LATENT) / SAMPLE_RATE


def faded(sound: np.ndarray) -> Sound:
    """The sound with 12 ms ramps at both ends."""
    ramp = np.linspace(0, 1, FADE)
    sound[:FADE] *= ramp
    sound[-FADE:] *= ramp[::-1]
    return sound.astype(np.float32)


def sines(first: int, count: int, partials: list[tuple[int, float]]) -> Sound:
    """Steady sines, each (multiple of GRID, amplitude), in phase at time 0 of the clip."""
    t = 2 * np.pi * GRID * clock(first, count)
    return faded(sum(amplitude * np.sin(n * t) for n, amplitude in partials))


def sweep(first: int, count: int, rising: bool) -> Sound:
    """A sine that climbs or descends the scale in steps of equal length."""
    scale = np.array(SCALE if rising else SCALE[::-1])
    steps = scale[np.arange(count) * len(scale) // count].repeat(SAMPLES_PER_LATENT)
    return faded(0.35 * np.sin(2 * np.pi * GRID * steps * clock(first, count)))


@functools.cache
def noise_frames() -> np.ndarray:
    """NOISE_FRAMES latent frames of white noise, each stitched from the same few blocks with changing signs."""
    rng = np.random.default_rng(1)
    blocks = rng.standard_normal((NOISE_BLOCKS, BLOCK))
    chosen = rng.integers(NOISE_BLOCKS, size=(NOISE_FRAMES, SAMPLES_PER_LATENT // BLOCK))
    signs = rng.choice((-1, 1), size=chosen.shape)
    return (blocks[chosen] * signs[..., None]).reshape(NOISE_FRAMES, -1)


def white(count: int, rng: np.random.Generator) -> Sound:
    """Noise: random frames of `noise_frames`."""
    return faded(0.15 * noise_frames()[rng.integers(NOISE_FRAMES, size=count)].reshape(-1))


def click(rng: np.random.Generator) -> Sound:
    t = clock(0, 1)
    return (0.8 * np.sin(2 * np.pi * 2800 * t) * np.exp(-t / 0.006)).astype(np.float32)


def thump(rng: np.random.Generator) -> Sound:
    t = clock(0, 8)
    phase = 2 * np.pi * (55 * t + 110 * 0.03 * (1 - np.exp(-t / 0.03)))  # from 165 down to 55 Hz
    return (0.9 * np.sin(phase) * np.exp(-t / 0.1)).astype(np.float32)


def burst(rng: np.random.Generator) -> Sound:
    return white(BURST_LATENTS, rng) * 1.5


def ping(rng: np.random.Generator) -> Sound:
    t = clock(0, 12)
    return (0.6 * np.sin(2 * np.pi * 60 * GRID * t) * np.exp(-t / 0.12)).astype(np.float32)


def hat(rng: np.random.Generator) -> Sound:
    return (0.2 * noise_frames()[0] * np.exp(-clock(0, 1) / 0.015)).astype(np.float32)


def pluck(rng: np.random.Generator) -> Sound:
    t, n = clock(0, PERIODS["plucked notes"]), rng.choice(MELODY)
    tone = sum(np.sin(2 * np.pi * k * n * GRID * t) / k**2 for k in (1, 2))
    return (0.5 * tone * np.exp(-t / 0.15) * np.minimum(1, t / 0.003)).astype(np.float32)


Hit = Callable[[np.random.Generator], Sound]

HITS: dict[str, Hit] = {"click": click, "burst": burst, "thump": thump, "ping": ping}
"""Short sounds that answer what a video shows."""


def hits_at(count: int, places: list[int], hit: Hit, rng: np.random.Generator) -> Sound:
    """A short sound at each of the latent frames `places` of a clip of `count` frames."""
    out = np.zeros(count * SAMPLES_PER_LATENT, np.float32)
    for place in places:
        sound = hit(rng)[: len(out) - place * SAMPLES_PER_LATENT]
        out[place * SAMPLES_PER_LATENT :][: len(sound)] += sound
    return out


def repeated(kind: str, count: int, rng: np.random.Generator) -> Sound:
    """A repeating sound that begins at once."""
    period = PERIODS[kind]
    places = list(range(0, count - 1, period))
    if kind.endswith("beat"):
        offbeat = [place + period // 2 for place in places if place + period // 2 < count]
        return hits_at(count, places, thump, rng) + hits_at(count, offbeat, hat, rng)
    hit = {"ticking": click, "bursts": burst, "notes": pluck}[kind.split()[-1]]
    return hits_at(count, places, hit, rng)


def make(kind: str, first: int, count: int, rng: np.random.Generator) -> Sound:
    """A sound of a kind (a key of `scenes.WORDS`) from latent frame `first` on, `count` frames long."""
    if kind in PERIODS:
        return repeated(kind, count, rng)
    if kind.endswith("tone"):
        return sines(first, count, [(int(rng.choice(PITCHES[kind.split()[0]])), 0.35)])
    if kind.endswith("sweep"):
        return sweep(first, count, rising=kind.startswith("rising"))
    if kind.endswith("chord"):
        chord = MAJOR if kind.startswith("major") else MINOR
        return sines(first, count, [(n, 0.2) for n in chord[rng.integers(len(chord))]])
    if kind == "hum":
        return sines(first, count, [(k * HUM, 0.3 / k) for k in range(1, 6)])
    if kind == "noise":
        return white(count, rng)
    return np.zeros(count * SAMPLES_PER_LATENT, np.float32)  # silence
