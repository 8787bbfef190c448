"""Our side of every stage, on the same weights and inputs as `official`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from audiox_core import sampling as samplers
from audiox_core.checkpoint import open_checkpoint
from audiox_core.media.frames import FrameRequest, read_clip
from audiox_core.memory import Dtypes, Limits, ModelFootprint, detect, plan_memory
from audiox_core.memory import Workload as TextToSound
from audiox_core.models import encoders
from audiox_core.models import synchformer as sync
from audiox_core.models.conditioners import VideoConditioner, VideoSizes
from audiox_core.models.dit import DiT, DiTSizes
from audiox_core.models.mmdit import MMDiT, MMDiTSizes
from audiox_core.models.network import AudioXNetwork
from audiox_core.models.onednn import with_onednn
from audiox_core.models.vae import OobleckVAE, VAESizes
from audiox_core.pipeline import AudioX
from audiox_core.prompts import Prompt
from audiox_core.release.components import CLIP_VISION, NETWORK, SYNCHFORMER, VAE
from audiox_core.sampling.presets import resolve_settings
from devtools import small_model as small
from devtools.small_family import dit_shapes

from . import inputs
from .runner import Job, Options


def filled(model_class: type[nn.Module], sizes_class: type, tensors: dict[str, Tensor]) -> nn.Module:
    """A model of the sizes and the type that the tensors have, which holds them; some it keeps in float32 itself."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    dtype = next(tensor.dtype for tensor in tensors.values() if tensor.ndim > 1)
    model = model_class(sizes_class.from_shapes(shapes), dtype=dtype, device="meta")
    wanted = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: tensor.to(wanted[name]) for name, tensor in tensors.items()}, assign=True)
    return model.eval().requires_grad_(False)


def transformer(options: Options, dtype: torch.dtype) -> MMDiT:
    shapes = small.under("model.model.", small.transformer_shapes(inputs.sizes(options.depth)))
    return filled(MMDiT, MMDiTSizes, inputs.native(options, shapes, NETWORK, "transformer.", dtype))


def evaluation(options: Options, dtype: torch.dtype) -> Job:
    model = transformer(options, dtype)
    modulation = model.prepare(inputs.numbers(options, "context", 1, 384, 768).to(dtype))
    x, t = inputs.numbers(options, "latent", 1, 64, 236).to(dtype), torch.tensor([0.75], device=options.device)
    return Job(lambda: model(x, t, modulation))


def sampling(options: Options, dtype: torch.dtype) -> Job:
    model = transformer(options, dtype)
    context = inputs.numbers(options, "context", 1, 384, 768).to(dtype)
    start = inputs.numbers(options, "latent", 1, 64, 236)

    def run() -> Tensor:
        modulation = model.prepare(context)
        denoise = samplers.from_velocity(lambda x, t: model(x.to(dtype), t, modulation).float())
        return samplers.sample_renoise(denoise, start, samplers.flow_sigmas(4), lambda x, *step: torch.randn_like(x))

    return Job(run, prepare=lambda: torch.manual_seed(0))


def dit_evaluation(options: Options, dtype: torch.dtype) -> Job:
    shapes = small.under("model.model.", dit_shapes(inputs.sizes(options.depth), 1536))
    model = filled(DiT, DiTSizes, inputs.native(options, shapes, NETWORK, "transformer.", dtype, dit=True))
    prompt = inputs.numbers(options, "context", 1, inputs.DIT_TOKENS, 768).to(dtype)
    prepared = model.prepare(torch.cat((prompt, torch.zeros_like(prompt))))
    x, t = inputs.numbers(options, "latent", 1, 64, 236).to(dtype), torch.tensor([0.75], device=options.device)

    def run() -> Tensor:
        towards, away = model(x.repeat(2, 1, 1), t.repeat(2), prepared).chunk(2)
        return samplers.guide(towards, away, inputs.GUIDANCE, 0.0)

    return Job(run)


def autoencoder(options: Options, dtype: torch.dtype) -> OobleckVAE:
    return filled(OobleckVAE, VAESizes, inputs.native(options, small.vae_shapes(small.RELEASED), VAE, dtype=dtype))


def vae_decode(options: Options, dtype: torch.dtype) -> Job:
    model, latent = autoencoder(options, dtype), inputs.numbers(options, "latent", 1, 64, 236).to(dtype)
    return Job(lambda: model.decode(latent))


