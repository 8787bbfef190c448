"""Base: rectified flow with prompts left out at random, so that guidance has something to contrast with."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from audiox_core.models.network import AudioXNetwork

from .data import Batches
from .network import Context, Velocity, caller, in_half, matching_loss, new_network, prompts_in_half, trainable
from .state import Stage

BATCH = 32
DROP = 0.12


def flow_times(count: int, generator: torch.Generator) -> Tensor:
    """Times in 0..1: two in three near the noisy end, where prompts decide, the others anywhere.

    A steady sound repeats itself in two hundred frames, so even under much noise it is plain what it will be; only
    the noisiest times ask the prompt.
    """
    late = torch.sigmoid(1.5 + 1.3 * torch.randn(count, generator=generator))
    anywhere = torch.rand(count, generator=generator)
    return torch.where(torch.rand(count, generator=generator) < 0.67, late, anywhere)


def untrained(silence: tuple[Tensor, Tensor]) -> AudioXNetwork:
    """Base before its first step; silence: mean and deviation of its latent, each (64, 215)."""
    torch.manual_seed(4)
    return new_network(silence)


def train(folder: Path, steps: int, network: AudioXNetwork, batches: Batches) -> AudioXNetwork:
    """The trained Base, before it is polished."""
    stage = Stage("base", folder, network, steps, peak=2e-3, betas=(0.9, 0.98), average=0.998)
    stage.run(flow_losses(network, batches, salt=23, sparse=0.0))
    return stage.finish()


def polish(folder: Path, steps: int, network: AudioXNetwork, batches: Batches) -> AudioXNetwork:
    """Base trained on with more of what is rarely loud: ticks carry so little power that a plain mean forgets them."""
    trainable(network)
    stage = Stage("polish", folder, network, steps, peak=1e-3, betas=(0.9, 0.98), average=0.998)
    stage.run(flow_losses(network, batches, salt=31, sparse=0.35))
    return stage.finish()


def flow_losses(network: AudioXNetwork, batches: Batches, salt: int, sparse: float):
    """The loss of a step: velocities of random prompts' latents at random times."""
    context, velocity = caller(Context(network)), caller(Velocity(network))

    def losses(step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(salt * 1_000_000 + step)
        sound, prompts = batches.draw(step, BATCH, salt, sparse)
        noise = torch.randn(sound.shape, generator=generator)
        t = flow_times(BATCH, generator)
        kept = (torch.rand(BATCH, generator=generator) >= DROP).bfloat16()
        weights = in_half(network)
        fused = context(weights, prompts_in_half(prompts)) * kept[:, None, None]
        mixed = sound + t[:, None, None] * (noise - sound)
        out = velocity(weights, mixed.bfloat16(), t, fused)
        return {"loss": matching_loss(out, noise - sound)}

    return losses
