"""Which sound of the demo's world is heard, by plain rules on signal features; nothing is learned.

Thresholds lie between the classes, at about the geometric mean of what the nearest two have, so that a sound blurred
by an autoencoder is still heard as what it is. What fits no class is UNCLEAR.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audiox_core.lengths import SAMPLE_RATE
from audiox_core.measure.levels import Sound, excerpt, rms_level, side
from audiox_core.measure.onsets import envelope, find_onsets, median_period, modulation_depth
from audiox_core.measure.spectra import (
    band_pass,
    mean_spectrum,
    pitch_slope,
    pitch_track,
    power_share,
    power_spectrogram,
    spectral_flatness,
    spectral_peakedness,
    strongest_peak,
)
from training.world import sounds
from training.world.scenes import Scene

UNCLEAR = "unclear"

WHOLE = (0.2, 9.8)
"""Seconds that are listened to of a scene of one sound."""

HALVES = ((0.3, 3.4), (6.7, 9.8))
"""Seconds that are listened to of a scene of two: before the earliest and after the latest moment of change."""

SILENT_LEVEL = 0.01
SILENT_PEAK = 0.03
"""A sound is silence below either: root mean square of all, and of the loudest 20 ms."""

REPEATING_DEPTH = 9.0
"""dB by which the level of a repeating sound dips."""

SWEEP_RATE = 0.15
"""Octaves a second above which a pitch moves; sweeps of the demo's world have 0.35 to 1.1."""

SWEEP_STRAY = 0.25
"""Octaves by which the pitch of a sweep may stray from its line; its steps are 0.2 to 0.4 wide."""

NOISY_FLATNESS, NOISY_PEAK = 0.1, 0.25
"""White noise has a flatness of 0.56 and a peak of 0.1 or less; a chord, the least peaked of the others, 0.33."""

TICKING = {"fast ticking": (0.08, 0.35), "slow ticking": (0.35, 1.0)}
BEATS = {"fast beat": (0.25, 0.69), "slow beat": (0.69, 1.6)}
BURSTS = {"noise bursts": (0.6, 1.4)}
NOTES = {"plucked notes": (0.3, 0.8)}
"""Shortest and longest period in seconds of each repeating sound."""


@dataclass(frozen=True)
class Heard:
    """What a scene sounds like. kinds: as many as were listened for; side: left, right or centre."""

    kinds: tuple[str, ...]
    side: str

    @property
    def words(self) -> str:
        """The verdict as a short text."""
        place = "" if self.side == "centre" or self.kinds == ("silence",) else f", {self.side}"
        return ", then ".join(self.kinds) + place


def hear(sound: Sound, count: int = 1) -> Heard:
    """One or two kinds in their order, and the side, of a sound (2, samples) of 10 s or more."""
    windows = (WHOLE,) if count == 1 else HALVES
    parts = [excerpt(sound, *window) for window in windows]
    return Heard(tuple(kind_of(part) for part in parts), side(sound))


def is_right(scene: Scene, heard: Heard) -> bool:
    """Is all that the scene's caption states heard: kinds, order, and the side where it names one?"""
    return heard.kinds == scene.kinds and scene.side in ("centre", heard.side)


def kind_of(sound: Sound) -> str:
    """The kind (a key of `scenes.WORDS`) that a sound (2, samples) of 3 s or more is, or UNCLEAR."""
    if is_silent(sound):
        return "silence"
    rate, stray = pitch_slope(*pitch_track(sound))
    if abs(rate) > SWEEP_RATE and stray < SWEEP_STRAY:  # first: a sweep may also be louder here and softer there
        return "rising sweep" if rate > 0 else "falling sweep"
    return repeating_kind(sound) if modulation_depth(sound) > REPEATING_DEPTH else steady_kind(sound)


def is_silent(sound: Sound) -> bool:
    return rms_level(sound) < SILENT_LEVEL or envelope(sound, 0.02).max() < SILENT_PEAK


def repeating_kind(sound: Sound) -> str:
    """A kind whose events have gaps between them, told by their colour and then by their period."""
    hertz, shares = loud_spectrum(sound)
    if power_share(hertz, shares, 0, 250) > 0.5:
        return by_period(BEATS, find_onsets(band_pass(sound, 0, 250)))
    if power_share(hertz, shares, 0, 400) > 0.4:
        return UNCLEAR
    times = find_onsets(sound)
    if is_noisy(loud_frames(sound), 2048):
        return by_period(BURSTS, times)
    if power_share(hertz, shares, 1500, 12000) > 0.5:
        return by_period(TICKING, times)
    return by_period(NOTES, times) if power_share(hertz, shares, 380, 1000) > 0.4 else UNCLEAR


def by_period(kinds: dict[str, tuple[float, float]], times: np.ndarray) -> str:
    """The kind in whose range of periods the distance of the onsets lies."""
    seconds = median_period(times)
    return next((kind for kind, (low, high) in kinds.items() if low <= seconds < high), UNCLEAR)


def loud_frames(sound: Sound, size: int = 2048) -> np.ndarray:
    """Power (frames, bins) of the frames within 10 dB of the loudest ones."""
    power = power_spectrogram(sound, size, size // 4)
    total = power.sum(axis=1)
    return power[total >= 0.1 * np.percentile(total, 99)]


def loud_spectrum(sound: Sound, size: int = 2048) -> tuple[np.ndarray, np.ndarray]:
    """Hertz and shares of power where the sound is loud."""
    power = loud_frames(sound, size).mean(axis=0)
    return np.fft.rfftfreq(size, 1 / SAMPLE_RATE), power / power.sum()


def is_noisy(power: np.ndarray, size: int) -> bool:
    """Is the spectrum of most frames (frames, bins) flat, or at least without any peak that stands out?"""
    flat, peaked = spectral_flatness(power, size), spectral_peakedness(power, size)
    return bool(np.median(flat) > NOISY_FLATNESS or np.median(peaked) < NOISY_PEAK)


def steady_kind(sound: Sound) -> str:
    """A kind that goes on without gaps, told by its peaks or the lack of any."""
    hertz, shares = mean_spectrum(sound)
    if chord := chord_kind(hertz, shares):
        return chord
    if is_noisy(power_spectrogram(sound, 4096, 4096), 4096):
        return "noise"
    if power_share(hertz, shares, 0, 300) > 0.5:
        return low_kind(hertz, shares)
    if power_share(hertz, shares, 1150, 5000) > 0.5:
        return "high tone" if strongest_peak(hertz, shares).share > 0.5 else UNCLEAR
    return "mid tone" if strongest_peak(hertz, shares).share > 0.6 else UNCLEAR


def low_kind(hertz: np.ndarray, shares: np.ndarray) -> str:
    """A hum has power at multiples of its pitch, a low tone has not."""
    peak = strongest_peak(hertz, shares, 0.12)
    below = power_share(hertz, shares, 0, 700)
    if below < 0.7:
        return UNCLEAR
    return "hum" if peak.share < 0.9 * below else "low tone"


def chord_kind(hertz: np.ndarray, shares: np.ndarray) -> str | None:
    """The triad whose three pitches hold the most power, by the weakest of them; None where one is missing."""
    best, kind = 0.0, None
    for name, chords in (("major chord", sounds.MAJOR), ("minor chord", sounds.MINOR)):
        third = chords[0][1] / chords[0][0]
        for root in np.arange(19.0, 31.5, 0.25) * sounds.GRID:
            parts = [power_share(hertz, shares, 0.985 * f, 1.015 * f) for f in (root, third * root, 1.5 * root)]
            if min(parts) > best:
                best, kind = min(parts), name
    return kind if best > 0.06 else None
