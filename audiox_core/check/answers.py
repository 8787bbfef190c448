"""Does the demo do what it is told? Eight prompts whose sounds plain measures can tell. Nothing here is learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..lengths import SAMPLE_RATE
from ..measure.levels import Sound, rms_level, side
from ..measure.onsets import find_onsets, median_period, modulation_depth
from ..measure.spectra import (
    mean_spectrum,
    pitch_slope,
    pitch_track,
    power_spectrogram,
    spectral_flatness,
    strongest_peak,
)

SECONDS = 4.0
"""Of each sound that are decoded and listened to."""

SWEEP_RATE, SWEEP_STRAY = 0.15, 0.25
"""Octaves a second above which a pitch moves, and octaves by which it may stray from its line."""

SILENT_LEVEL = 0.01
"""Root mean square below which a sound is silence."""


FRAME, NOISY_FLATNESS = 4096, 0.1
"""Samples of a spectrum, and its flatness from which on it is noise: white noise has 0.56, tones nearly 0."""


GAPS_DB = 9.0
"""How far the level dips in a sound with gaps."""


@dataclass(frozen=True)
class Question:
    """A prompt, and whether a sound (2, samples) answers it."""

    prompt: str
    is_answer: Callable[[Sound], bool]


def ticks(shortest: float, longest: float) -> Callable[[Sound], bool]:
    """Onsets with a period between two times in seconds."""
    return lambda sound: shortest <= median_period(find_onsets(sound)) < longest


def sweeps(direction: int) -> Callable[[Sound], bool]:
    """A pitch that moves steadily up (1) or down (-1)."""

    def is_answer(sound: Sound) -> bool:
        rate, stray = pitch_slope(*pitch_track(sound))
        return direction * rate > SWEEP_RATE and stray < SWEEP_STRAY

    return is_answer


def tone(low: float, high: float, where: str = "centre") -> Callable[[Sound], bool]:
    """One steady tone between two frequencies in hertz, from a side."""

    def is_answer(sound: Sound) -> bool:
        hertz, shares = mean_spectrum(sound)
        peak = strongest_peak(hertz, shares, 0.12)
        steady = abs(pitch_slope(*pitch_track(sound))[0]) < SWEEP_RATE
        return low <= peak.hertz < high and peak.share > 0.5 and steady and side(sound) == where

    return is_answer


def noise(sound: Sound) -> bool:
    """A flat spectrum that goes on without gaps; what is between ticks is flat, too."""
    flatness = spectral_flatness(power_spectrogram(sound, FRAME, FRAME), FRAME)
    steady = rms_level(sound) > SILENT_LEVEL and modulation_depth(sound) < GAPS_DB
    return steady and float(np.median(flatness)) > NOISY_FLATNESS


def silence(sound: Sound) -> bool:
    return rms_level(sound) < SILENT_LEVEL


QUESTIONS = (
    Question("slow ticking", ticks(0.35, 1.0)),
    Question("fast ticking", ticks(0.08, 0.35)),
    Question("a rising siren", sweeps(1)),
    Question("a falling siren", sweeps(-1)),
    Question("a low tone", tone(60, 300)),
    Question("a high tone on the left", tone(1150, 5000, "left")),
    Question("white noise", noise),
    Question("silence", silence),
)


def wrong_answers(sounds: np.ndarray) -> list[str]:
    """Prompts that their sounds (len(QUESTIONS), 2, samples) do not answer."""
    listened = sounds[:, :, : round(SECONDS * SAMPLE_RATE)]
    return [each.prompt for each, sound in zip(QUESTIONS, listened, strict=True) if not each.is_answer(sound)]
