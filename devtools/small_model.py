"""A small AudioX model in the released folder layout: every name, scaled-down shapes, generated weights.

It makes noise, not music, but every file, name and code path is that of the real one. From a shell:
`python -m tests.small_model FOLDER`.
"""

import argparse
import json
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file

if __package__:
    from devtools.seeded_weights import tensor
else:
    from devtools.seeded_weights import tensor

Shapes = dict[str, tuple[int, ...]]

VIDEO = "conditioner.conditioners.video_prompt."
AUDIO = "conditioner.conditioners.audio_prompt."
VAE_PREFIXES = ("pretransform.model.", f"{AUDIO}pretransform.model.")

WORDS = """
    a an and are at bell bird bright calm car cat city crowd dark deep dog door drum engine fast fire flute for
    from generate general guitar hard heavy horse in is it kick laugh light loud low music night no of on over
    piano quiet rain river road rock sea slow small snare soft sound speech steps storm street strings synth the
    then thunder to train tree video violin voice walk water wave wind with wood audio
"""


@dataclass(frozen=True)
class ModelSizes:
    """Every size of a model in the released format; the defaults are the small model's."""

    width: int = 48
    depth: int = 2
    ffn: int = 96
    context: int = 64
    tokens: int = 128
    time_features: int = 128
    latents: int = 236
    latent_channels: int = 64
    experts: int = 64
    maf_depth: int = 1
    gate: int = 64
    hidden: int = 128
    clip_depth: int = 2
    clip_patch: int = 32
    clip_projection: int = 32
    frames: int = 50
    temporal_depth: int = 1
    temporal_width: int = 64
    sync_depth: int = 1
    sync_rows: int = 240
    prompt_latents: int = 215
    vae_channels: int = 4
    vae_multipliers: tuple[int, ...] = (1, 2, 4, 8, 16)
    vae_strides: tuple[int, ...] = (2, 4, 4, 8, 8)
    t5_depth: int = 1
    t5_heads: int = 4
    t5_head_width: int = 16
    t5_vocabulary: int = 256


RELEASED = ModelSizes(
    width=1536,
    depth=24,
    ffn=4096,
    context=768,
    maf_depth=8,
    gate=768,
    hidden=3072,
    clip_depth=12,
    clip_projection=512,
    temporal_depth=4,
    temporal_width=1024,
    sync_depth=12,
    vae_channels=128,
    t5_depth=12,
    t5_heads=12,
    t5_head_width=64,
    t5_vocabulary=32128,
)
"""Sizes of AudioX-Turbo itself."""


def linear(name: str, outputs: int, inputs: int, *kernel: int, bias: bool = True) -> Shapes:
    """Names and shapes of a linear layer or a convolution."""
    return {f"{name}.weight": (outputs, inputs, *kernel)} | ({f"{name}.bias": (outputs,)} if bias else {})


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def attention(name: str, width: int) -> Shapes:
    """torch's MultiheadAttention."""
    stacked = {f"{name}.in_proj_weight": (3 * width, width), f"{name}.in_proj_bias": (3 * width,)}
    return stacked | linear(f"{name}.out_proj", width, width)


def encoder_layer(name: str, width: int, hidden: int) -> Shapes:
    """torch's TransformerEncoderLayer."""
    dot = f"{name}." if name else ""
    return {
        **attention(f"{dot}self_attn", width),
        **linear(f"{dot}linear1", hidden, width),
        **linear(f"{dot}linear2", width, hidden),
        **norm(f"{dot}norm1", width),
        **norm(f"{dot}norm2", width),
    }


