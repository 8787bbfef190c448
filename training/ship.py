"""The trained parts as files in half precision: released names, released layout, two models beside what they share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from audiox_core.checkpoint.detection import GUIDANCE_KEY, VARIANT_KEY
from audiox_core.checkpoint.key_mapping import native_name
from audiox_core.checkpoint.transforms import AS_TABLE, EVEN_ROWS, FOLD, JOIN_TAPS, KEEP, SPLIT_QKV, Transform
from audiox_core.checkpoint.writer import Entry, write_safetensors
from devtools.small_model import (
    ModelSizes,
    Shapes,
    conditioner_shapes,
    maf_shapes,
    synchformer_shapes,
    t5_shapes,
    transformer_shapes,
    under,
    vae_shapes,
)

from . import sight, words
from .network import SIZES
from .vae import SIZES as VAE_SIZES

LICENCE = "Apache-2.0 (a demo trained on synthetic sounds; these are not the released weights of AudioX)"

GUIDANCE = "2"
"""What suits the demo's Base: it follows words without any, and 6, which the released one takes, overdrives it."""

RELEASED = ModelSizes(
    width=SIZES.transformer.width,
    depth=SIZES.transformer.depth,
    ffn=SIZES.transformer.ffn_width,
    context=words.WIDTH,
    experts=SIZES.maf.experts // 3,
    maf_depth=SIZES.maf.depth,
    clip_depth=sight.CLIP.depth,
    temporal_depth=SIZES.video.depth,
    sync_depth=sight.SYNC.depth,
    vae_channels=VAE_SIZES.channels,
    vae_strides=VAE_SIZES.strides,
    vae_multipliers=tuple(w // VAE_SIZES.channels for w in VAE_SIZES.widths),
    t5_depth=words.sizes().depth,
)
"""What of the released files' names and tables depends on sizes."""


@dataclass(frozen=True)
class Trained:
    """What both models use, as trained."""

    vae: nn.Module
    clip: nn.Module
    sync: nn.Module
    t5: nn.Module
    tokenizer: str


def undone(tensor: Tensor, transform: Transform, released: str, shape: tuple[int, ...]) -> Tensor:
    """The released tensor that `transform` turns into the given one."""
    if transform is SPLIT_QKV:
        return tensor.unflatten(0, (3, -1)).transpose(0, 1).flatten(0, 1)
    if transform is EVEN_ROWS:
        return torch.stack((tensor, torch.zeros_like(tensor)), dim=1).flatten(0, 1)
    if transform is JOIN_TAPS:
        return tensor.unflatten(1, (3, -1)).transpose(1, 2)
    if transform is AS_TABLE:
        return tensor.reshape(shape)
    if transform is FOLD and released.endswith("_g"):
        return torch.linalg.vector_norm(tensor, dim=(1, 2), keepdim=True)
    return tensor  # the direction of a folded weight may have any length


def released(parts: dict[str, dict[str, Tensor]], names: Shapes) -> dict[str, Tensor]:
    """Tensors of parts under released names; those that have no effect there are left out."""
    out, used = {}, set()
    for name, shape in names.items():
        target = native_name(name)
        if target is not None and target[1] in parts[target[0]]:
            part, native, transform = target
            out[name] = undone(parts[part][native].detach(), transform or KEEP, name, shape)
            used.add((part, native))
    left = {(part, name) for part, tensors in parts.items() for name in tensors} - used
    if unsaid := sorted(name for _, name in left if "silence" not in name):
        raise ValueError(f"No released name for {unsaid[:3]} and {len(unsaid)} in all.")
    return out


def write(path: Path, tensors: dict[str, Tensor], **metadata: str) -> None:
    """One file in half precision; metadata is added to the licence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    halves = {name: x.half().contiguous() for name, x in tensors.items()}
    listed = [Entry(name, tuple(x.shape), x.dtype, lambda x=x: x, lambda _: None) for name, x in halves.items()]
    write_safetensors(path, listed, {"format": "pt", "license": LICENCE, **metadata})


def shared(folder: Path, trained: Trained) -> None:
    """The VAE, Synchformer and T5, each in its file."""
    write(folder / "vae.safetensors", released({"vae": trained.vae.state_dict()}, vae_shapes(RELEASED)))
    sync = released({"synchformer": trained.sync.state_dict()}, synchformer_shapes(RELEASED))
    write(folder / "synchformer.safetensors", sync)
    t5 = {name: x for name, x in trained.t5.state_dict().items() if name != "encoder.embed_tokens.weight"}
    write(folder / "t5-base" / "model.safetensors", released({"t5": t5}, t5_shapes(RELEASED)))
    (folder / "t5-base" / "tokenizer.json").write_text(trained.tokenizer + "\n", encoding="utf-8")


def model(folder: Path, variant: str, network: nn.Module, trained: Trained) -> None:
    """One model: its network and the CLIP tower, as upstream's model files have them."""
    tower = {f"vision_model.{name.removeprefix('vision_model.')}": x for name, x in trained.clip.state_dict().items()}
    names = under("model.model.", transformer_shapes(RELEASED)) | under("maf_block.", maf_shapes(RELEASED))
    parts = {"network": network.state_dict(), "clip_vision": tower}
    tensors = released(parts, names | conditioner_shapes(RELEASED))
    asked = {GUIDANCE_KEY: GUIDANCE} if variant == "base" else {}
    write(folder / f"demo_{variant}.safetensors", tensors, **{VARIANT_KEY: variant}, **asked)
