"""The sound track of a video: a new sound alone, or together with the original one."""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from .audio import sound_blocks
from .files import Source, audio_stream, open_media, second_view, time_origin

Mode = Literal["replace", "mix", "duck"]

ACTIVE_LEVEL = 10 ** (-50 / 20)
"""The new sound counts as present where it is louder than -50 dB of full scale."""

HOPS_A_SECOND = 100
"""Resolution of the ducking curve."""

DUCK_HOLD_SECONDS = 0.25
"""The original is lowered this long before the new sound begins and after it ends, so gaps do not pump."""

DUCK_FADE_SECONDS = 0.2
"""Length of each fade between the two levels."""

BLOCK_SECONDS = 0.25


class SoundTrack:
    """Stereo sound in blocks, the same whenever it is asked for; only the new sound is held in memory.

    Args:
        sound: float32 (1 or 2, samples) at `rate`, gain applied.
        rate: samples a second.
        first: sample of the track at which `sound` begins; may be negative.
        total: samples of the track.
        original: source of the original sound, or None.
        origin: container time in seconds of the track's first sample in `original`.
        original_gain: factor of the original sound.
        duck_gain: further factor where the new sound is present, 1 for none.
        progress: called with (blocks done, blocks in all) for the two times that the track is gone through.
    """

    def __init__(
        self,
        sound: torch.Tensor,
        rate: int,
        first: int,
        total: int,
        *,
        original: Source | None = None,
        origin: Fraction = Fraction(0),
        original_gain: float = 1.0,
        duck_gain: float = 1.0,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.block_samples = math.ceil(rate * BLOCK_SECONDS)
        self.progress, self.done = progress, 0
        self.sound, self.rate, self.first, self.total = sound, rate, first, total
        self.original, self.origin, self.original_gain = original, origin, original_gain
        self.ducking = None if duck_gain == 1.0 else ducking_curve(sound, rate, first, total, duck_gain)

    def blocks(self) -> Iterator[tuple[int, torch.Tensor]]:
        """(first sample, float32 (2, samples)) from sample 0 to `total`."""
        size = self.block_samples
        originals = self._original_blocks(size) if self.original is not None else None
        for start in range(0, self.total, size):
            length = min(size, self.total - start)
            block = cut(self.sound, start - self.first, length).expand(2, -1)
            if originals is not None:
                background = next(originals)[:, :length] * self.original_gain
                if self.ducking is not None:
                    background = background * self._duck_gains(start, length)
                block = block + background
            yield start, block
            self.done += 1
            if self.progress is not None:
                self.progress(self.done, 2 * math.ceil(self.total / size))

    def peak(self) -> float:
        """Largest absolute value; reads through the original sound once."""
        return max((block.abs().max().item() for _, block in self.blocks()), default=0.0)

    def _duck_gains(self, start: int, length: int) -> torch.Tensor:
        """Gain of each sample, linear between the points of the curve."""
        samples = np.arange(start, start + length)
        points = (np.arange(len(self.ducking)) + 0.5) * (self.rate / HOPS_A_SECOND)
        return torch.from_numpy(np.interp(samples, points, self.ducking.numpy()).astype(np.float32))

    def _original_blocks(self, size: int) -> Iterator[torch.Tensor]:
        """The original in blocks (2, size) from sample 0, silence where it has none, without end."""
        with open_media(second_view(self.original)) as container:
            stream = audio_stream(container, self.original)
            # one channel stays one here and is doubled by us: the converter would lower it by 3 dB
            layout = None if stream.codec_context.layout.nb_channels == 1 else "stereo"
            skipped = self.origin - time_origin(stream)
            late = round(-skipped * self.rate)  # sample of the track at which the original begins
            held = torch.zeros(2, max(late, 0))
            for place, array in sound_blocks(container, stream, first=max(skipped, 0), rate=self.rate, layout=layout):
                block = torch.from_numpy(array).expand(2, -1)[:, max(-place - late, 0) :]
                held = torch.cat([held, block], dim=1)
                while held.shape[1] >= size:
                    yield held[:, :size]
                    held = held[:, size:]
        yield cut(held, 0, size)
        while True:
            yield torch.zeros(2, size)


def cut(sound: torch.Tensor, start: int, length: int) -> torch.Tensor:
    """Samples start … start + length - 1 of (channels, samples), silence where the sound has none."""
    length = max(length, 0)
    begin, end = max(start, 0), max(min(start + length, sound.shape[1]), 0)
    if begin >= end:
        return sound.new_zeros(sound.shape[0], length)
    return F.pad(sound[:, begin:end], (begin - start, start + length - end))


def ducking_curve(sound: torch.Tensor, rate: int, first: int, total: int, gain: float) -> torch.Tensor:
    """Gain of the original sound, HOPS_A_SECOND values a second: `gain` around the new sound, 1 elsewhere."""
    hops = math.ceil(total * HOPS_A_SECOND / rate) + 1
    curve = torch.zeros(hops)
    loud = sound.abs().amax(dim=0) > ACTIVE_LEVEL
    places = (loud.nonzero()[:, 0] + first) * HOPS_A_SECOND // rate
    curve[places[(places >= 0) & (places < hops)]] = 1.0
    hold, fade = round(DUCK_HOLD_SECONDS * HOPS_A_SECOND), round(DUCK_FADE_SECONDS * HOPS_A_SECOND)
    curve = F.max_pool1d(curve[None, None], 2 * hold + 1, stride=1, padding=hold)
    curve = F.pad(curve, (fade // 2, fade // 2), mode="replicate" if hops > 1 else "constant")
    curve = F.avg_pool1d(curve, 2 * (fade // 2) + 1, stride=1)[0, 0]
    return 1 + (gain - 1) * curve
