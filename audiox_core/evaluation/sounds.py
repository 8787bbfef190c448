"""The sounds of the demo's world, made from formulas: what its models learn and what `evaluate` expects to hear.

Everything sits on the latent grid: events begin at latent frames, and pitches are multiples of 44100 / 2048 Hz, so
that a steady tone looks the same in every latent frame. A model of a few hundred thousand weights can then learn
them, which is the point of a demo.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..lengths import SAMPLE_RATE, SAMPLES_PER_LATENT

GRID = SAMPLE_RATE / SAMPLES_PER_LATENT
"""Latent frames a second, and the frequency step of all pitches in Hz: 21.53."""

PITCHES = {"low": range(7, 11), "mid": range(20, 33), "high": range(90, 141)}
"""Multiples of GRID: 151 to 215, 431 to 689 and 1938 to 3015 Hz."""

SWEEP = (215.0, 3000.0)
"""Lowest and highest frequency of a sweep in Hz."""

PERIODS = {"slow ticking": 14, "fast ticking": 4, "noise bursts": 20, "plucked notes": 10, "slow beat": 22,
           "fast beat": 10}  # fmt: skip
"""Latent frames from one event of a repeating sound to the next: 650, 186, 929, 464, 1022 and 464 ms."""

MAJOR, MINOR = ((20, 25, 30), (24, 30, 36), (28, 35, 42)), ((20, 24, 30), (30, 36, 45))
"""Just triads in multiples of GRID."""

MELODY = (20, 24, 30, 36, 40)
HUM = 5
FADE = 512
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


def sweep(count: int, rising: bool) -> Sound:
    """A sine whose pitch moves at a constant number of octaves a second."""
    t = clock(0, count)
    octaves = np.log(SWEEP[1] / SWEEP[0]) / t[-1]
    start, rate = (SWEEP[0], octaves) if rising else (SWEEP[1], -octaves)
    return faded(0.3 * np.sin(2 * np.pi * start * np.expm1(rate * t) / rate))


def white(count: int, rng: np.random.Generator) -> Sound:
    return faded(0.15 * rng.standard_normal(count * SAMPLES_PER_LATENT))


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
    t = clock(0, 2)
    return (0.2 * rng.standard_normal(len(t)) * np.exp(-t / 0.015)).astype(np.float32)


def pluck(rng: np.random.Generator) -> Sound:
    t, n = clock(0, PERIODS["plucked notes"]), rng.choice(MELODY)
    tone = sum(np.sin(2 * np.pi * k * n * GRID * t) / k**2 for k in (1, 2, 3))
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
        return sweep(count, rising=kind.startswith("rising"))
    if kind.endswith("chord"):
        chord = (MAJOR if kind.startswith("major") else MINOR)
        return sines(first, count, [(n, 0.2) for n in chord[rng.integers(len(chord))]])
    if kind == "hum":
        return sines(first, count, [(k * HUM, 0.3 / k) for k in range(1, 6)])
    if kind == "noise":
        return white(count, rng)
    return np.zeros(count * SAMPLES_PER_LATENT, np.float32)  # silence
