"""`audiox convert`: merge a checkpoint's files and convert them to one .safetensors file."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..release.components import COMPONENTS
from ..release.variants import VARIANTS
from .progress import Bar

DTYPES = ("fp32", "fp16", "bf16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `convert`."""
    parser.add_argument("source", type=Path, help="a checkpoint file, or the folder that holds it")
    parser.add_argument("output", type=Path, help="the .safetensors file to write")
    parser.add_argument("--dtype", choices=DTYPES, help="type of the weights (default: as in the source)")
    parser.add_argument("--vae-dtype", choices=DTYPES, default="fp32", help="type of the VAE's weights (default: fp32)")
    parser.add_argument("--variant", choices=tuple(VARIANTS), help="which model it is, if no name says so")
    parser.add_argument("--vae", type=Path, help="VAE file to use instead of the one found")
    parser.add_argument("--synchformer", type=Path, help="Synchformer file to use instead of the one found")
    parser.add_argument("--text-encoder", type=Path, help="T5 file or folder to use instead of the one found")
    parser.add_argument(
        "--weights",
        choices=("model", "ema"),
        default="model",
        help="of a training checkpoint: the model itself, or its average over the training (default: model)",
    )
    for part in COMPONENTS[1:]:  # without the network there is no model
        parser.add_argument(
            f"--without-{part.replace('_', '-')}",
            dest="without",
            action="append_const",
            const=part,
            help=f"leave the component {part} out",
        )


def run(options: argparse.Namespace) -> None:
    """Convert and print what was written. Raises AudioXError for input that cannot work."""
    import torch  # here, because importing it takes seconds

    from ..checkpoint.convert import convert

    types = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, None: None}
    with Bar() as bar:
        checkpoint = convert(
            options.source,
            options.output,
            dtype=types[options.dtype],
            vae_dtype=types[options.vae_dtype],
            variant=options.variant,
            vae=options.vae,
            synchformer=options.synchformer,
            text_encoder=options.text_encoder,
            without=options.without or (),
            weights=options.weights,
            progress=bar,
        )
    parts = [part for part in checkpoint.parts if part not in (options.without or ())]
    size = options.output.stat().st_size
    print(f"{options.output}: {VARIANTS[checkpoint.variant].title}, {', '.join(parts)}, {size / 1e6:,.1f} MB")
