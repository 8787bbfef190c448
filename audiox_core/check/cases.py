"""Every module of the demo on a fixed input, on its own, so that a wrong one does not spoil the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.mel import log_mel
from ..models.synchformer import Synchformer
from ..models.synchformer import encode as encode_sync
from ..release.components import NETWORK, SYNCHFORMER, VAE
from ..stages import Stages
from .inputs import frames, noise

TEXT = "first a rising siren, then slow ticking on the left"
TIMES = (0.15, 0.5, 0.95)
"""Points of the schedule at which the transformer is evaluated."""

LATENTS = 8
"""Latent frames that the VAE encodes and decodes: 0.4 s."""


@dataclass(frozen=True)
class Case:
    """name: of the module, as reports show it. compute(stages): its output in the type and on the device of `stages`.

    any_type: whether it depends on the type; what does not is computed in float32 alone.
    """

    name: str
    compute: Callable[[Stages], Tensor]
    any_type: bool = True


def text_encoder(stages: Stages) -> Tensor:
    tokens, _ = stages.encode_text(TEXT)
    return tokens


def clip(stages: Stages) -> Tensor:
    size = stages.frame_requests()[0].size
    tokens, _ = stages.encode_video(frames("check clip", 4, size))
    assert tokens is not None  # the frames aren't black
    return tokens


def synchformer(stages: Stages) -> Tensor:
    model = stages.load(SYNCHFORMER, Synchformer, stages.dtype)
    pictures = frames("check sync", model.sizes.segment_frames, model.sizes.image_size)
    with stages.on_device(SYNCHFORMER, model), torch.inference_mode():
        return encode_sync(model, pictures.to(stages.device))


def video_conditioner(stages: Stages) -> Tensor:
    sizes = stages.checkpoint.sizes[NETWORK].video
    inputs = (
        placed(stages, noise("check clip tokens", 1, sizes.clip_rows, sizes.width)),
        placed(stages, noise("check sync features", 1, sizes.sync_rows, sizes.width)),
    )
    network = stages.network()
    with stages.on_device(NETWORK, network), torch.inference_mode():
        return network.video(*inputs)


def audio_conditioner(stages: Stages) -> Tensor:
    sizes = stages.checkpoint.sizes[NETWORK].audio
    latent = placed(stages, noise("check audio prompt", 1, sizes.latent_channels, sizes.prompt_length))
    network = stages.network()
    with stages.on_device(NETWORK, network), torch.inference_mode():
        return torch.cat([network.audio(latent), network.audio.absent(latent)])


def fusion(stages: Stages) -> Tensor:
    sizes = stages.checkpoint.sizes[NETWORK]
    counts = {"text": sizes.text_tokens, "video": sizes.video.tokens, "audio": sizes.audio.tokens}
    tokens = [
        placed(stages, noise(f"check {name} tokens", 1, count, sizes.video.width)) for name, count in counts.items()
    ]
    network = stages.network()
    with stages.on_device(NETWORK, network), torch.inference_mode():
        assert network.maf is not None  # the demo has AudioX-Turbo's architecture
        return network.maf(*tokens)


def transformer(stages: Stages) -> Tensor:
    sizes = stages.checkpoint.sizes[NETWORK]
    inner = sizes.transformer
    context = placed(stages, noise("check context", 1, sizes.context_tokens, inner.context_width))
    latent = placed(stages, noise("check latent", 1, inner.latent_channels, inner.latent_length))
    network = stages.network()
    with stages.on_device(NETWORK, network), torch.inference_mode():
        prepared = network.prepare(context)
        times = [torch.tensor([time], device=stages.device) for time in TIMES]
        return torch.cat([network(latent, time, prepared) for time in times])


def vae_encode(stages: Stages) -> Tensor:
    sizes = stages.checkpoint.sizes[VAE]
    sound = noise("check sound", 1, sizes.audio_channels, LATENTS * sizes.samples_per_latent, scale=0.2)
    return torch.cat(stages.encode_statistics(sound))


def vae_decode(stages: Stages) -> Tensor:
    sizes = stages.checkpoint.sizes[VAE]
    latent = placed(stages, noise("check vae latent", 1, sizes.latent_channels, LATENTS))
    vae = stages.vae()
    with stages.on_device(VAE, vae), torch.inference_mode():
        return vae.decode(latent)


def mel(stages: Stages) -> Tensor:
    return log_mel(noise("check mel", 1, 2, 44100, scale=0.2).to(stages.device), 256)


def placed(stages: Stages, tensor: Tensor) -> Tensor:
    """On the device of the stages and in their type."""
    return tensor.to(stages.device, stages.dtype)


CASES = (
    Case("T5", text_encoder),
    Case("CLIP", clip),
    Case("Synchformer", synchformer),
    Case("video conditioner", video_conditioner),
    Case("audio conditioner", audio_conditioner),
    Case("fusion", fusion),
    Case("transformer", transformer),
    Case("VAE encoder", vae_encode),
    Case("VAE decoder", vae_decode),
    Case("mel", mel, any_type=False),
)
