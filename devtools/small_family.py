"""Small models of the other AudioX releases: every name of the released files, scaled-down shapes, generated weights.

From a shell: `python -m tests.small_family v1 FOLDER`, or maf, or maf-mmdit.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

if __package__:
    from devtools import small_model as small
else:
    from devtools import small_model as small

DIT_SIZES = small.ModelSizes(width=128)
"""Two heads of the transformer's own to one of the prompt's."""

FOLDERS = {"v1": "AudioX", "maf": "AudioX-MAF", "maf-mmdit": "AudioX-MAF-MMDiT"}
"""Variant -> the name of its repository."""

MELS = 256


def dit_shapes(s: small.ModelSizes, global_width: int) -> small.Shapes:
    """`model.model.` of the cross-attending transformer."""
    linear = small.linear
    shapes = {
        name: shape
        for name, shape in small.transformer_shapes(replace(s, depth=0)).items()
        if ".proj_mm_" not in name and not name.startswith("to_global_embed.0")
    }
    shapes |= linear("to_global_embed.0", s.width, global_width, bias=False)
    shapes["transformer.rotary_pos_emb.inv_freq"] = (16,)
    for index in range(s.depth):
        layer = {
            **linear("self_attn.to_qkv", 3 * s.width, s.width, bias=False),
            **linear("self_attn.to_out", s.width, s.width, bias=False),
            **linear("cross_attn.to_q", s.width, s.width, bias=False),
            **linear("cross_attn.to_kv", 2 * s.context, s.context, bias=False),
            **linear("cross_attn.to_out", s.width, s.width, bias=False),
            **linear("ff.ff.0.proj", 8 * s.width, s.width),
            **linear("ff.ff.2", s.width, 4 * s.width),
        }
        for norm in ("pre_norm", "cross_attend_norm", "ff_norm"):
            layer |= {f"{norm}.gamma": (s.width,), f"{norm}.beta": (s.width,)}
        shapes |= small.under(f"transformer.layers.{index}.", layer)
    return shapes


def video_shapes(s: small.ModelSizes, sync: bool) -> small.Shapes:
    every = small.conditioner_shapes(s)
    sync_names = (f"{small.VIDEO}sync_weight", f"{small.VIDEO}proj_sync.")
    return {
        name: shape
        for name, shape in every.items()
        if name.startswith(small.VIDEO) and (sync or not name.startswith(sync_names))
    }


def frame_audio_shapes(s: small.ModelSizes) -> small.Shapes:
    """The first AudioX's audio conditioner."""
    projection = small.linear("proj_out", s.context, s.latent_channels)
    return {"empty_audio_feat": (1, s.prompt_latents, s.context), **projection}


def mel_audio_shapes(s: small.ModelSizes) -> small.Shapes:
    """AudioX-MAF's audio conditioner."""
    return small.linear("proj_features", s.context, MELS)


def v1_shapes(s: small.ModelSizes) -> small.Shapes:
    """AudioX of April 2025."""
    shapes = small.under("model.model.", dit_shapes(s, s.width)) | video_shapes(s, sync=False)
    shapes |= small.under(small.AUDIO, frame_audio_shapes(s))
    for prefix in small.VAE_PREFIXES:
        shapes |= small.under(prefix, small.vae_shapes(s))
    return shapes


def maf_shapes(s: small.ModelSizes) -> small.Shapes:
    """AudioX-MAF; its audio conditioner has no VAE."""
    shapes = small.under("model.model.", dit_shapes(s, s.context)) | small.under("maf_block.", small.maf_shapes(s))
    shapes |= video_shapes(s, sync=True) | small.under(small.AUDIO, mel_audio_shapes(s))
    return shapes | small.under(small.VAE_PREFIXES[0], small.vae_shapes(s))


SHAPES = {"v1": v1_shapes, "maf": maf_shapes, "maf-mmdit": small.model_shapes}


def make_family_model(folder: Path | str, variant: str, *, seed: int = 2, with_t5: bool = True) -> Path:
    """Write a released folder (model.ckpt, config.json, companions) with generated weights and return it."""
    folder = Path(folder)
    sizes = small.ModelSizes() if variant == "maf-mmdit" else DIT_SIZES
    small.save_pickle({"state_dict": small.weights(SHAPES[variant](sizes), seed)}, folder / "model.ckpt")
    diffusion = {"type": "mmdit" if variant == "maf-mmdit" else "dit", "diffusion_objective": "v"}
    (folder / "config.json").write_text(json.dumps({"model": {"diffusion": diffusion}}), encoding="utf-8")
    if variant != "v1":
        small.save_pickle(small.weights(small.synchformer_shapes(sizes)), folder / "synchformer_state_dict.pth")
    if variant == "maf-mmdit":
        small.save_pickle({"state_dict": small.weights(small.vae_shapes(sizes))}, folder / "VAE.ckpt")
    if with_t5:
        small.write_t5(folder / "t5-base", sizes, with_tokenizer=True)
    return folder


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="small_family", description=__doc__.split("\n")[0])
    parser.add_argument("variant", choices=tuple(SHAPES))
    parser.add_argument("folder", type=Path, help="where to write; made when it does not exist")
    options = parser.parse_args(arguments)
    print(make_family_model(options.folder, options.variant))
    return 0


if __name__ == "__main__":
    sys.exit(main())
