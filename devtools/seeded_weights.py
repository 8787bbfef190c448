"""Test weights and test inputs that follow from their names alone, with numpy and nothing else.

A weight is offset + scale * standard normal, drawn by a generator seeded with the checksum of its released name;
the golden files were computed with the same rule, so any test can rebuild the weights they belong to.
"""

import math
import zlib

import numpy as np

VAE_PREFIXES = ("pretransform.model.", "conditioner.conditioners.audio_prompt.pretransform.model.")

EMBEDDINGS = (
    "unified_experts",
    "empty_visual_feat",
    "empty_audio_feat",
    "Temp_pos_embedding",
    "class_embedding",
    "position_embedding.weight",
    "shared.weight",
    "relative_attention_bias.weight",
    "cls_token",
    "pos_embed",
    "temp_embed",
)

ATTENTION = ("qkv.weight", "in_proj_weight", "q_proj.weight", "k_proj.weight", "v_proj.weight")
"""Projections that decide what attention looks at: larger, so that it looks somewhere."""

CROSS_ATTENTION = ("to_cond_embed.0.weight", "to_cond_embed.2.weight", ".cross_attn.to_q.weight")
"""The same for attention to the prompt; `to_kv` as well, in the shape that the cross-attending transformer has."""


def canonical_key(key: str) -> str:
    """One name for every copy of the VAE and for T5's tied embedding."""
    for prefix in VAE_PREFIXES:
        if key.startswith(prefix):
            return key[len(prefix) :]
    return "shared.weight" if key == "encoder.embed_tokens.weight" else key


def rule(key: str, shape) -> tuple[float, float]:
    """(offset, scale) of a weight; the first line that fits holds."""
    key = canonical_key(key)
    last = key.rsplit(".", 1)[-1]
    if len(shape) == 0:
        return 0.5, 1.0
    by_last = {"alpha": (0.0, 0.1), "beta": (0.0, 0.1), "weight_g": (0.72, 0.1), "weight_v": (0.0, 1.0)}
    if last in by_last:
        return by_last[last]
    if last.endswith("bias"):
        return 0.0, 0.05
    if key.endswith(EMBEDDINGS):
        return 0.0, 0.5
    if len(shape) == 1:
        return 1.0, 0.05
    fan_in = math.prod(shape[1:])
    crosses = key.endswith(".cross_attn.to_kv.weight") and tuple(shape) == (1536, 768)
    if key.endswith((*ATTENTION, *CROSS_ATTENTION)) or crosses:
        return 0.0, 1.4 / math.sqrt(fan_in)
    acts_on_all = ".proj_mm_" in key or ".adaLN_modulation." in key
    return 0.0, (1.0 if acts_on_all else 0.7) / math.sqrt(fan_in)


def generator(name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))


def normal(name: str, shape) -> np.ndarray:
    """Standard normal float32 numbers that belong to a name."""
    return np.asarray(generator(name).standard_normal(tuple(shape), dtype=np.float32))


def tensor(key: str, shape) -> np.ndarray:
    """The test weight of one entry of a released state dict, float32."""
    shape = tuple(int(size) for size in shape)
    offset, scale = rule(key, shape)
    return np.asarray(np.float32(offset) + np.float32(scale) * normal(canonical_key(key), shape))


def noise(name: str, seed: int, shape, scale: float = 1.0) -> np.ndarray:
    """A float32 test input: scale * standard normal."""
    return np.asarray(np.float32(scale) * normal(f"input/{name}/{seed}", shape))


def frames(name: str, seed: int, count: int, height: int = 224, width: int = 224) -> np.ndarray:
    """A uint8 test clip (count, 3, height, width): half 16-pixel blocks, half grain."""
    numbers = generator(f"frames/{name}/{seed}")
    blocks = (count, 3, -(-height // 16), -(-width // 16))
    coarse = numbers.integers(0, 256, size=blocks, dtype=np.uint8)
    fine = numbers.integers(0, 256, size=(count, 3, height, width), dtype=np.uint8)
    coarse = coarse.repeat(16, axis=2).repeat(16, axis=3)[:, :, :height, :width]
    return (coarse >> 1) + (fine >> 1)
