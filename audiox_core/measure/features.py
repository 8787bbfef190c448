"""Plain signal features of a sound: what `judge` and `events` hear with. No learned part.

Every function takes a sound as float (2, samples) at 44.1 kHz. Powers add up over both channels, so that a sound is
heard alike from the left, from the right, or with channels out of phase.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..lengths import SAMPLE_RATE

Sound = np.ndarray
"""float (2, samples), full scale -1..1."""

HOP = 221
"""Samples from one value of an envelope to the next: 5 ms."""

HOP_SECONDS = HOP / SAMPLE_RATE
QUIET = 1e-12
RISE_DB = 10.0
"""How far the level has to rise within some 50 ms to be an onset."""

BELOW_LOUDEST_DB = 16.0
"""Onsets more than this below the loudest one are artefacts, not events."""

REFRACTORY = 0.1
"""Seconds after an onset in which there is no second one; the fastest sound of the demo's world has 0.186."""


@dataclass(frozen=True)
class Peak:
    """A spectral peak: hertz, and its share of all power of the spectrum."""

    hertz: float
    share: float


def window_of(sound: Sound, start: float, end: float) -> Sound:
    """The part between two times in seconds."""
    return sound[:, round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]


def level(sound: Sound) -> float:
    """Root mean square of the channels' common power."""
    return float(np.sqrt(np.square(sound, dtype=np.float64).sum(axis=0).mean()))


def spectrogram(sound: Sound, size: int, hop: int) -> np.ndarray:
    """Power (frames, size // 2 + 1) under a Hann window of `size` samples, every `hop` samples."""
    if sound.shape[1] < size:
        sound = np.pad(sound, ((0, 0), (0, size - sound.shape[1])))
    frames = np.lib.stride_tricks.sliding_window_view(sound, size, axis=1)[:, ::hop]
    spectra = np.fft.rfft(frames * np.hanning(size).astype(np.float32), axis=-1)
    return np.square(np.abs(spectra)).sum(axis=0)


def band(sound: Sound, low: float, high: float) -> Sound:
    """The sound between two frequencies in hertz, with edges a sixth of an octave wide."""
    hertz = np.fft.rfftfreq(sound.shape[1], 1 / SAMPLE_RATE)
    octaves = np.log2(np.maximum(hertz, 1.0))
    rising = np.clip((octaves - np.log2(max(low, 1.0))) * 6 + 0.5, 0, 1) if low > 0 else 1.0
    falling = np.clip((np.log2(high) - octaves) * 6 + 0.5, 0, 1)
    return np.fft.irfft(np.fft.rfft(sound, axis=1) * rising * falling, sound.shape[1], axis=1)


def envelope(sound: Sound, seconds: float) -> np.ndarray:
    """Amplitude every HOP samples, smoothed by a Hann window of `seconds`; value k stands for time k * HOP_SECONDS."""
    power = np.square(sound, dtype=np.float64).sum(axis=0)
    count = len(power) // HOP
    fine = power[: count * HOP].reshape(count, HOP).mean(axis=1)
    kernel = np.hanning(max(3, round(seconds / HOP_SECONDS) | 1) + 2)
    return np.sqrt(np.convolve(fine, kernel / kernel.sum(), mode="same"))


def decibels(amplitude: np.ndarray) -> np.ndarray:
    return 20 * np.log10(np.maximum(amplitude, QUIET**0.5))


def depth(sound: Sound) -> float:
    """How deep the level dips in dB: large for what repeats with gaps, small for what is steady."""
    levels = decibels(envelope(sound, 0.045))
    levels = levels[8:-8]  # the smoothing window sticks out over the ends
    return float(np.percentile(levels, 97) - np.percentile(levels, 20)) if len(levels) else 0.0


def onsets(sound: Sound, floor_db: float = -46.0) -> np.ndarray:
    """Times in seconds at which something begins, correct to about 10 ms for sharp attacks.

    An onset is a rise of the level by RISE_DB within about 50 ms to within BELOW_LOUDEST_DB of the loudest, above
    floor_db of full scale; a sound that is there at time 0 begins there.
    """
    smooth = envelope(sound, 0.02)
    if len(smooth) < 30:
        return np.empty(0)
    levels = decibels(smooth)
    loudest = np.percentile(levels, 99.5)
    levels = np.maximum(levels, max(loudest - 35, floor_db))
    padded = np.concatenate((np.full(16, levels.min()), levels, np.full(10, levels.min())))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 6)
    after = windows[16 : 16 + len(levels)].max(axis=1)  # the next 30 ms
    before = np.lib.stride_tricks.sliding_window_view(padded, 10)[: len(levels)].mean(axis=1)  # 80 to 30 ms ago
    rise = np.where(after >= max(loudest - BELOW_LOUDEST_DB, floor_db), after - before, 0)
    return refined(envelope(sound, 0.008), picked(rise))