def vae_encode(options: Options, dtype: torch.dtype) -> Job:
    model, sound = autoencoder(options, dtype), inputs.numbers(options, "sound", 1, 2, 441000, scale=0.3).to(dtype)

    def run() -> Tensor:
        mean, std = model.encode_statistics(sound)
        return mean + std * torch.randn_like(mean)

    return Job(run, prepare=lambda: torch.manual_seed(0))


def video_conditioner(options: Options, dtype: torch.dtype) -> Job:
    shapes = small.conditioner_shapes(small.RELEASED)
    tower = {n: s for n, s in shapes.items() if "visual_encoder" in n}
    rest = {n: s for n, s in shapes.items() if n.startswith(small.VIDEO) and "visual_encoder" not in n}
    clip = encoders.build_clip(encoders.ClipSizes(), inputs.native(options, tower, CLIP_VISION, dtype=dtype))
    conditioner = filled(VideoConditioner, VideoSizes, inputs.native(options, rest, NETWORK, "video.", dtype))
    pictures, features = inputs.frames(options, 50), inputs.numbers(options, "sync", 1, 240, 768).to(dtype)
    project = with_onednn(conditioner)  # as `AudioXNetwork.context` runs it
    return Job(lambda: project(encoders.encode_clip(clip, pictures), features))


def synchformer(options: Options, dtype: torch.dtype) -> Job:
    tensors = inputs.native(options, small.synchformer_shapes(small.RELEASED), SYNCHFORMER, dtype=dtype)
    model = filled(sync.Synchformer, sync.SynchformerSizes, tensors)
    clip = inputs.frames(options, 8 + 8 * options.segments)
    return Job(lambda: sync.encode(model, clip))


def video_reading(options: Options, dtype: torch.dtype) -> Job:
    path = Path(options.folder) / "clip.mp4"
    requests = (FrameRequest(5, 50, 224), FrameRequest(25, 250, 224))
    return Job(lambda: torch.cat(read_clip(path, requests)))


def load(options: Options, dtype: torch.dtype, name: str = "") -> Job:
    """Opening, reading and building of the network, the CLIP tower and the VAE, until every weight is in memory."""
    folder = Path(options.folder)
    path = folder / name if name else folder
    files = [file for file in folder.rglob("*") if file.suffix in (".ckpt", ".safetensors")]

    def run() -> None:
        checkpoint = open_checkpoint(path, variant="turbo")
        network = AudioXNetwork(checkpoint.sizes[NETWORK], device="meta")
        network.load_state_dict(checkpoint.state_dict(NETWORK, dtype), assign=True)
        vae = OobleckVAE(checkpoint.sizes[VAE], device="meta")
        vae.load_state_dict(checkpoint.state_dict(VAE, torch.float32), assign=True)
        clip = encoders.build_clip(checkpoint.sizes[CLIP_VISION], checkpoint.state_dict(CLIP_VISION, dtype))
        for model in (network, vae, clip):
            inputs.touch(model.to(options.device))

    return Job(run, prepare=lambda: inputs.forget(*files), inference=False)


def speaker(options: Options, dtype: torch.dtype) -> Callable[[], None]:
    """From the released files to what makes 10 s of sound for a text with a new seed each time; T5 is left out."""
    checkpoint = open_checkpoint(options.folder, variant="turbo")
    stays = plan_memory(
        ModelFootprint.of(checkpoint), TextToSound(), detect(options.device), Limits(), Dtypes(dtype, dtype, dtype)
    )
    model = AudioX(checkpoint, options.device, dtype, vae_dtype=dtype, plan=stays)
    prompt, seeds = Prompt(text=inputs.numbers(options, "text", 1, 128, 768)), itertools.count()
    settings = resolve_settings("turbo")

    def run() -> None:  # the sounds are not compared: upstream draws numbers for its prompt that ours does not
        model.decode(model.sample(prompt, settings, seeds=[next(seeds)]), seconds=10.0)

    return run


def first_sound(options: Options, dtype: torch.dtype) -> Job:
    files = [*Path(options.folder).rglob("*.ckpt")]
    return Job(lambda: speaker(options, dtype)(), prepare=lambda: inputs.forget(*files), inference=False)


def next_sound(options: Options, dtype: torch.dtype) -> Job:
    return Job(speaker(options, dtype))


def load_converted(options: Options, dtype: torch.dtype) -> Job:
    return load(options, dtype, "converted.safetensors")
