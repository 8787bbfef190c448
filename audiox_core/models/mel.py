"""The log mel spectrogram in which AudioX-MAF takes audio prompts. Nothing here is learned.

The filters are those for sound at 24 kHz. The official code feeds them sound at 44.1 kHz as it is, and the weights were
trained with that: a filter designed for a frequency f sits at 1.84 f.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

WINDOW = 1024
HOP = 256
FILTER_RATE = 24000
"""Sample rate that the filters were designed for, in Hz; they end at half of it."""

FLOOR = 1e-5
SILENCE = math.log(FLOOR)
"""The value of every bin of silence: -11.51."""


def mel_frames(samples: int) -> int:
    """Frames of the spectrogram of a sound: 1723 for 10 s."""
    return samples // HOP + 1


def mel_filters(mels: int, device: torch.device | None = None) -> Tensor:
    """Triangular filters (WINDOW / 2 + 1, mels), evenly spaced on HTK's mel scale, all with a peak of one.

    The lowest are narrower than a bin; seven of 256 contain no bin at all.
    """
    top = 2595 * math.log10(1 + FILTER_RATE / 2 / 700)
    points = 700 * (10 ** (torch.linspace(0, top, mels + 2, device=device) / 2595) - 1)  # (mels + 2,) in Hz
    bins = torch.linspace(0, FILTER_RATE // 2, WINDOW // 2 + 1, device=device)
    distance = points[None] - bins[:, None]  # (bins, mels + 2)
    width = points.diff()
    rising = -distance[:, :-2] / width[:-1]
    falling = distance[:, 2:] / width[1:]
    return torch.minimum(rising, falling).clamp(min=0)


def log_mel(waveform: Tensor, mels: int) -> Tensor:
    """Log mel spectrogram (B, mels, frames) of the mean of the channels of sound (B, channels, samples) at 44.1 kHz."""
    mono = waveform.float().mean(dim=1)
    window = torch.hann_window(WINDOW, device=mono.device)
    spectrum = torch.stft(mono, WINDOW, HOP, window=window, center=True, pad_mode="reflect", return_complex=True).abs()
    filters = mel_filters(mels, mono.device)
    return (spectrum.transpose(1, 2) @ filters).transpose(1, 2).clamp(min=FLOOR).log()
