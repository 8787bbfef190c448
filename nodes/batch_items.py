"""What each item of a LATENT is: its length, its source sound and the ranges to regenerate.

Core's batch nodes copy the dictionary of the first LATENT they are given, so a value there describes the first one's
items only. Item by item they carry just the rows of `samples` and the entries of `batch_index`. Therefore each of our
entries knows its item, and before a source is used the rows are compared with it: wherever a source comes back in the
sound, the latent must still be the source's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..audiox_core.errors import AudioXError
from ..audiox_core.lengths import SAMPLE_RATE, samples_from_seconds, samples_of_latent
from ..audiox_core.media.splice import checked_range, regenerated_frames, splice
from .keys import ITEMS

LARGEST_DEVIATION = 2e-3
"""RMS difference, relative to the source's RMS, up to which a row is its source: rounding to bfloat16 stays below."""


@dataclass(frozen=True, eq=False)
class BatchItem:
    """One sound of a LATENT; by default one of which nothing is known.

    samples: length of the sound. frames: of its latent. loop: whether its end meets its beginning. source (2, samples)
    and encoded (64, frames): the sound it comes from and its latent. ranges: (first, last) samples to regenerate;
    without any the whole sound is generated, with some the rest comes from the source.
    """

    samples: int | None = None
    frames: int | None = None
    loop: bool = False
    source: Tensor | None = None
    encoded: Tensor | None = None
    ranges: tuple[tuple[int, int], ...] = ()

    def with_range(self, start: float, end: float) -> BatchItem:
        """This item with one more range to regenerate, in seconds; AudioXError outside the sound."""
        if self.source is None:
            raise AudioXError(
                "The latent carries no source sound to keep: connect AudioX VAE Encode, not an empty or a sampled "
                "latent."
            )
        return replace(self, ranges=(*self.ranges, checked_range(start, end, self.source.shape[-1])))

    def mask(self, frames: int) -> Tensor:
        """Noise mask (frames,): 1 where the latent is generated."""
        if self.source is None or not self.ranges:
            return torch.ones(frames)
        return regenerated_frames(self.ranges, self.source.shape[-1], frames)

    def keeps(self, row: Tensor) -> bool:
        """Whether a row (64, frames) still is the source's latent in all frames that are not generated."""
        if self.encoded is None or not self.ranges:
            return True
        if row.shape != self.encoded.shape:
            return False
        kept = self.mask(row.shape[-1]) == 0
        source = self.encoded[:, kept].float()
        deviation = (row.to(source)[:, kept] - source).square().sum()
        return bool(deviation <= LARGEST_DEVIATION**2 * source.square().sum())

    def spliced(self, generated: Tensor) -> Tensor:
        """A decoded sound (1, 2, samples) with the source in the place of what is kept."""
        if self.source is None or not self.ranges:
            return generated
        if generated.shape[-1] > self.source.shape[-1]:
            raise AudioXError(
                f"A sound of {generated.shape[-1] / SAMPLE_RATE:.2f} s was requested, but the edited sound has "
                f"{self.source.shape[-1] / SAMPLE_RATE:.2f} s: set seconds to 0, and to lengthen the sound set after "
                "in AudioX VAE Encode."
            )
        source = self.source[None, :, : generated.shape[-1]].to(generated)
        return splice(generated, source, self.ranges)


class BatchIndex(int):
    """An entry of `batch_index`, which core's batch nodes join, pick, repeat and slice along with the rows."""

    item: BatchItem

    def __new__(cls, value: int, item: BatchItem | None = None) -> BatchIndex:
        index = super().__new__(cls, value)
        index.item = item or BatchItem()
        return index

    def __add__(self, offset: int) -> BatchIndex:
        """RepeatLatentBatch numbers the repetitions so; they are the same item again."""
        return BatchIndex(int(self) + offset, self.item)


def described(items: Sequence[BatchItem], indices: Sequence[int] | None = None) -> dict:
    """The entries of a LATENT that say what its items are; indices: those of the seeds, by default in order."""
    numbers = range(len(items)) if indices is None else indices
    return {ITEMS: tuple(items), "batch_index": [BatchIndex(n, item) for n, item in zip(numbers, items, strict=True)]}


def noise_mask(items: Sequence[BatchItem], frames: int) -> Tensor | None:
    """Noise mask (B, 1, frames), None where everything is generated. Core's masks of images have one dimension more."""
    if not any(item.ranges for item in items):
        return None
    return torch.stack([item.mask(frames) for item in items])[:, None]


def items_of(latent: dict) -> tuple[BatchItem, ...]:
    """The item of each row; AudioXError if a row no longer holds the source that would come back in its sound."""
    rows = latent["samples"]
    candidates = _candidates(latent)
    unfit = 0
    for items in candidates:
        unfit = next((i for i, (item, row) in enumerate(zip(items, rows, strict=True)) if not item.keeps(row)), -1)
        if unfit < 0:
            return items
    raise AudioXError(
        f"Sound {unfit + 1} of the latent is no longer its source sound outside the ranges to regenerate: a node "
        "has mixed, changed or exchanged it. Connect AudioX VAE Encode and AudioX Mask Time Range without such nodes; "
        "Batch Latents, Latent From Batch, Repeat Latent Batch and Rebatch Latents are fine."
    )


