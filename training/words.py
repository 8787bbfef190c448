"""The text encoder: a small T5 and its tokenizer, trained to name what a caption describes, then frozen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from torch.nn import Linear

from audiox_core.models.encoders import T5Sizes, build_t5, encode_text, tokenize
from training.world import films, scenes

from .state import Stage

WIDTH = 64
BATCH = 128
LENGTH = 32
KINDS = list(scenes.WORDS)
HITS = list(films.WORDS)
SIDES = list(scenes.SIDES)
PARTS = (len(KINDS) + 1, len(KINDS) + 1, len(SIDES), len(HITS) + 1)
"""Answers to: what first, what then, from where, which answer to a film; the last of each but the side: none."""


def vocabulary() -> list[str]:
    """Every word of the world, in an order that does not change."""
    phrases = [word for words in (*scenes.WORDS.values(), *films.WORDS.values()) for word in words]
    sides = (side for words in scenes.SIDES.values() for side in words)
    phrases += [*scenes.FRAMES, *scenes.PAIRS, films.GENERIC, *sides]
    words = " ".join(phrases).replace("{}", " ").replace(",", " ").lower().split()
    return list(dict.fromkeys(words))


def tokenizer_json() -> str:
    """A unigram tokenizer.json of T5's form: the world's words whole, anything else letter by letter."""
    letters = [chr(code) for code in range(33, 127)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    pieces += [(f"\u2581{word}", -3.0 - index / 100) for index, word in enumerate(vocabulary())]
    pieces += [(letter, -8.0 - index / 100) for index, letter in enumerate(letters)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return tokenizer.to_str()


def sizes() -> T5Sizes:
    count = Tokenizer.from_str(tokenizer_json()).get_vocab_size()
    return T5Sizes(width=WIDTH, depth=2, heads=4, head_width=16, ffn_width=128, vocabulary=-(-count // 64) * 64)


def new_t5() -> nn.Module:
    """T5 with random weights, drawn by one rule for all shapes."""
    names = shapes_of(sizes())
    weights = {
        name: torch.ones(shape) if "layer_norm" in name else torch.randn(shape) * 0.08 for name, shape in names.items()
    }
    weights["shared.weight"] = torch.randn(names["shared.weight"]) * 0.5
    return build_t5(sizes(), weights).requires_grad_(True)


def shapes_of(s: T5Sizes) -> dict[str, tuple[int, ...]]:
    inner = s.heads * s.head_width
    shapes: dict[str, tuple[int, ...]] = {"shared.weight": (s.vocabulary, s.width)}
    for index in range(s.depth):
        layer = f"encoder.block.{index}.layer."
        shapes |= {f"{layer}0.SelfAttention.{name}.weight": (inner, s.width) for name in "qkv"}
        shapes |= {
            f"{layer}0.SelfAttention.o.weight": (s.width, inner),
            f"{layer}0.layer_norm.weight": (s.width,),
            f"{layer}1.DenseReluDense.wi.weight": (s.ffn_width, s.width),
            f"{layer}1.DenseReluDense.wo.weight": (s.width, s.ffn_width),
            f"{layer}1.layer_norm.weight": (s.width,),
        }
    bias = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    return shapes | {bias: (s.position_buckets, s.heads), "encoder.final_layer_norm.weight": (s.width,)}


def hit_caption(kind: str, rng: np.random.Generator) -> str:
    """Words for a film whose events sound like `kind`."""
    return str(rng.choice(scenes.FRAMES)).format(rng.choice(films.WORDS[kind]))


def labelled(rng: np.random.Generator) -> tuple[str, tuple[int, ...]]:
    """A caption and the answers to PARTS."""
    none, nothing = len(KINDS), len(HITS)
    if rng.random() < 0.12:
        hit = str(rng.choice(HITS))
        return hit_caption(hit, rng), (none, none, 0, HITS.index(hit))
    if rng.random() < 0.06:
        return str(rng.choice(("", films.GENERIC))), (none, none, 0, nothing)
    drawn = scenes.scene(int(rng.integers(2**31)))
    second = KINDS.index(drawn.kinds[1]) if len(drawn.kinds) > 1 else none
    return drawn.caption, (KINDS.index(drawn.kinds[0]), second, SIDES.index(drawn.side), nothing)


class Reader(nn.Module):
    """T5 with a linear reading of its first token and one of the mean of all: both have to know the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.t5 = new_t5()
        self.first = Linear(WIDTH, sum(PARTS))
        self.mean = Linear(WIDTH, sum(PARTS))

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.t5(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]
        return self.first(tokens[:, 0]), self.mean(tokens.sum(dim=1) / mask.sum(dim=1, keepdim=True))


def answers_loss(logits: Tensor, answers: Tensor) -> Tensor:
    parts = logits.split(PARTS, dim=-1)
    return sum(F.cross_entropy(part, answers[:, i], label_smoothing=0.05) for i, part in enumerate(parts))


def batch(step: int, json: bytes) -> tuple[Tensor, Tensor, Tensor]:
    rng = np.random.default_rng((11, step))
    captions, answers = zip(*(labelled(rng) for _ in range(BATCH)), strict=True)
    rows = [tokenize(json, caption, LENGTH) for caption in captions]
    return torch.cat([row[0] for row in rows]), torch.cat([row[1] for row in rows]), torch.tensor(answers)


def train(folder: Path, steps: int) -> nn.Module:
    """The trained text encoder."""
    torch.manual_seed(1)
    reader, json = Reader(), tokenizer_json().encode()
    stage = Stage("words", folder, reader, steps, peak=3e-3)

    def losses(step: int) -> dict[str, Tensor]:
        ids, mask, answers = batch(step, json)
        first, mean = (answers_loss(logits, answers) for logits in reader(ids, mask))
        return {"loss": first + mean, "first": first, "mean": mean}

    stage.run(losses)
    return stage.finish().t5


def embed(t5: nn.Module, json: bytes, caption: str) -> Tensor:
    """Tokens (128, WIDTH) of a caption, as the pipeline computes them."""
    ids, mask, _ = tokenize(json, caption)
    return encode_text(t5, ids, mask)[0]
