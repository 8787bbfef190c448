"""Our models filled with the seeded weights, in the sizes of the released ones.

Weights are made under their released names and then go through the same renaming as a released file.
"""

from dataclasses import replace
from functools import lru_cache

import torch
from torch import nn

from audiox_core.checkpoint.key_mapping import has_dit
from audiox_core.models.conditioners import (
    AudioConditioner,
    AudioSizes,
    FrameAudioConditioner,
    FrameAudioSizes,
    MelAudioConditioner,
    MelAudioSizes,
    VideoConditioner,
    VideoSizes,
)
from audiox_core.models.dit import DiT, DiTSizes
from audiox_core.models.encoders import ClipSizes, T5Sizes, build_clip, build_t5
from audiox_core.models.maf import MAF, MAFSizes
from audiox_core.models.mmdit import Layer, MMDiT, MMDiTSizes
from audiox_core.models.synchformer import Synchformer, SynchformerSizes
from audiox_core.models.vae import OobleckVAE, VAESizes, silence_statistics
from audiox_core.release.components import CLIP_VISION, NETWORK, SYNCHFORMER, T5, VAE
from audiox_core.sampling import run as runs
from audiox_core.sampling.presets import RunSettings
from devtools import seeded_weights as seeded
from devtools import small_family
from devtools import small_model as small
from devtools.remap import remap

TRANSFORMER = "model.model."


def native(shapes: small.Shapes, part: str, prefix: str = "") -> dict[str, torch.Tensor]:
    """Seeded weights of released names, as the native tensors of one part below a prefix."""
    dit = has_dit(shapes)
    tensors = {}
    for name, shape in grouped(shapes):
        made = remap(small.weights(dict(zip(name, shape, strict=True))), dit).get(part, {})
        tensors |= {key.removeprefix(prefix): tensor for key, tensor in made.items()}
    return tensors


def grouped(shapes: small.Shapes):
    """(names, shapes) that become one native tensor; one at a time, so that no second model is in memory."""
    for name, shape in shapes.items():
        if name.endswith("weight_g"):
            direction = name[:-1] + "v"
            yield (name, direction), (shape, shapes[direction])
        elif not name.endswith("weight_v"):
            yield (name,), (shape,)