def _candidates(latent: dict) -> list[tuple[BatchItem, ...]]:
    """What the rows may be: what `batch_index` says and, where it numbers only some of them, what the dictionary says.

    LatentBatchSeedBehavior gives all rows the first one's entry, or none.
    """
    count, listed, indices = len(latent["samples"]), latent.get(ITEMS, ()), latent.get("batch_index") or ()
    indexed = tuple(index.item if isinstance(index, BatchIndex) else BatchItem() for index in indices)
    indexed = indexed if any(isinstance(index, BatchIndex) for index in indices) else ()
    lists = (indexed, listed) if {*indexed} <= {*listed} else (indexed,)
    fitting = [items for items in lists if len(items) == count]
    if fitting:
        return fitting
    known = {*indexed, *listed}
    if any(item.ranges for item in known) or len({(item.samples, item.loop) for item in known}) > 1:
        raise AudioXError(
            f"The latent has {count} sounds, but says of {len(listed or indexed)} where they come from: a node has "
            "added, removed or renumbered some. Use Batch Latents, Latent From Batch, Repeat Latent Batch or Rebatch "
            "Latents, and no Latent Batch Seed Behavior after them."
        )
    return [(next(iter(known), BatchItem()),) * count]


def mask_of(latent: dict, items: Sequence[BatchItem]) -> Tensor | None:
    """The noise mask to sample with: the items' mask, unless another node has set one.

    AudioXError for a mask of an image.
    """
    mask, frames = latent.get("noise_mask"), latent["samples"].shape[-1]
    if mask is None or _is_rebatched(mask, frames) or _is_ours(latent, items, mask):
        return noise_mask(items, frames)
    if mask.ndim != 3:
        raise AudioXError(
            f"The latent's noise mask has the shape {list(mask.shape)}, which is that of an image: mark a range of the "
            "sound with AudioX Mask Time Range, not with Set Latent Noise Mask."
        )
    return mask


def _is_rebatched(mask: Tensor, frames: int) -> bool:
    """Whether RebatchLatents has repeated one of our masks: (B, 1, 1, frames)."""
    return mask.ndim == 4 and mask.shape[1:] == (1, 1, frames)


def _is_ours(latent: dict, items: Sequence[BatchItem], mask: Tensor) -> bool:
    """Whether each row of a noise mask is that of an item, though perhaps of one that stood first before."""
    frames = latent["samples"].shape[-1]
    ours = [item.mask(frames) for item in {*items, *latent.get(ITEMS, ())} if item.ranges]
    if mask.ndim != 3 or mask.shape[1:] != (1, frames):
        return False
    return all(any(torch.equal(row.cpu(), one) for one in (*ours, torch.ones(frames))) for row in mask[:, 0])


def check_mask(latent: dict) -> None:
    """AudioXError if a sampler of core has sampled the items of a LATENT with a mask of ours that is not theirs."""
    mask, frames, items = latent.get("noise_mask"), latent["samples"].shape[-1], _candidates(latent)[0]
    if mask is None or not _is_ours(latent, items, mask):
        return
    for i, item in enumerate(items):
        if not torch.equal(mask[i % len(mask), 0].cpu(), item.mask(frames)):
            raise AudioXError(
                f"Sound {i + 1} of the latent was sampled with the ranges of another: core's samplers take those of "
                "the first sound for a whole batch. Sample it with AudioX Sample, or put AudioX Mask Time Range after "
                "the node that joins the sounds."
            )


def loop_of(items: Sequence[BatchItem]) -> bool:
    """Whether the sounds are loops; AudioXError if only some are."""
    if len({item.loop for item in items}) > 1:
        raise AudioXError(
            "Some sounds of the latent are loops and some are not: sample and decode them one by one, with Latent From "
            "Batch."
        )
    return items[0].loop


def length_of(items: Sequence[BatchItem], frames: int, seconds: float) -> int:
    """Samples that sounds of a latent with a number of frames have: seconds of them, unless that is 0.

    Raises:
        AudioXError: the sounds differ in length, or another node has changed their number of frames.
    """
    if seconds:
        return samples_from_seconds(seconds)
    lengths = {item.samples or samples_of_latent(frames) for item in items}
    if len(lengths) > 1:
        words = ", ".join(f"{length / SAMPLE_RATE:.2f} s" for length in sorted(lengths))
        raise AudioXError(
            f"The sounds of the latent differ in length ({words}), but an AUDIO has one: set seconds, or decode them "
            "one by one, with Latent From Batch."
        )
    for item in items:
        if item.frames not in (None, frames):
            raise AudioXError(
                f"The latent has {frames} frames, but was made with {item.frames} for a sound of "
                f"{(item.samples or 0) / SAMPLE_RATE:.2f} s: another node has joined or cut it. Set seconds to the "
                "length you want; to join sounds, join the AUDIO instead."
            )
    return lengths.pop()
