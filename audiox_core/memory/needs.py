"""What a model and a job need: numbers of weights and peak bytes of each stage, from sizes alone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..checkpoint import Checkpoint
from ..lengths import LATENT_FRAMES
from . import activations

ONCE = ("modulation", "cross_kv")
"""Layers of a transformer block that `prepare` runs, once per prompt; the steps do without them."""

_BLOCK = re.compile(r"transformer\.layers\.(\d+)\.(\w+)\.")
_PREPARED = ("transformer.context_",)


@dataclass(frozen=True)
class Dtypes:
    """Types of the weights and of the arithmetic: network, encoders (T5, CLIP, Synchformer) and VAE."""

    network: torch.dtype = torch.float32
    encoders: torch.dtype = torch.float32
    vae: torch.dtype = torch.float32

    def of(self, part: str) -> torch.dtype:
        return {"network": self.network, "vae": self.vae}.get(part, self.encoders)


@dataclass(frozen=True)
class Workload:
    """A run. sounds: made at once; prompts: different ones among them.

    rows: of the network for each sound, 2 with guidance. frames: of the latent. video, audio: prompts beside the text.
    """

    sounds: int = 1
    prompts: int = 1
    rows: int = 1
    frames: int = LATENT_FRAMES
    video: bool = False
    audio: bool = False

    @property
    def window(self) -> int:
        """Latent frames that the network sees at once."""
        return min(self.frames, LATENT_FRAMES)


@dataclass(frozen=True)
class NetworkParameters:
    """Numbers of the network's weights, by when they run.

    prompt: once per prompt; largest: the largest layer of these. block: one transformer block at each step; blocks:
    how many there are. ends: the transformer's rest.
    """

    prompt: int
    largest: int
    block: int
    blocks: int
    ends: int

    @property
    def total(self) -> int:
        return self.prompt + self.block * self.blocks + self.ends

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> NetworkParameters:
        """From native names and shapes of the network."""
        prompt: dict[str, int] = {}
        blocks: dict[str, int] = {}
        ends = 0
        for name, shape in shapes.items():
            numbers, found = math.prod(shape), _BLOCK.match(name)
            if found and found[2] not in ONCE:
                blocks[found[1]] = blocks.get(found[1], 0) + numbers
            elif found or name.startswith(_PREPARED) or not name.startswith("transformer."):
                layer = name.rpartition(".")[0]
                prompt[layer] = prompt.get(layer, 0) + numbers
            else:
                ends += numbers
        return cls(sum(prompt.values()), max(prompt.values()), max(blocks.values()), len(blocks), ends)


@dataclass(frozen=True)
class ModelFootprint:
    """A model's parts: sizes objects and numbers of weights by name, as in `Checkpoint.sizes`."""

    sizes: Mapping[str, Any]
    numbers: Mapping[str, int]
    network: NetworkParameters

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> ModelFootprint:
        parts = [part for part in checkpoint.parts if part in checkpoint.sizes]
        network = NetworkParameters.from_shapes(checkpoint.shapes("network"))
        numbers = {part: checkpoint.numbers(part) for part in parts}
        return cls({part: checkpoint.sizes[part] for part in parts}, numbers, network)

    def weights(self, part: str, dtypes: Dtypes) -> int:
        """Bytes of a part."""
        return self.numbers[part] * dtypes.of(part).itemsize

    def stages(self, job: Workload) -> tuple[tuple[str, str], ...]:
        """(stage, part) in the order of a run; parts that the model lacks are left out."""
        wanted = [("encode text", "t5")]
        if job.video:
            wanted += [("encode video", "clip_vision"), ("encode video", "synchformer")]
        if job.audio:
            wanted += [("encode audio", "vae")]
        wanted += [("sample", "network"), ("decode", "vae")]
        return tuple((stage, part) for stage, part in wanted if part in self.numbers)


@dataclass(frozen=True)
class ActivationPeaks:
    """Peak activations of the stages of a job on a model, in bytes. segments: that Synchformer takes at once."""

    model: ModelFootprint
    job: Workload
    dtypes: Dtypes
    segments: int

    def of(self, stage: str, part: str, piece: int, sounds: int) -> int:
        """Any stage with all of its part on the device; piece and sounds at once count for the VAE."""
        size, sizes = self.dtypes.of(part).itemsize, self.model.sizes[part]
        if part == "network":
            return max(self.prepare, self.steps)
        if part == "vae":
            if stage == "encode audio":
                return activations.encode(sizes, 1, size, piece)
            frames = min(self.job.frames, LATENT_FRAMES + 2 * DECODE_REACH)
            waveform = sounds * sizes.audio_channels * sizes.samples_per_latent * self.job.frames * size
            return activations.decode(sizes, sounds, frames, size, piece) + waveform
        if part == "synchformer":
            return activations.synchformer(sizes, size, self.segments)
        return {"t5": activations.text, "clip_vision": activations.clip}[part](sizes, size)

    @property
    def prepare(self) -> int:
        """Fusing the prompts and what `prepare` draws from them."""
        sizes, size, job = self.model.sizes["network"], self.dtypes.network.itemsize, self.job
        fuse = activations.context(sizes, job.prompts, size, job.video)
        return max(fuse, activations.prepare(sizes, job.prompts * job.rows, size))

    @property
    def steps(self) -> int:
        """The steps, with what was prepared for them."""
        sizes, size, job = self.model.sizes["network"], self.dtypes.network.itemsize, self.job
        prompts = job.prompts * job.rows
        evaluation = activations.evaluation(sizes, prompts, job.sounds * job.rows, job.window, size)
        states = 8 * job.sounds * sizes.transformer.latent_channels * (job.frames - job.window) * activations.FLOAT32
        return activations.prepared(sizes, prompts, size) + evaluation + states


DECODE_REACH = 12
"""Latent frames on either side of a window that decoding a longer sound adds."""