def under(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def transformer_shapes(s: ModelSizes) -> Shapes:
    """`model.model.`"""
    shapes = {
        "timestep_features.weight": (s.time_features, 1),
        **linear("to_timestep_embed.0", s.width, 2 * s.time_features),
        **linear("to_timestep_embed.2", s.width, s.width),
        **linear("to_cond_embed.0", s.context, s.context, bias=False),
        **linear("to_cond_embed.2", s.context, s.context, bias=False),
        **linear("to_global_embed.0", s.width, s.context, bias=False),
        **linear("to_global_embed.2", s.width, s.width, bias=False),
    }
    for index in range(s.depth):
        shapes |= under(
            f"transformer.layers.{index}.",
            {
                **linear("attn.qkv", 3 * s.width, s.width),
                **linear("cross_attn.to_q", s.width, s.width, bias=False),
                **linear("cross_attn.to_kv", 2 * s.width, s.width, bias=False),
                **linear("linear1", s.width, s.width, 3),
                **linear("ffn.w1", s.ffn, s.width, 3, bias=False),
                **linear("ffn.w2", s.width, s.ffn, 3, bias=False),
                **linear("ffn.w3", s.ffn, s.width, 3, bias=False),
                **linear("adaLN_modulation.1", 6 * s.width, s.width),
            },
        )
    return shapes | {
        **linear("transformer.project_in", s.width, s.latent_channels, bias=False),
        **linear("transformer.project_out", s.latent_channels, s.width, bias=False),
        **linear("transformer.proj_mm_tokens", s.width, s.context),
        **linear("transformer.proj_mm_seq_len", s.latents + 1, 3 * s.tokens),
        **linear("preprocess_conv", s.latent_channels, s.latent_channels, 1, bias=False),
        **linear("postprocess_conv", s.latent_channels, s.latent_channels, 1, bias=False),
    }


def maf_shapes(s: ModelSizes) -> Shapes:
    """`maf_block.`"""
    shapes = {
        "unified_experts": (3 * s.experts, s.context),
        **{f"bypass_gate_{name}": () for name in "vta"},
        **linear("gating_network.0", s.gate, 3 * s.context),
        **linear("gating_network.2", 3, s.gate),
        **attention("cross_attn", s.context),
        **norm("norm1", s.context),
    }
    for index in range(s.maf_depth):
        shapes |= encoder_layer(f"fusion_transformer.layers.{index}", s.context, s.hidden)
    for name in "vta":
        shapes |= norm(f"norm_{name}2", s.context)
    return shapes


def clip_shapes(s: ModelSizes) -> Shapes:
    """The CLIP vision tower in Hugging Face's names."""
    positions = 1 + (224 // s.clip_patch) ** 2
    shapes = {
        "embeddings.class_embedding": (s.context,),
        "embeddings.patch_embedding.weight": (s.context, 3, s.clip_patch, s.clip_patch),
        "embeddings.position_embedding.weight": (positions, s.context),
        **norm("pre_layrnorm", s.context),
    }
    for index in range(s.clip_depth):
        shapes |= under(
            f"encoder.layers.{index}.",
            {
                **{k: v for name in "kvq" for k, v in linear(f"self_attn.{name}_proj", s.context, s.context).items()},
                **linear("self_attn.out_proj", s.context, s.context),
                **norm("layer_norm1", s.context),
                **linear("mlp.fc1", s.hidden, s.context),
                **linear("mlp.fc2", s.context, s.hidden),
                **norm("layer_norm2", s.context),
            },
        )
    shapes |= norm("post_layernorm", s.context)
    return under("vision_model.", shapes) | {"visual_projection.weight": (s.clip_projection, s.context)}


def conditioner_shapes(s: ModelSizes) -> Shapes:
    """`conditioner.`, without the VAE's copy."""
    rows = s.frames * (1 + (224 // s.clip_patch) ** 2)
    video = {
        "empty_visual_feat": (1, s.tokens, s.context),
        "sync_weight": (),
        "Temp_pos_embedding": (1, s.frames, s.context),
        **under("visual_encoder_model.", clip_shapes(s)),
        **linear("proj", s.tokens, rows),
        **linear("proj_sync", s.tokens, s.sync_rows),
    }
    for index in range(s.temporal_depth):
        video |= under(
            f"Temp_transformer.layers.{index}.",
            {
                **norm("0.norm", s.context),
                **linear("0.fn.to_qkv", 3 * s.temporal_width, s.context, bias=False),
                **linear("0.fn.to_out.0", s.context, s.temporal_width),
                **norm("1.norm", s.context),
                **linear("1.fn.net.0", s.hidden, s.context),
                **linear("1.fn.net.3", s.context, s.hidden),
            },
        )
    video |= norm("Temp_transformer.norm", s.context)
    audio = {
        **linear("proj_out", s.context, s.latent_channels),
        **linear("proj_features_128", s.tokens, s.prompt_latents),
    }
    return under(VIDEO, video) | under(AUDIO, audio)


def vae_shapes(s: ModelSizes) -> Shapes:
    """The Oobleck VAE, weight norm unfolded."""
    widths = [s.vae_channels * m for m in (1, *s.vae_multipliers)]
    last = len(s.vae_strides) + 1

    def conv(name: str, outputs: int, inputs: int, kernel: int, *, transposed=False, bias=True) -> Shapes:
        rows, columns = (inputs, outputs) if transposed else (outputs, inputs)
        shapes = {f"{name}.bias": (outputs,)} if bias else {}
        return shapes | {f"{name}.weight_g": (rows, 1, 1), f"{name}.weight_v": (rows, columns, kernel)}

    def snake(name: str, width: int) -> Shapes:
        return {f"{name}.alpha": (width,), f"{name}.beta": (width,)}

    def unit(name: str, width: int) -> Shapes:
        return {
            **snake(f"{name}.layers.0", width),
            **conv(f"{name}.layers.1", width, width, 7),
            **snake(f"{name}.layers.2", width),
            **conv(f"{name}.layers.3", width, width, 1),
        }

    shapes = conv("encoder.layers.0", widths[0], 2, 7)
    for index, stride in enumerate(s.vae_strides):
        name, inputs, outputs = f"encoder.layers.{index + 1}.layers", widths[index], widths[index + 1]
        for number in range(3):
            shapes |= unit(f"{name}.{number}", inputs)
        shapes |= snake(f"{name}.3", inputs) | conv(f"{name}.4", outputs, inputs, 2 * stride)
    shapes |= snake(f"encoder.layers.{last}", widths[-1])
    shapes |= conv(f"encoder.layers.{last + 1}", 2 * s.latent_channels, widths[-1], 3)
    shapes |= conv("decoder.layers.0", widths[-1], s.latent_channels, 7)
    for index, stride in enumerate(reversed(s.vae_strides)):
        name, inputs, outputs = f"decoder.layers.{index + 1}.layers", widths[-1 - index], widths[-2 - index]
        shapes |= snake(f"{name}.0", inputs) | conv(f"{name}.1", outputs, inputs, 2 * stride, transposed=True)
        for number in range(2, 5):
            shapes |= unit(f"{name}.{number}", outputs)
    shapes |= snake(f"decoder.layers.{last}", widths[0])
    return shapes | conv(f"decoder.layers.{last + 1}", 2, widths[0], 7, bias=False)


def synchformer_shapes(s: ModelSizes) -> Shapes:
    """`vfeat_extractor.`"""
    width = s.context
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 197, width),
        "temp_embed": (1, 8, width),
        **linear("patch_embed.proj", width, 3, 16, 16),
        **linear("patch_embed_3d.proj", width, 3, 2, 16, 16),
    }
    for index in range(s.sync_depth):
        block = norm("norm1", width) | norm("norm2", width) | norm("norm3", width)
        for name in ("attn", "timeattn"):
            block |= linear(f"{name}.qkv", 3 * width, width) | linear(f"{name}.proj", width, width)
        block |= linear("mlp.fc1", s.hidden, width) | linear("mlp.fc2", width, s.hidden)
        shapes |= under(f"blocks.{index}.", block)
    shapes |= norm("norm", width)
    agg = {"cls_token": (1, 1, width), **encoder_layer("", width, s.hidden)}
    return under("vfeat_extractor.", shapes | under("spatial_attn_agg.", agg))


def t5_shapes(s: ModelSizes) -> Shapes:
    """T5's encoder in Hugging Face's names."""
    inner = s.t5_heads * s.t5_head_width
    shapes = {"shared.weight": (s.t5_vocabulary, s.context)}
    for index in range(s.t5_depth):
        shapes |= under(
            f"encoder.block.{index}.layer.",
            {
                **{f"0.SelfAttention.{name}.weight": (inner, s.context) for name in "qkv"},
                "0.SelfAttention.o.weight": (s.context, inner),
                "0.layer_norm.weight": (s.context,),
                "1.DenseReluDense.wi.weight": (s.hidden, s.context),
                "1.DenseReluDense.wo.weight": (s.context, s.hidden),
                "1.layer_norm.weight": (s.context,),
            },
        )
    shapes["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = (32, s.t5_heads)
    return shapes | {"encoder.final_layer_norm.weight": (s.context,)}


def model_shapes(s: ModelSizes) -> Shapes:
    """The model file: transformer, fusion, conditioners and the VAE twice."""
    shapes = under("model.model.", transformer_shapes(s)) | under("maf_block.", maf_shapes(s))
    shapes |= conditioner_shapes(s)
    for prefix in VAE_PREFIXES:
        shapes |= under(prefix, vae_shapes(s))
    return shapes


def weights(shapes: Shapes, seed: int = 0) -> dict[str, torch.Tensor]:
    """Tensors by the seeded rule; another seed gives others, but the VAE stays one."""
    salted = f"seed{seed}." if seed else ""
    return {
        name: torch.from_numpy(tensor(name if "pretransform." in name else salted + name, shape))
        for name, shape in shapes.items()
    }


def write_tokenizer(path: Path) -> int:
    """A unigram tokenizer.json like T5's in form, with few words and all of ASCII; returns its vocabulary's size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    letters = [chr(code) for code in range(33, 127)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    pieces += [(f"\u2581{word}", -3.0 - index / 100) for index, word in enumerate(WORDS.split())]
    pieces += [(letter, -8.0 - index / 100) for index, letter in enumerate(letters)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.save(str(path))
    return tokenizer.get_vocab_size()


def write_t5(folder: Path, sizes: ModelSizes, with_tokenizer: bool) -> None:
    """A folder like Hugging Face's t5-base."""
    folder.mkdir(parents=True, exist_ok=True)
    if with_tokenizer:
        vocabulary = write_tokenizer(folder / "tokenizer.json")
        sizes = replace(sizes, t5_vocabulary=-(-max(vocabulary, sizes.t5_vocabulary) // 64) * 64)
    save_file(weights(t5_shapes(sizes)), folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "model_type": "t5",
        "architectures": ["T5EncoderModel"],
        "vocab_size": sizes.t5_vocabulary,
        "d_model": sizes.context,
        "d_kv": sizes.t5_head_width,
        "num_heads": sizes.t5_heads,
        "d_ff": sizes.hidden,
        "num_layers": sizes.t5_depth,
        "relative_attention_num_buckets": 32,
        "feed_forward_proj": "relu",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def make_small_model(
    folder: Path | str,
    *,
    variant: str = "turbo",
    both: bool = False,
    seed: int = 0,
    with_t5: bool = True,
    with_tokenizer: bool = True,
    sizes: ModelSizes | None = None,
) -> Path:
    """Write the released folder layout with generated weights and return the folder.

    variant: "turbo" or "base"; both: write the other one too, with other weights.
    """
    folder, sizes = Path(folder), sizes or ModelSizes()
    shapes = model_shapes(sizes)
    if both or variant == "turbo":
        save_pickle(weights(shapes, seed), folder / "audiox_turbo" / "audiox_turbo.ckpt")
    if both or variant == "base":
        teacher = {"state_dict": weights(shapes, seed + 1)}
        save_pickle(teacher, folder / "pretrained_ckpt" / "pretrained_ckpt.ckpt")
    save_pickle({"state_dict": weights(vae_shapes(sizes))}, folder / "pretransform" / "vae.ckpt")
    save_pickle(weights(synchformer_shapes(sizes)), folder / "synchformer" / "synchformer_state_dict.pth")
    if with_t5:
        write_t5(folder / "t5-base", sizes, with_tokenizer)
    return folder


def save_pickle(content: dict, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)


def count(shapes: Shapes) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="small_model", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where to write; made when it does not exist")
    parser.add_argument("--variant", choices=("turbo", "base"), default="turbo")
    parser.add_argument("--both", action="store_true", help="write the turbo model and its teacher")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-t5", dest="with_t5", action="store_false", help="without a text encoder")
    options = parser.parse_args(arguments)
    folder = make_small_model(**vars(options))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB, generated weights in the released format")
    return 0


if __name__ == "__main__":
    sys.exit(main())
