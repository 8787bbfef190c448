"""The small network of both demo models, and what stands around it while it trains."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiox_core.lengths import CLIP_SECONDS
from audiox_core.models.conditioners import AudioSizes, VideoSizes
from audiox_core.models.maf import MAFSizes
from audiox_core.models.mmdit import MMDiTSizes
from audiox_core.models.network import AudioXNetwork, NetworkSizes

from .sight import CLIP
from .words import WIDTH

TOKENS = 128
FRAMES = 50
SYNC_ROWS = 248
PROMPT_LATENTS = 215

SIZES = NetworkSizes(
    transformer=MMDiTSizes(
        width=96, depth=4, ffn_width=128, context_tokens=3 * TOKENS, context_width=WIDTH, time_features=64
    ),
    maf=MAFSizes(width=WIDTH, depth=1, ffn_width=128, gate_width=64, experts=48),
    video=VideoSizes(
        width=WIDTH,
        depth=1,
        attention_width=64,
        ffn_width=128,
        frames=FRAMES,
        tokens_per_frame=CLIP.tokens_per_frame,
        sync_rows=SYNC_ROWS,
        tokens=TOKENS,
    ),
    audio=AudioSizes(width=WIDTH, latent_length=PROMPT_LATENTS, tokens=TOKENS),
)


def bumps(positions: Tensor, places: Tensor, width: float) -> Tensor:
    """Rows of weights (len(positions), len(places)) that look at the near places, each row adding up to 1."""
    return torch.softmax(-0.5 * ((positions[:, None] - places[None]) / width) ** 2, dim=1)


def waves(count: int, width: int) -> Tensor:
    """Sines and cosines (count, width) of 1 to 32 turns over the places, as transformers mark positions."""
    turns = 2 ** torch.linspace(-1, 5, width // 2)
    angles = 2 * torch.pi * turns * (torch.arange(count)[:, None] + 0.5) / count
    return torch.cat((angles.sin(), angles.cos()), dim=1)


@torch.no_grad()
def start_aligned(network: AudioXNetwork) -> None:
    """Let the maps over time begin with video and audio tokens of the same moment; training goes on from there.

    Token k of a video stands for the moment 10 s * k / 128: the maps of the conditioner take rows in order. Tokens of
    no video begin as waves over these moments, which tell a text where in the clip each of its positions is.
    """
    sizes = network.sizes.transformer
    moments = CLIP_SECONDS * (torch.arange(TOKENS) + 0.5) / TOKENS
    positions = CLIP_SECONDS * (torch.arange(sizes.positions) - 0.5) / PROMPT_LATENTS
    to_positions = network.transformer.context_to_positions
    to_positions.weight *= 0.2
    to_positions.weight[:, TOKENS : 2 * TOKENS] += bumps(positions, moments, 0.12)
    to_positions.weight[:, 2 * TOKENS :] += bumps(positions, moments, 0.05)
    to_positions.weight[:, 0] += 1  # every token of a text knows all of it; the first is always there
    network.video.empty_tokens.weight.copy_(0.5 * waves(TOKENS, sizes.context_width))
    latents = CLIP_SECONDS * (torch.arange(PROMPT_LATENTS) + 0.5) / PROMPT_LATENTS
    network.audio.proj_time.weight.copy_(bumps(moments, latents, 0.05))


def new_network(silence: tuple[Tensor, Tensor]) -> AudioXNetwork:
    """Random weights; the transformer starts as a map to zero, as diffusion transformers do."""
    network = AudioXNetwork(SIZES)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "experts" in name or "embedding" in name or "empty_tokens" in name:
                parameter.normal_(0, 0.02)
            elif "bypass_gate" in name:
                parameter.zero_()
            elif "sync_weight" in name:
                parameter.fill_(1.0)
            elif name == "transformer.time_features.weight":
                parameter.normal_(0, 1)
            elif "conv.weight" in name or "project_out" in name:
                parameter.zero_()
        network.audio.silence_mean.copy_(silence[0])
        network.audio.silence_std.copy_(silence[1])
    start_aligned(network)
    trainable(network)
    return network


def trainable(network: AudioXNetwork) -> None:
    """Let all weights be trained but the time features and the silence, which are given."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_("silence" not in name and "time_features" not in name)


Weights = dict[str, Tensor]


def in_half(network: nn.Module) -> Weights:
    """The weights in bfloat16, with gradients to the originals; the time features and silence stay as they are."""
    kept = ("transformer.time_features.weight", "audio.silence_mean", "audio.silence_std")
    return {name: p if name in kept else p.bfloat16() for name, p in network.named_parameters()}


def prompts_in_half(prompts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Prompts as `context_of` takes them, in bfloat16 but for what says yes or no."""
    return {name: x if x.dtype == torch.bool else x.bfloat16() for name, x in prompts.items()}


def plain_attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attention written out: on a processor its gradient is faster than that of torch's fused function."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)


class Velocity(nn.Module):
    """The network as one function of everything, so that it can be compiled and called with other weights."""

    def __init__(self, network: AudioXNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        return self.network(x, t, self.network.prepare(context), plain_attention)


def context_of(network: AudioXNetwork, prompts: dict[str, Tensor]) -> Tensor:
    """Fused contexts of a batch whose items may lack a video or an audio prompt.

    prompts: text (B, 128, W), clip (B, rows, W), sync (B, rows, W), has_video (B,), audio (B, 64, 215).
    """
    text = prompts["text"]
    seen = network.video(prompts["clip"], prompts["sync"], plain_attention)
    video = torch.where(prompts["has_video"][:, None, None], seen, network.video.absent(seen))
    audio = network.audio(prompts["audio"].to(text))
    return network.maf(text, video, audio, plain_attention)


class Context(nn.Module):
    """`context_of` as a module, for calls with other weights."""

    def __init__(self, network: AudioXNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, prompts: dict[str, Tensor]) -> Tensor:
        return context_of(self.network, prompts)


def caller(module: nn.Module):
    """function(weights of the network, *arguments) of a module that holds the network as `network`."""

    def call(weights: Weights, *arguments):
        named = {f"network.{name}": value for name, value in weights.items()}
        return torch.func.functional_call(module, named, arguments)

    return call


def matching_loss(velocity: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(velocity.float(), target)
