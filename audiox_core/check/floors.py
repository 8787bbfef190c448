"""What work cannot take less than: its arithmetic at a machine's rate of multiplying matrices, or its bytes at the rate
of reading them.

Arithmetic is counted on models without memory (the meta device).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..checkpoint import Checkpoint
from ..memory import ModelFootprint
from ..models.dit import DiTSizes
from ..models.encoders import TEXT_TOKENS
from ..models.network import AudioXNetwork, NetworkSizes
from ..models.onednn import linear
from ..models.vae import OobleckVAE, VAESizes
from ..release.components import NETWORK, T5, VAE
from ..sampling.presets import RunSettings

ROWS, INNER, OUTER = 237, 4608, 4096
"""A product of the released transformer's feed-forward."""

READ_NUMBERS = 2**26
"""float32 numbers that are read to measure the memory's rate: more than any cache holds."""

ONE_TILE = 2**40
"""A tile size at which the VAE works in one tile, without margins."""


@dataclass(frozen=True)
class Work:
    """What a stage has to do: floating-point operations, and numbers of weights that it reads."""

    operations: int
    weights: int

    def seconds(self, rate: float, bandwidth: float, size: int) -> float:
        """At a rate in operations a second and a bandwidth in bytes a second, weights of `size` bytes."""
        return max(self.operations / rate, self.weights * size / bandwidth)


def matrix_rate(device: torch.device, dtype: torch.dtype, repeat: int = 25) -> float:
    """Operations a second of a matrix product, the fastest of several, by whichever library does it faster."""
    x, weight = (torch.ones(rows, INNER, dtype=dtype, device=device) for rows in (ROWS, OUTER))
    with torch.inference_mode():
        best = min(fastest(partial(product, x, weight), device, repeat) for product in (F.linear, linear))
    return 2 * ROWS * INNER * OUTER / best


def bandwidth(device: torch.device, repeat: int = 5) -> float:
    """Bytes a second that are read from memory in order."""
    numbers = torch.ones(READ_NUMBERS, device=device)
    return 4 * numbers.numel() / fastest(numbers.sum, device, repeat)


def fastest(run: Callable[[], object], device: torch.device, repeat: int) -> float:
    """Seconds of the fastest of several calls of a function, after one that does not count."""
    seconds = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        run()
        if device.type != "cpu":
            getattr(torch, device.type).synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def counted(run: Callable[[], object]) -> int:
    """Floating-point operations of what a function computes."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def text_work(checkpoint: Checkpoint) -> Work:
    """T5's: every weight but the vocabulary's is multiplied with every token."""
    sizes = checkpoint.sizes[T5]
    weights = checkpoint.numbers(T5) - sizes.vocabulary * sizes.width
    return Work(2 * weights * TEXT_TOKENS, weights)


def sampling_work(sizes: NetworkSizes, model: ModelFootprint, settings: RunSettings) -> Work:
    """Preparing a prompt once, then an evaluation in each step for one sound of 10 s."""
    network = AudioXNetwork(sizes, device="meta").eval().requires_grad_(False)
    inner, rows = sizes.transformer, settings.evaluations
    context = torch.empty(rows, sizes.context_tokens, inner.context_width, device="meta")
    latent = torch.empty(rows, inner.latent_channels, inner.latent_length, device="meta")
    prepared = torch.empty(0)

    def prepare() -> None:
        nonlocal prepared
        prepared = network.prepare(context)

    once = counted(prepare)
    each = counted(lambda: network(latent, torch.empty(rows, device="meta"), prepared))
    parameters = model.network
    read = parameters.block * parameters.blocks + parameters.rest
    reused = prepared.numel() if not isinstance(inner, DiTSizes) else 0
    return Work(once + settings.steps * each, parameters.prompt_layers + settings.steps * (read + reused))


def decoding_work(sizes: VAESizes, frames: int) -> Work:
    """Decoding a latent of so many frames."""
    vae = OobleckVAE(sizes, device="meta").eval().requires_grad_(False)
    vae.set_tile_size(ONE_TILE)
    latent = torch.empty(1, sizes.latent_channels, frames, device="meta")
    return Work(counted(lambda: vae.decode(latent)), weights(vae.decoder))


def weights(*models: nn.Module) -> int:
    """Numbers of weights."""
    return sum(parameter.numel() for model in models for parameter in model.parameters())


def stage_work(checkpoint: Checkpoint, settings: RunSettings, frames: int) -> dict[str, Work]:
    """The work of each stage of a run from a text to 10 s of sound: "encode", "sample" and "decode"."""
    sizes = checkpoint.sizes
    work = {"encode": text_work(checkpoint)} if T5 in sizes else {}
    work["sample"] = sampling_work(sizes[NETWORK], ModelFootprint.of(checkpoint), settings)
    if VAE in sizes:
        work["decode"] = decoding_work(sizes[VAE], frames)
    return work
