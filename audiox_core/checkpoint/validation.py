"""What a component must hold: its sizes from its shapes, then every name and shape of a model of these sizes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import nn

from ..errors import AudioXError
from ..models.encoders import ClipSizes, T5Sizes
from ..models.network import RELEASED_SIZES, AudioXNetwork, NetworkSizes, architecture_of
from ..models.shapes import layer_count
from ..models.synchformer import Synchformer, SynchformerSizes
from ..models.vae import OobleckVAE, VAESizes
from ..release.components import CLIP_VISION, NETWORK, SYNCHFORMER, T5, TOKENIZER, VAE
from ..wording import shown
from .transforms import Shape

SILENCE_NAMES = ("audio.silence_mean", "audio.silence_std")
"""Tensors of the network that no released file has: they are computed with the VAE."""

MAX_SIDE = 2**24
"""Longest side of a tensor in any model."""

MAX_BLOCKS = 256
"""Most numbered modules in a row; a model of more would take long to describe, and the released ones have 24."""

SIZE_ERRORS = (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError)
"""What building a model on the meta device raises for sizes that do not fit together."""


@dataclass(frozen=True)
class Mismatch:
    """How a component differs from the model that its sizes describe; names are native.

    Unexpected ones do no harm. depth: the blocks that are there and those of the released model of the same widths,
    where some are missing.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[tuple[str, Shape, Shape], ...] = ()
    depth: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        return bool(self.missing or self.misshapen or self.depth)


def read_sizes(part: str, shapes: Mapping[str, Shape]) -> Any:
    """The sizes object of a component (`NetworkSizes`, `VAESizes`, ...), None for the tokenizer.

    Raises:
        KeyError: a tensor that a size is read from is missing.
        AudioXError: no model of this kind can have these sizes.
    """
    if part == TOKENIZER:
        return None
    return _SIZES[part].from_shapes(shapes)


def find_mismatch(part: str, shapes: Mapping[str, Shape], *, released: bool = False) -> Mismatch:
    """Compare names and shapes with the model that they describe. released: is it one of the released files?

    Raises:
        AudioXError: no model of this kind can have these sizes.
    """
    if part == TOKENIZER:
        return Mismatch()
    wrong_rank = _wrong_rank(part, shapes)
    if wrong_rank:
        return Mismatch(misshapen=wrong_rank)
    _check_sides(shapes)
    try:
        expected = expected_shapes(part, shapes)
    except KeyError as error:
        return Mismatch(missing=(_whole_name(part, str(error.args[0]), shapes),))
    except SIZE_ERRORS as error:
        if part == VAE and (lost := tuple(name for name in _released_shapes(part, shapes) if name not in shapes)):
            return Mismatch(missing=lost)
        if isinstance(error, AudioXError):
            raise
        raise AudioXError("no model has tensors of these shapes.") from error
    return Mismatch(
        missing=tuple(name for name in expected if name not in shapes and name not in SILENCE_NAMES),
        unexpected=tuple(name for name in shapes if name not in expected),
        misshapen=tuple(
            (name, shape, expected[name]) for name, shape in shapes.items() if expected.get(name, shape) != shape
        ),
        depth=_missing_blocks(part, shapes) if released else None,
    )


def _check_sides(shapes: Mapping[str, Shape]) -> None:
    """AudioXError for shapes of which no model can be built in reasonable time."""
    for name, shape in shapes.items():
        if any(not 0 < side <= MAX_SIDE for side in shape):
            raise AudioXError(f"{shown(name)} has the impossible shape {list(shape)[:8]}.")
    blocks = max((int(number) for name in shapes for number in re.findall(r"\.(\d{1,9})\.", name)), default=0)
    if blocks > MAX_BLOCKS:
        raise AudioXError(f"it has blocks up to number {blocks}, expected at most {MAX_BLOCKS}.")


def _missing_blocks(part: str, shapes: Mapping[str, Shape]) -> tuple[int, int] | None:
    """Blocks and released blocks, if the sizes are those of a released model but for fewer blocks."""
    sizes = read_sizes(part, shapes)
    pairs = [(sizes, _SIZES[part]())]
    if part == NETWORK:
        released = RELEASED_SIZES[architecture_of(shapes)]
        pairs = [(getattr(sizes, name), getattr(released, name)) for name in ("transformer", "maf", "video")]
    for size, whole in pairs:
        depth, expected = getattr(size, "depth", 0), getattr(whole, "depth", 0)
        if depth < expected and replace(size, depth=expected) == whole:
            return depth, expected
    return None


def _whole_name(part: str, name: str, shapes: Mapping[str, Shape]) -> str:
    """The native name of a missing tensor of which only the end is known: sizes are read module by module."""
    if part not in _MODELS:
        return name
    names = _released_shapes(part, shapes)
    return next((whole for whole in names if whole not in shapes and f".{whole}".endswith(f".{name}")), name)