def shapes_of(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def filled(model_class, sizes_class, tensors: dict[str, torch.Tensor]) -> nn.Module:
    """A model of the sizes that the tensors have, with exactly these tensors."""
    model = model_class(sizes_class.from_shapes(shapes_of(tensors)), device="meta")
    model.load_state_dict(tensors, strict=True, assign=True)
    return model.eval().requires_grad_(False)


@lru_cache(maxsize=1)
def vae() -> OobleckVAE:
    return filled(OobleckVAE, VAESizes, native(small.vae_shapes(small.RELEASED), VAE))


def synchformer() -> Synchformer:
    return filled(Synchformer, SynchformerSizes, native(small.synchformer_shapes(small.RELEASED), SYNCHFORMER))


@lru_cache(maxsize=1)
def clip() -> nn.Module:
    shapes = small.under(small.VIDEO + "visual_encoder_model.", small.clip_shapes(small.RELEASED))
    tensors = native(shapes, CLIP_VISION)
    return build_clip(ClipSizes.from_shapes(shapes_of(tensors)), tensors)


@lru_cache(maxsize=1)
def t5() -> nn.Module:
    tensors = native(small.t5_shapes(small.RELEASED), T5)
    return build_t5(T5Sizes.from_shapes(shapes_of(tensors)), tensors)


def conditioner(prefix: str, native_prefix: str) -> dict[str, torch.Tensor]:
    every = small.conditioner_shapes(small.RELEASED)
    kept = {
        name: shape for name, shape in every.items() if name.startswith(prefix) and "visual_encoder_model" not in name
    }
    return native(kept, NETWORK, native_prefix)


@lru_cache(maxsize=1)
def video_conditioner() -> VideoConditioner:
    return filled(VideoConditioner, VideoSizes, conditioner(small.VIDEO, "video."))


@lru_cache(maxsize=1)
def video_conditioner_v1() -> VideoConditioner:
    """The first AudioX's, without Synchformer."""
    every = small_family.video_shapes(small.RELEASED, sync=False)
    kept = {name: shape for name, shape in every.items() if "visual_encoder_model" not in name}
    return filled(VideoConditioner, VideoSizes, native(kept, NETWORK, "video."))


@lru_cache(maxsize=1)
def audio_conditioner_v1() -> FrameAudioConditioner:
    shapes = small.under(small.AUDIO, small_family.frame_audio_shapes(small.RELEASED))
    return filled(FrameAudioConditioner, FrameAudioSizes, native(shapes, NETWORK, "audio."))


def mel_conditioner() -> MelAudioConditioner:
    shapes = small.under(small.AUDIO, small_family.mel_audio_shapes(small.RELEASED))
    return filled(MelAudioConditioner, MelAudioSizes, native(shapes, NETWORK, "audio."))


@lru_cache(maxsize=1)
def prompt_statistics(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of the 10 s of noise that the golden files use as an audio prompt."""
    sound = torch.from_numpy(seeded.noise("prompt", seed, (1, 2, 441000), 0.3))
    return vae().encode_statistics(sound)


@lru_cache(maxsize=1)
def audio_conditioner() -> AudioConditioner:
    """With the statistics of silence that a converted checkpoint holds."""
    mean, std = silence_statistics(vae())
    tensors = conditioner(small.AUDIO, "audio.") | {"silence_mean": mean, "silence_std": std}
    return filled(AudioConditioner, AudioSizes, tensors)


@lru_cache(maxsize=1)
def maf(depth: int) -> MAF:
    shapes = small.under("maf_block.", small.maf_shapes(replace(small.RELEASED, maf_depth=depth)))
    return filled(MAF, MAFSizes, native(shapes, NETWORK, "maf."))


@lru_cache(maxsize=1)
def transformer(depth: int) -> MMDiT:
    """The transformer; when it does not fit into memory, each layer's weights are made when the layer runs."""
    shapes = small.under(TRANSFORMER, small.transformer_shapes(replace(small.RELEASED, depth=depth)))
    if 1.2 * 4 * small.count(shapes) < free_memory():
        return filled(MMDiT, MMDiTSizes, native(shapes, NETWORK, "transformer."))
    inside = {i: f"{TRANSFORMER}transformer.layers.{i}." for i in range(depth)}
    rest = {name: shape for name, shape in shapes.items() if not name.startswith(tuple(inside.values()))}
    model = MMDiT(replace(MMDiTSizes(), depth=depth), device="meta")
    layers = [{name: shapes[name] for name in shapes if name.startswith(prefix)} for prefix in inside.values()]
    model.layers = nn.ModuleList(PassingLayer(model.sizes, i, layer) for i, layer in enumerate(layers))
    model.load_state_dict(native(rest, NETWORK, "transformer."), strict=True, assign=True)
    return model.eval().requires_grad_(False)


@lru_cache(maxsize=1)
def dit(depth: int) -> DiT:
    """The cross-attending transformer."""
    shapes = small_family.dit_shapes(replace(small.RELEASED, depth=depth), small.RELEASED.width)
    return filled(DiT, DiTSizes, native(small.under(TRANSFORMER, shapes), NETWORK, "transformer."))


def with_noise(mean: torch.Tensor, std: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """A latent from the VAE's posterior."""
    return mean + std * noise


class PassingLayer(nn.Module):
    """A transformer layer whose weights exist while it runs."""

    def __init__(self, sizes: MMDiTSizes, index: int, shapes: small.Shapes) -> None:
        super().__init__()
        self.sizes, self.prefix, self.shapes = sizes, f"transformer.layers.{index}.", shapes

    def made(self) -> Layer:
        layer = Layer(self.sizes, operations=nn, dtype=None, device="meta")
        layer.load_state_dict(native(self.shapes, NETWORK, self.prefix), strict=True, assign=True)
        return layer

    def modulation(self, m: torch.Tensor) -> torch.Tensor:
        return self.made().modulation(m)

    def forward(self, *inputs) -> torch.Tensor:
        return self.made()(*inputs)


def free_memory() -> int:
    """Bytes that can be had without swapping, 0 where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
    except OSError:
        return 0
    return int(lines["MemAvailable"].split()[0]) * 1024


def guided(model: nn.Module, prepared: torch.Tensor, scale: float, rescale: float = 0.0):
    """A transformer's output with guidance; `prepared` ends with the rows to steer away from."""
    settings = RunSettings(steps=1, cfg=scale, sampler="", rescale=rescale)
    return runs.guided(lambda x, t: model(x, t, prepared), settings)
