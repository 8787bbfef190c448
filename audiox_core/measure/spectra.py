"""Which frequencies a sound is made of: spectra, mel levels, tonality and pitch.

Sounds are float (channels, samples), at 44.1 kHz where no rate is given. Powers add up over channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..lengths import SAMPLE_RATE
from .levels import SMALLEST_POWER, Sound, as_sound

MEL_WINDOW = 2048
"""Samples of the window of `mel_levels`."""

LOWEST_HERTZ, HIGHEST_HERTZ = 40.0, 16000.0
"""Range of the mel bands."""


@dataclass(frozen=True)
class Peak:
    """A spectral peak: hertz, and its share of all power of the spectrum."""

    hertz: float
    share: float


def power_spectrogram(sound: Sound, size: int, hop: int) -> np.ndarray:
    """Power (frames, size // 2 + 1) under a Hann window of `size` samples, every `hop` samples."""
    if sound.shape[1] < size:
        sound = np.pad(sound, ((0, 0), (0, size - sound.shape[1])))
    frames = np.lib.stride_tricks.sliding_window_view(sound, size, axis=1)[:, ::hop]
    spectra = np.fft.rfft(frames * np.hanning(size).astype(np.float32), axis=-1)
    return np.square(np.abs(spectra)).sum(axis=0)


def band_pass(sound: Sound, low: float, high: float) -> Sound:
    """The sound between two frequencies in hertz, with edges a sixth of an octave wide."""
    hertz = np.fft.rfftfreq(sound.shape[1], 1 / SAMPLE_RATE)
    octaves = np.log2(np.maximum(hertz, 1.0))
    rising = np.clip((octaves - np.log2(max(low, 1.0))) * 6 + 0.5, 0, 1) if low > 0 else 1.0
    falling = np.clip((np.log2(high) - octaves) * 6 + 0.5, 0, 1)
    return np.fft.irfft(np.fft.rfft(sound, axis=1) * rising * falling, sound.shape[1], axis=1)


def mean_spectrum(sound: Sound, size: int = 16384) -> tuple[np.ndarray, np.ndarray]:
    """Hertz and the share of power in each bin of the mean spectrum between 40 and 12000 Hz."""
    power = power_spectrogram(sound, size, size // 2).mean(axis=0)
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    power = np.where((hertz > 40) & (hertz < 12000), power, 0)
    return hertz, power / max(power.sum(), SMALLEST_POWER)


def power_share(hertz: np.ndarray, shares: np.ndarray, low: float, high: float) -> float:
    """Share of power between two frequencies in hertz."""
    return float(shares[(hertz >= low) & (hertz < high)].sum())


def strongest_peak(hertz: np.ndarray, shares: np.ndarray, width: float = 0.08) -> Peak:
    """The highest peak, with the power within a share `width` of its frequency to both sides."""
    top = float(hertz[shares.argmax()])
    return Peak(top, power_share(hertz, shares, top * (1 - width), top * (1 + width)))


def spectral_flatness(power: np.ndarray, size: int, low: float = 60.0, high: float = 8000.0) -> np.ndarray:
    """Spectral flatness of frames (frames, bins) between two frequencies: 0.56 for white noise, near 0 for tones."""
    step = SAMPLE_RATE / size
    part = power[:, int(low / step) : int(high / step)] + SMALLEST_POWER
    return np.exp(np.log(part).mean(axis=1)) / part.mean(axis=1)


def spectral_peakedness(power: np.ndarray, size: int, width: float = 0.08) -> np.ndarray:
    """Share of power of frames (frames, bins) within a share `width` of the strongest frequency: near 1 for a tone.

    White noise has 0.1 or less, a chord of three a third or more.
    """
    step = SAMPLE_RATE / size
    power = power[:, int(40 / step) : int(12000 / step)]
    bins = np.arange(power.shape[1]) + int(40 / step)
    top = bins[power.argmax(axis=1)][:, None]
    near = np.abs(bins - top) <= np.maximum(width * top, 2)
    return (power * near).sum(axis=1) / np.maximum(power.sum(axis=1), SMALLEST_POWER)


def pitch_track(sound: Sound, size: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds and the strongest frequency in hertz at each, between 60 and 6000 Hz."""
    power = power_spectrogram(sound, size, size // 2)
    step = SAMPLE_RATE / size
    low, high = int(60 / step), int(6000 / step)
    best = low + power[:, low:high].argmax(axis=1)
    rows = np.arange(len(power))
    a, b, c = (np.log(power[rows, best + offset] + SMALLEST_POWER) for offset in (-1, 0, 1))
    bend = a - 2 * b + c
    shift = np.where(bend < 0, 0.5 * (a - c) / np.where(bend < 0, bend, 1), 0)
    return (rows * (size // 2) + size / 2) / SAMPLE_RATE, (best + np.clip(shift, -0.5, 0.5)) * step


def pitch_slope(times: np.ndarray, hertz: np.ndarray) -> tuple[float, float]:
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


def mel(hertz: np.ndarray | float) -> np.ndarray:
    """The mel scale: pitch as ears space it."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def mel_edges(bands: int) -> np.ndarray:
    """Hertz (bands + 1) between which the bands lie, from low to high."""
    mels = np.linspace(mel(LOWEST_HERTZ), mel(HIGHEST_HERTZ), bands + 1)
    return 700 * (10 ** (mels / 2595) - 1)


def mel_levels(sound: Any, columns: int, bands: int, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Level in dB of full scale, float (bands, columns), low bands first.

    sound: (channels, samples), an array or a tensor on the CPU; powers add up over channels.

    Raises:
        AudioXError: not (channels, samples), or no samples.
    """
    sound = as_sound(sound)
    padded = np.pad(sound, ((0, 0), (MEL_WINDOW // 2, MEL_WINDOW // 2)))
    starts = np.linspace(0, sound.shape[1] - 1, columns).astype(int)
    frames = np.stack(
        [padded[:, start : start + MEL_WINDOW] for start in starts], axis=1
    )  # (channels, columns, MEL_WINDOW)
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(MEL_WINDOW).astype(np.float32)))).sum(axis=0)
    # The power between two frequencies, also where a band is narrower than a bin: differences of the running sum.
    edges = mel_edges(bands) * MEL_WINDOW / sample_rate + 0.5
    sums = np.concatenate((np.zeros((columns, 1)), power.cumsum(axis=1)), axis=1)
    bins = np.arange(sums.shape[1])
    at_edges = np.stack([np.interp(edges, bins, row) for row in sums])
    scale = (MEL_WINDOW / 4) ** 2  # of a full-scale sine's peak under the window
    return 10 * np.log10(np.diff(at_edges, axis=1).T / scale + 1e-12)