def expected_shapes(part: str, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """Names and shapes of the model that the given shapes describe."""
    if part == T5:
        return _t5_shapes(shapes)
    if part == CLIP_VISION:
        return _clip_shapes(shapes)
    model = _MODELS[part](read_sizes(part, shapes), device="meta")
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def float32_names(part: str, shapes: Mapping[str, Shape]) -> frozenset[str]:
    """Tensors that the model keeps in float32 whatever type is requested."""
    if part != NETWORK:
        return frozenset()
    model = _MODELS[part](read_sizes(part, shapes), dtype=torch.float16, device="meta")
    return frozenset(name for name, tensor in model.state_dict().items() if tensor.dtype == torch.float32)


class _Sizes(Protocol):
    @classmethod
    def from_shapes(cls, shapes: Mapping[str, Shape]) -> Any: ...


_SIZES: dict[str, type[_Sizes]] = {
    NETWORK: NetworkSizes,
    VAE: VAESizes,
    SYNCHFORMER: SynchformerSizes,
    CLIP_VISION: ClipSizes,
    T5: T5Sizes,
}
_MODELS: dict[str, Callable[..., nn.Module]] = {NETWORK: AudioXNetwork, VAE: OobleckVAE, SYNCHFORMER: Synchformer}


def _released_shapes(part: str, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """Native names and shapes of the released model of the same kind."""
    sizes = RELEASED_SIZES[architecture_of(shapes)] if part == NETWORK else _SIZES[part]()
    model = _MODELS[part](sizes, device="meta")
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _wrong_rank(part: str, shapes: Mapping[str, Shape]) -> tuple[tuple[str, Shape, Shape], ...]:
    """Tensors with another number of dimensions than in the released model, which sizes cannot be read from."""
    if part not in _MODELS:
        return ()
    released = _released_shapes(part, shapes)
    wrong = []
    for name, shape in shapes.items():
        expected = released.get(name)
        if expected is not None and len(expected) != len(shape):
            wrong.append((name, shape, expected))
    return tuple(wrong)


def _numbered(shapes: Mapping[str, Shape], prefix: str, layer: Mapping[str, Shape]) -> dict[str, Shape]:
    return {
        f"{prefix}{index}.{name}": shape
        for index in range(layer_count(shapes, prefix))
        for name, shape in layer.items()
    }


def _t5_shapes(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    first = "encoder.block.0.layer."
    bias = first + "0.SelfAttention.relative_attention_bias.weight"
    vocabulary, width = _dims(shapes, "shared.weight", 2)
    inner = shapes[first + "0.SelfAttention.q.weight"][0]
    hidden = shapes[first + "1.DenseReluDense.wi.weight"][0]
    layer = {
        **{f"layer.0.SelfAttention.{name}.weight": (inner, width) for name in "qkv"},
        "layer.0.SelfAttention.o.weight": (width, inner),
        "layer.0.layer_norm.weight": (width,),
        "layer.1.DenseReluDense.wi.weight": (hidden, width),
        "layer.1.DenseReluDense.wo.weight": (width, hidden),
        "layer.1.layer_norm.weight": (width,),
    }
    return {
        "shared.weight": (vocabulary, width),
        bias: _dims(shapes, bias, 2),
        "encoder.final_layer_norm.weight": (width,),
        **_numbered(shapes, "encoder.block.", layer),
    }


def _clip_shapes(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    tower, layers = "vision_model.", "vision_model.encoder.layers."
    patches = f"{tower}embeddings.patch_embedding.weight"
    positions = f"{tower}embeddings.position_embedding.weight"
    width, channels, height, across = _dims(shapes, patches, 4)
    hidden = shapes[f"{layers}0.mlp.fc1.weight"][0]
    linear = {
        **{f"self_attn.{name}_proj": (width, width) for name in ("q", "k", "v", "out")},
        "mlp.fc1": (hidden, width),
        "mlp.fc2": (width, hidden),
        "layer_norm1": (width,),
        "layer_norm2": (width,),
    }
    layer = {f"{name}.weight": shape for name, shape in linear.items()}
    layer |= {f"{name}.bias": shape[:1] for name, shape in linear.items()}
    return {
        f"{tower}embeddings.class_embedding": (width,),
        patches: (width, channels, height, across),
        positions: (_dims(shapes, positions, 2)[0], width),
        f"{tower}pre_layrnorm.weight": (width,),
        f"{tower}pre_layrnorm.bias": (width,),
        **_numbered(shapes, layers, layer),
    }


def _dims(shapes: Mapping[str, Shape], name: str, rank: int) -> Shape:
    if len(shapes[name]) != rank:
        raise AudioXError(f"{name} has the shape {list(shapes[name])}, expected {rank} dimensions.")
    return shapes[name]
