"""The sound track of a video: a new sound alone, or together with the original."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch.nn import functional as F

from .audio import sound_blocks
from .files import Source, audio_stream, open_media, second_view, time_origin
from .slicing import padded_slice

ACTIVE_LEVEL = 10 ** (-50 / 20)
"""The new sound counts as present where it is louder than -50 dB of full scale."""

HOPS_A_SECOND = 100
"""Resolution of the ducking curve."""

DUCK_HOLD_SECONDS = 0.25
"""The original is lowered this long before the new sound begins and after it ends, so gaps do not pump."""

DUCK_FADE_SECONDS = 0.2
"""Length of each fade between the two levels."""

BLOCK_SECONDS = 0.25


@dataclass(frozen=True)
class OriginalSound:
    """The sound that a video has already.

    source: the video; origin: container time in seconds of the track's first sample in it; gain: a factor;
    duck_gain: a further factor where the new sound is present, 1 for none.
    """

    source: Source
    origin: Fraction = Fraction(0)
    gain: float = 1.0
    duck_gain: float = 1.0


class SoundTrack:
    """Stereo sound in blocks, the same at every pass; only the new sound is in memory.

    Args:
        sound: float32 (1 or 2, samples) at `rate`, gain applied.
        rate: samples a second.
        first: sample of the track at which `sound` begins; may be negative.
        total: samples of the track.
        original: the sound to mix it with, if any.
        progress: called with (blocks done, blocks in all) during the two passes through the track.
    """

    def __init__(
        self,
        sound: torch.Tensor,
        rate: int,
        first: int,
        total: int,
        *,
        original: OriginalSound | None = None,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.block_samples = math.ceil(rate * BLOCK_SECONDS)
        self.progress, self.done = progress, 0
        self.sound, self.rate, self.first, self.total = sound, rate, first, total
        self.original = original

    def blocks(self) -> Iterator[tuple[int, torch.Tensor]]:
        """(first sample, float32 (2, samples)) from sample 0 to `total`."""
        size = self.block_samples
        originals = self._original_blocks(self.original, size) if self.original is not None else None
        for start in range(0, self.total, size):
            length = min(size, self.total - start)
            block = padded_slice(self.sound, start - self.first, length).expand(2, -1)
            if originals is not None:
                block = block + next(originals)[:, :length]
            yield start, block
            self.done += 1
            if self.progress is not None:
                self.progress(self.done, 2 * math.ceil(self.total / size))

    def peak(self) -> float:
        """Largest absolute value; reads through the original sound once."""
        return max((block.abs().max().item() for _, block in self.blocks()), default=0.0)

    def _original_blocks(self, original: OriginalSound, size: int) -> Iterator[torch.Tensor]:
        """The original at its level, in blocks (2, size) from sample 0, silence where it has none, without end."""
        ducking = None
        if original.duck_gain != 1.0:
            ducking = ducking_curve(self.sound, self.rate, self.first, self.total, original.duck_gain)
        for index, block in enumerate(self._source_blocks(original, size)):
            block = block * original.gain
            yield block if ducking is None else block * duck_gains(ducking, self.rate, index * size, size)

    def _source_blocks(self, original: OriginalSound, size: int) -> Iterator[torch.Tensor]:
        with open_media(second_view(original.source)) as container:
            stream = audio_stream(container, original.source)
            skipped = original.origin - time_origin(stream)
            late = round(-skipped * self.rate)  # sample of the track at which the original begins
            pending = torch.zeros(2, min(max(late, 0), self.total))
            first = max(skipped, Fraction(0))
            # mono stays mono here and is duplicated by us: the converter would lower it by 3 dB
            for position, samples, _ in sound_blocks(container, stream, first=first, rate=self.rate, mix_down=True):
                block = torch.from_numpy(samples).expand(2, -1)[:, max(-position - late, 0) :]
                pending = torch.cat([pending, block], dim=1)
                while pending.shape[1] >= size:
                    yield pending[:, :size]
                    pending = pending[:, size:]
        yield padded_slice(pending, 0, size)
        while True:
            yield torch.zeros(2, size)


def duck_gains(curve: torch.Tensor, rate: int, start: int, length: int) -> torch.Tensor:
    """Gain of each sample from `start` on, linear between the points of a `ducking_curve`."""
    samples = np.arange(start, start + length)
    points = (np.arange(len(curve)) + 0.5) * (rate / HOPS_A_SECOND)
    return torch.from_numpy(np.interp(samples, points, curve.numpy()).astype(np.float32))


def ducking_curve(sound: torch.Tensor, rate: int, first: int, total: int, gain: float) -> torch.Tensor:
    """Gain of the original sound, HOPS_A_SECOND values a second: `gain` around the new sound, 1 elsewhere."""
    hops = math.ceil(total * HOPS_A_SECOND / rate) + 1
    curve = torch.zeros(hops)
    loud = sound.abs().amax(dim=0) > ACTIVE_LEVEL
    active = (loud.nonzero()[:, 0] + first) * HOPS_A_SECOND // rate
    curve[active[(active >= 0) & (active < hops)]] = 1.0
    hold, fade = round(DUCK_HOLD_SECONDS * HOPS_A_SECOND), round(DUCK_FADE_SECONDS * HOPS_A_SECOND)
    curve = F.max_pool1d(curve[None, None], 2 * hold + 1, stride=1, padding=hold)
    curve = F.pad(curve, (fade // 2, fade // 2), mode="replicate" if hops > 1 else "constant")
    curve = F.avg_pool1d(curve, 2 * (fade // 2) + 1, stride=1)[0, 0]
    return 1 + (gain - 1) * curve
