"""What a model and a workload need: numbers of weights and peak bytes of each stage, from sizes alone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..checkpoint import Checkpoint
from ..lengths import DECODE_REACH, LATENT_FRAMES
from ..release.components import CLIP_VISION, NETWORK, SYNCHFORMER, T5, VAE
from . import activations

ONCE = ("modulation", "cross_kv")
"""Layers of a transformer block that only `prepare` runs, once per prompt."""

_BLOCK = re.compile(r"transformer\.layers\.(\d+)\.(\w+)\.")
_PREPARED = ("transformer.context_",)


@dataclass(frozen=True)
class Dtypes:
    """Number types of the weights and the arithmetic: of network, encoders (T5, CLIP, Synchformer) and VAE."""

    network: torch.dtype = torch.float32
    encoders: torch.dtype = torch.float32
    vae: torch.dtype = torch.float32

    def of(self, part: str) -> torch.dtype:
        """The type of a component."""
        return {NETWORK: self.network, VAE: self.vae}.get(part, self.encoders)


@dataclass(frozen=True)
class Workload:
    """A run. sounds: generated at once; prompts: different ones among them.

    rows: batch rows of the network for each sound, 2 with guidance. frames: of the latent. video, audio: prompts
    beside the text.
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

    prompt_layers: those that run once per prompt; largest_prompt_layer: the largest layer of these. block: what one
    transformer block needs at each step; blocks: how many blocks there are. rest: what else the transformer needs.
    """

    prompt_layers: int
    largest_prompt_layer: int
    block: int
    blocks: int
    rest: int

    @property
    def total(self) -> int:
        return self.prompt_layers + self.block * self.blocks + self.rest

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> NetworkParameters:
        """From native names and shapes of the network."""
        prompt_layers: dict[str, int] = {}
        blocks: dict[str, int] = {}
        rest = 0
        for name, shape in shapes.items():
            numbers, in_block = math.prod(shape), _BLOCK.match(name)
            if in_block and in_block[2] not in ONCE:
                blocks[in_block[1]] = blocks.get(in_block[1], 0) + numbers
            elif in_block or name.startswith(_PREPARED) or not name.startswith("transformer."):
                layer = name.rpartition(".")[0]
                prompt_layers[layer] = prompt_layers.get(layer, 0) + numbers
            else:
                rest += numbers
        return cls(
            prompt_layers=sum(prompt_layers.values()),
            largest_prompt_layer=max(prompt_layers.values()),
            block=max(blocks.values()),
            blocks=len(blocks),
            rest=rest,
        )


@dataclass(frozen=True)
class ModelFootprint:
    """A model's components: sizes objects and numbers of weights by name, as in `Checkpoint.sizes`."""

    sizes: Mapping[str, Any]
    numbers: Mapping[str, int]
    network: NetworkParameters

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> ModelFootprint:
        parts = [part for part in checkpoint.parts if part in checkpoint.sizes]
        network = NetworkParameters.from_shapes(checkpoint.shapes(NETWORK))
        numbers = {part: checkpoint.numbers(part) for part in parts}
        return cls({part: checkpoint.sizes[part] for part in parts}, numbers, network)

    def weights(self, part: str, dtypes: Dtypes) -> int:
        """Bytes of a component's weights."""
        return self.numbers[part] * dtypes.of(part).itemsize

    def stages(self, workload: Workload) -> tuple[tuple[str, str], ...]:
        """(stage, component) in the order of a run, without components that the model lacks."""
        stages = [("encode text", T5)]
        if workload.video:
            stages += [("encode video", CLIP_VISION), ("encode video", SYNCHFORMER)]
        if workload.audio:
            stages += [("encode audio", VAE)]
        stages += [("sample", NETWORK), ("decode", VAE)]
        return tuple((stage, part) for stage, part in stages if part in self.numbers)


@dataclass(frozen=True)
class ActivationPeaks:
    """Peak activations of a workload's stages, in bytes. segments: how many Synchformer takes at once."""

    model: ModelFootprint
    workload: Workload
    dtypes: Dtypes
    segments: int

    def of(self, stage: str, part: str, tile_size: int, batch: int) -> int:
        """A stage with all of its component on the device. tile_size, batch: of the VAE, see `plan.Decoding`."""
        size, sizes = self.dtypes.of(part).itemsize, self.model.sizes[part]
        if part == NETWORK:
            return max(self.prepare, self.steps)
        if part == SYNCHFORMER:
            return activations.synchformer(sizes, size, self.segments)
        if part == CLIP_VISION:
            return activations.clip(sizes, size)
        if part == T5:
            return activations.text(sizes, size)
        if stage == "encode audio":
            return activations.encode(sizes, 1, size, tile_size)
        frames = min(self.workload.frames, LATENT_FRAMES + 2 * DECODE_REACH)
        waveform = batch * sizes.audio_channels * sizes.samples_per_latent * self.workload.frames * size
        return activations.decode(sizes, batch, frames, size, tile_size) + waveform

    @property
    def prepare(self) -> int:
        """Fusing the prompts, and what `AudioXNetwork.prepare` computes from them."""
        sizes, size, workload = self.model.sizes[NETWORK], self.dtypes.network.itemsize, self.workload
        fuse = activations.context(sizes, workload.prompts, size, workload.video)
        return max(fuse, activations.prepare(sizes, workload.prompts * workload.rows, size))

    @property
    def steps(self) -> int:
        """The steps, with what was prepared for them."""
        sizes, size, workload = self.model.sizes[NETWORK], self.dtypes.network.itemsize, self.workload
        prompts = workload.prompts * workload.rows
        evaluation = activations.evaluation(sizes, prompts, workload.sounds * workload.rows, workload.window, size)
        beyond = workload.sounds * sizes.transformer.latent_channels * (workload.frames - workload.window)
        return activations.prepared(sizes, prompts, size) + evaluation + 8 * beyond * activations.FLOAT32
