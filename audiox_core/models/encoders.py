"""The frozen encoders that other libraries implement: CLIP's vision tower and T5, from `transformers`.

Models are built on the meta device and take the given tensors as their weights, so nothing is allocated or initialised
twice. `transformers` is imported where a model is built, `tokenizers` where a text is tokenized.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor, nn

from ..errors import AudioXError
from .onednn import with_onednn
from .shapes import TOKEN_WIDTH, layer_count

CLIP_HEAD_WIDTH = 64
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

CLIP_BATCH = 10
"""Frames that the CLIP tower is given in one call: few enough for progress and interrupts, enough for the kernels."""

TOWER = "vision_model."
"""Prefix of the tower's names in released files and transformers 4; transformers 5 drops it from the bare tower."""

TEXT_TOKENS = 128
"""Token ids of a prompt, including the closing one."""

END_TOKEN = "</s>"


@dataclass(frozen=True)
class ClipSizes:
    """Sizes of a CLIP vision tower; the defaults are ViT-B/32."""

    width: int = TOKEN_WIDTH
    depth: int = 12
    ffn_width: int = 3072
    patch_size: int = 32
    image_size: int = 224

    def __post_init__(self) -> None:
        if self.width % CLIP_HEAD_WIDTH:
            raise AudioXError(f"The CLIP tower's width is {self.width}, expected a multiple of {CLIP_HEAD_WIDTH}.")

    @property
    def heads(self) -> int:
        return self.width // CLIP_HEAD_WIDTH

    @property
    def tokens_per_frame(self) -> int:
        """One class token, then one token per patch."""
        return 1 + (self.image_size // self.patch_size) ** 2

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> ClipSizes:
        """Sizes from native names and shapes, with or without the prefix `vision_model.`."""
        shapes = {name.removeprefix(TOWER): shape for name, shape in shapes.items()}
        width, _, patch_size, _ = shapes["embeddings.patch_embedding.weight"]
        patches = shapes["embeddings.position_embedding.weight"][0] - 1
        return cls(
            width=width,
            depth=layer_count(shapes, "encoder.layers."),
            ffn_width=shapes["encoder.layers.0.mlp.fc1.weight"][0],
            patch_size=patch_size,
            image_size=math.isqrt(patches) * patch_size,
        )


@dataclass(frozen=True)
class T5Sizes:
    """Sizes of a T5 v1.0 encoder; the defaults are t5-base."""

    width: int = TOKEN_WIDTH
    depth: int = 12
    heads: int = 12
    head_width: int = 64
    ffn_width: int = 3072
    vocabulary: int = 32128
    position_buckets: int = 32

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> T5Sizes:
        """Sizes from native names and shapes."""
        vocabulary, width = shapes["shared.weight"]
        first = "encoder.block.0.layer."
        buckets, heads = shapes[first + "0.SelfAttention.relative_attention_bias.weight"]
        return cls(
            width=width,
            depth=layer_count(shapes, "encoder.block."),
            heads=heads,
            head_width=shapes[first + "0.SelfAttention.q.weight"][0] // heads,
            ffn_width=shapes[first + "1.DenseReluDense.wi.weight"][0],
            vocabulary=vocabulary,
            position_buckets=buckets,
        )


def normalise_clip(frames: Tensor) -> Tensor:
    """uint8 frames (N, 3, H, W) -> float32 in CLIP's units."""
    mean, std = (frames.new_tensor(x, dtype=torch.float32).view(3, 1, 1) for x in (CLIP_MEAN, CLIP_STD))
    return (frames / 255 - mean) / std


def transformers_module() -> ModuleType:
    """The `transformers` package; AudioXError when it is missing."""
    try:
        import transformers
    except ImportError as error:
        raise AudioXError("The text and video encoders need transformers: pip install transformers.") from error
    return transformers


def build_clip(sizes: ClipSizes, state_dict: Mapping[str, Tensor]) -> nn.Module:
    """A CLIP vision tower with the given tensors as its weights.

    state_dict: native names, with or without the prefix `vision_model.`. The norm after the last hidden state is left
    out, and its tensors may be missing. AudioXError when any other tensor is missing, unknown or misshapen.
    """
    transformers = transformers_module()
    config = transformers.CLIPVisionConfig(
        hidden_size=sizes.width,
        intermediate_size=sizes.ffn_width,
        num_hidden_layers=sizes.depth,
        num_attention_heads=sizes.heads,
        image_size=sizes.image_size,
        patch_size=sizes.patch_size,
        hidden_act="quick_gelu",
        layer_norm_eps=1e-5,
    )
    with torch.device("meta"):
        model = transformers.CLIPVisionModel(config)
    tower = getattr(model, "vision_model", model)
    tower.post_layernorm = nn.Identity()
    positions = torch.arange(sizes.tokens_per_frame)[None]
    tower.embeddings.register_buffer("position_ids", positions, persistent=False)
    prefix = "" if tower is model else TOWER
    weights = {name.removeprefix(TOWER): tensor for name, tensor in state_dict.items()}
    dead = ("post_layernorm.", "embeddings.position_ids")
    fill(model, {prefix + name: x for name, x in weights.items() if not name.startswith(dead)}, "CLIP vision tower")
    return model


def build_t5(sizes: T5Sizes, state_dict: Mapping[str, Tensor]) -> nn.Module:
    """A T5 encoder with the given tensors as its weights, by native name (`encoder.embed_tokens.weight` is accepted).

    AudioXError when a tensor is missing, unknown or misshapen.
    """
    transformers = transformers_module()
    config = transformers.T5Config(
        vocab_size=sizes.vocabulary,
        d_model=sizes.width,
        d_kv=sizes.head_width,
        d_ff=sizes.ffn_width,
        num_layers=sizes.depth,
        num_heads=sizes.heads,
        relative_attention_num_buckets=sizes.position_buckets,
        relative_attention_max_distance=128,
        dropout_rate=0.0,
        layer_norm_epsilon=1e-6,
        feed_forward_proj="relu",
    )
    with torch.device("meta"):
        model = transformers.T5EncoderModel(config)
    weights = dict(state_dict)
    tied = weights.pop("encoder.embed_tokens.weight", None)
    if "shared.weight" not in weights and tied is not None:
        weights["shared.weight"] = tied
    # one embedding under two names: strict loading wants both, assigning gives them one tensor
    if "shared.weight" in weights and "encoder.embed_tokens.weight" in model.state_dict():
        weights["encoder.embed_tokens.weight"] = weights["shared.weight"]
    fill(model, weights, "T5 encoder")
    return model


def fill(model: nn.Module, weights: Mapping[str, Tensor], title: str) -> None:
    """Make the tensors the model's weights; AudioXError unless they are exactly those that it has."""
    expected = model.state_dict()
    wrong = [f"{name} is missing" for name in expected if name not in weights]
    wrong += [f"{name} is unknown" for name in weights if name not in expected]
    wrong += [
        f"{name} is {list(x.shape)}, not {list(expected[name].shape)}"
        for name, x in weights.items()
        if name in expected and x.shape != expected[name].shape
    ]
    if wrong:
        raise AudioXError(f"The weights of the {title} do not fit: {'; '.join(wrong[:3])} ({len(wrong)} in all).")
    model.load_state_dict(weights, strict=True, assign=True)
    model.eval().requires_grad_(False)


@torch.no_grad()
@with_onednn
def encode_clip(
    model: nn.Module,
    frames: Tensor,
    *,
    frames_per_call: int = CLIP_BATCH,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """CLIP tokens (1, N * tokens per frame, width) of uint8 frames (N, 3, 224, 224), frame after frame.

    They are the hidden states before the tower's last norm. progress(done, total) counts frames and may raise to
    stop.
    """
    dtype = next(model.parameters()).dtype
    tokens = []
    done = 0
    for batch in frames.split(frames_per_call):
        tokens.append(model(pixel_values=normalise_clip(batch).to(dtype)).last_hidden_state)
        done += len(batch)
        if progress is not None:
            progress(done, len(frames))
    return torch.cat(tokens).flatten(0, 1)[None]


def tokenize(tokenizer_json: bytes, text: str, length: int = TEXT_TOKENS) -> tuple[Tensor, Tensor, str]:
    """T5 ids and mask, each (1, length) int64, and the end of the text that did not fit ('' when all of it did).

    tokenizer_json: the bytes of Hugging Face's `tokenizer.json`. `</s>` always closes the ids; padding is 0.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise AudioXError("The text encoder needs tokenizers: pip install tokenizers.") from error
    tokenizer = Tokenizer.from_str(tokenizer_json.decode("utf-8"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    end = tokenizer.token_to_id(END_TOKEN)
    if end is None:
        raise AudioXError(f"The tokenizer has no token {END_TOKEN}; expected the tokenizer.json of T5.")
    encoding = tokenizer.encode(text, add_special_tokens=False)
    count = min(len(encoding.ids), length - 1)
    dropped = text[encoding.offsets[count][0] :].strip() if len(encoding.ids) > count else ""
    ids = torch.zeros(1, length, dtype=torch.int64)
    ids[0, : count + 1] = torch.tensor([*encoding.ids[:count], end])
    mask = (torch.arange(length) <= count).to(torch.int64)[None]
    return ids, mask, dropped


@torch.no_grad()
@with_onednn
def encode_text(model: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    """T5's tokens (B, length, width) of ids and mask (B, length); they are zero where the mask is."""
    out = model(input_ids=ids, attention_mask=mask).last_hidden_state
    return out * mask[..., None].to(out.dtype)