def picked(rise: np.ndarray) -> list[int]:
    """Places of the local maxima of a rise above RISE_DB, the largest one first, REFRACTORY apart."""
    apart = round(REFRACTORY / HOP_SECONDS)
    left, places = rise.copy(), []
    while left.max() >= RISE_DB:
        best = int(left.argmax())
        places.append(best)
        left[max(0, best - apart) : best + apart + 1] = 0
    return sorted(places)


def refined(fine: np.ndarray, places: list[int]) -> np.ndarray:
    """Times at which the amplitude passes half of what it reaches around each place."""
    times = []
    for place in places:
        first = max(0, place - 8)
        part = fine[first : place + 14]
        peak = int(part[: place - first + 12].argmax())
        low = part[: peak + 1].min()
        half = low + 0.5 * (part[peak] - low)
        below = np.nonzero(part[:peak] < half)[0]
        times.append((first + (below[-1] + 1 if len(below) else 0)) * HOP_SECONDS)
    return np.array(times)


def period(times: np.ndarray) -> float:
    """Median distance of neighbouring onsets in seconds; infinite for fewer than three."""
    return float(np.median(np.diff(times))) if len(times) > 2 else float("inf")


def pitch_track(sound: Sound, size: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds and the strongest frequency in hertz at each, between 60 and 6000 Hz."""
    power = spectrogram(sound, size, size // 2)
    step = SAMPLE_RATE / size
    low, high = int(60 / step), int(6000 / step)
    best = low + power[:, low:high].argmax(axis=1)
    rows = np.arange(len(power))
    a, b, c = (np.log(power[rows, best + offset] + QUIET) for offset in (-1, 0, 1))
    bend = a - 2 * b + c
    shift = np.where(bend < 0, 0.5 * (a - c) / np.where(bend < 0, bend, 1), 0)
    return (rows * (size // 2) + size / 2) / SAMPLE_RATE, (best + np.clip(shift, -0.5, 0.5)) * step


def slope(times: np.ndarray, hertz: np.ndarray) -> tuple[float, float]:
    """Octaves a second of a pitch, and how far it strays from that line: median of both, so that outliers do not count.

    The slope is the median over pairs of points at least a third of the time apart (Theil and Sen).
    """
    octaves, gap = np.log2(hertz), max(1, len(times) // 3)
    rates = [(octaves[k:] - octaves[:-k]) / (times[k:] - times[:-k]) for k in range(gap, len(times))]
    if not rates:
        return 0.0, float("inf")
    rate = float(np.median(np.concatenate(rates)))
    rest = octaves - rate * times
    return rate, float(np.median(np.abs(rest - np.median(rest))))


def flatness(power: np.ndarray, size: int, low: float = 60.0, high: float = 8000.0) -> np.ndarray:
    """Spectral flatness of frames (frames, bins) between two frequencies: 0.56 for white noise, near 0 for tones."""
    step = SAMPLE_RATE / size
    part = power[:, int(low / step) : int(high / step)] + QUIET
    return np.exp(np.log(part).mean(axis=1)) / part.mean(axis=1)


def peakedness(power: np.ndarray, size: int, width: float = 0.08) -> np.ndarray:
    """Share of power of frames (frames, bins) within a share `width` of the strongest frequency: near 1 for a tone.

    White noise has 0.1 or less, a chord of three a third or more.
    """
    step = SAMPLE_RATE / size
    power = power[:, int(40 / step) : int(12000 / step)]
    places = np.arange(power.shape[1]) + int(40 / step)
    top = places[power.argmax(axis=1)][:, None]
    near = np.abs(places - top) <= np.maximum(width * top, 2)
    return (power * near).sum(axis=1) / np.maximum(power.sum(axis=1), QUIET)


def mean_spectrum(sound: Sound, size: int = 16384) -> tuple[np.ndarray, np.ndarray]:
    """Hertz and the share of power in each bin of the mean spectrum between 40 and 12000 Hz."""
    power = spectrogram(sound, size, size // 2).mean(axis=0)
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    power = np.where((hertz > 40) & (hertz < 12000), power, 0)
    return hertz, power / max(power.sum(), QUIET)


def share_between(hertz: np.ndarray, shares: np.ndarray, low: float, high: float) -> float:
    """Share of power between two frequencies in hertz."""
    return float(shares[(hertz >= low) & (hertz < high)].sum())


def strongest(hertz: np.ndarray, shares: np.ndarray, width: float = 0.08) -> Peak:
    """The highest peak, with the power within a share `width` of its frequency to both sides."""
    top = float(hertz[shares.argmax()])
    return Peak(top, share_between(hertz, shares, top * (1 - width), top * (1 + width)))


def side(sound: Sound) -> str:
    """left or right where one channel is more than 6 dB above the other, else centre."""
    left, right = (10 * np.log10(np.square(channel, dtype=np.float64).mean() + QUIET) for channel in sound)
    return "left" if left - right > 6 else "right" if right - left > 6 else "centre"
