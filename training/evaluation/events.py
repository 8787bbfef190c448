"""What answers a film's events: when the onsets of a sound are, how well they fit, and which hit each sounds like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audiox_core.lengths import CLIP_SECONDS, SAMPLE_RATE
from audiox_core.measure.levels import SMALLEST_POWER, Sound, excerpt
from audiox_core.measure.onsets import find_onsets
from audiox_core.measure.spectra import power_share, power_spectrogram
from training.evaluation.judge import UNCLEAR, is_noisy
from training.world.films import Film

NEAR = 0.1
"""Seconds within which an onset answers an event."""

HIT_SECONDS = 0.12
"""Length of what is listened to after an onset."""


@dataclass(frozen=True)
class Alignment:
    """How a sound fits a film. errors: seconds from each event to the nearest onset, the clip's length without any.

    answered: events that an onset of their own lies within NEAR of; heard: onsets.
    """

    errors: tuple[float, ...]
    answered: int
    heard: int


def heard_times(sound: Sound) -> np.ndarray:
    """Onsets in seconds of a sound (2, samples), up to the end of the film."""
    return find_onsets(sound[:, : round(CLIP_SECONDS * SAMPLE_RATE)])


def align(onsets: Sequence[float], events: Sequence[float]) -> Alignment:
    """Fit onsets to events, both in seconds; nearest pairs first, so that no onset answers two events."""
    onsets, events = np.asarray(onsets, float), np.asarray(events, float)
    if not len(onsets):
        return Alignment((CLIP_SECONDS,) * len(events), 0, 0)
    gaps = np.abs(events[:, None] - onsets[None])  # (events, onsets)
    errors = tuple(gaps.min(axis=1).tolist())
    answered = 0
    while gaps.size and gaps.min() <= NEAR:
        event, onset = np.unravel_index(gaps.argmin(), gaps.shape)
        gaps[event], gaps[:, onset] = np.inf, np.inf
        answered += 1
    return Alignment(errors, answered, len(onsets))


def summary(alignments: Sequence[Alignment]) -> dict[str, float]:
    """Over all events of many films: median error in ms, share answered, share of onsets that belong to an event."""
    errors = [error for alignment in alignments for error in alignment.errors]
    answered, heard = sum(a.answered for a in alignments), sum(a.heard for a in alignments)
    return {
        "onset_median_error_ms": 1000 * float(np.median(errors)),
        "onset_within_100ms": answered / len(errors),
        "onset_precision": answered / heard if heard else 0.0,
    }


def fit(onsets: Sequence[Sequence[float]], films: Sequence[Film]) -> dict[str, float]:
    """`summary` of sounds, by their onsets in seconds, and the films that they were made for."""
    return summary([align(heard, film.times) for heard, film in zip(onsets, films, strict=True)])


def fit_by_style(onsets: Sequence[Sequence[float]], films: Sequence[Film]) -> dict[str, dict[str, float]]:
    """`fit` for the films of each style."""
    results = {}
    for style in sorted({film.style for film in films}):
        places = [i for i, film in enumerate(films) if film.style == style]
        results[style] = fit([onsets[i] for i in places], [films[i] for i in places])
    return results


def by_chance(onsets: Sequence[Sequence[float]], films: Sequence[Film]) -> dict[str, float]:
    """The same when every sound is held against the films that it was not made for."""
    others = [align(heard, film.times) for i, heard in enumerate(onsets) for j, film in enumerate(films) if i != j]
    return summary(others)


def hit_kind(sound: Sound) -> str:
    """Which hit (a key of `sounds.HITS`) the film's answer sounds like: what most of the onsets are, or UNCLEAR."""
    kinds = Counter(hit_at(sound, time) for time in heard_times(sound))
    kinds.pop(UNCLEAR, None)
    return kinds.most_common(1)[0][0] if kinds else UNCLEAR


def hit_at(sound: Sound, time: float) -> str:
    """Which hit begins at a time in seconds."""
    part = excerpt(sound, max(0.0, time - 0.005), time + HIT_SECONDS)
    size = 2048
    power = power_spectrogram(part, size, size // 4)
    power = power[power.sum(axis=1) >= 0.1 * power.sum(axis=1).max()]
    hertz, shares = np.fft.rfftfreq(size, 1 / SAMPLE_RATE), power.mean(axis=0)
    shares = shares / max(shares.sum(), SMALLEST_POWER)
    if power_share(hertz, shares, 0, 300) > 0.5:
        return "thump"
    if is_noisy(power, size):
        return "burst"
    if power_share(hertz, shares, 1900, 5000) > 0.5:
        return "click"
    return "ping" if power_share(hertz, shares, 800, 1900) > 0.5 else UNCLEAR
