"""Converts any checkpoint to one safetensors file under native names, written as it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from ..errors import AudioXError
from ..release.components import COMPONENTS, NETWORK, PROMPT_ENCODER, TOKENIZER, VAE
from ..release.variants import VARIANTS
from .checkpoint import Checkpoint, TensorReader
from .detection import GUIDANCE_KEY, VARIANT_KEY
from .file_contents import TensorSource
from .loading import open_checkpoint
from .single_file import PREFIXES
from .writer import Entry, write_safetensors

FORMAT_VERSION = "1"
"""Increased whenever older versions of this library can no longer read our files."""

TWO_VAES_VERSION = "2"
"""The same for a file that keeps a second encoder for audio prompts, which older versions refuse."""

LICENCE = "CC-BY-NC-4.0 (weights by the AudioX authors; watermarked)"
"""Licence of the released weights, unless a source states another."""

Progress = Callable[[int, int], None]
"""Called with bytes written and bytes in all."""


def convert(
    path: Path | str,
    output: Path | str,
    *,
    dtype: torch.dtype | None = None,
    vae_dtype: torch.dtype | None = torch.float32,
    variant: str | None = None,
    vae: Path | str | None = None,
    synchformer: Path | str | None = None,
    text_encoder: Path | str | None = None,
    without: Iterable[str] = (),
    weights: str = "model",
    progress: Progress | None = None,
) -> Checkpoint:
    """Write one .safetensors file with every component found, and return the checkpoint that it was converted from.

    dtype: type of all weights except the VAE's, None to keep the source's types. vae_dtype: the VAE's; the official
    code runs it in float32, where rounding becomes audible first. without: components to leave out. The other
    arguments are those of `open_checkpoint`. Only one tensor at a time is in memory; `output` appears once it is
    complete.

    Raises:
        AudioXError: the source cannot be opened, the output is the source or isn't a .safetensors, a component to
            leave out is unknown, or a weight is too large for float16.
    """
    output = Path(output)
    checkpoint = open_checkpoint(
        path, variant=variant, vae=vae, synchformer=synchformer, text_encoder=text_encoder, weights=weights
    )
    _check_output(checkpoint, output, without)
    parts = [part for part in checkpoint.parts if part not in set(without)]
    entries = _entries(checkpoint, parts, dtype, vae_dtype)
    output.parent.mkdir(parents=True, exist_ok=True)
    two_vaes = any(entry.name.startswith(PREFIXES[PROMPT_ENCODER]) for entry in entries)
    metadata = _metadata(checkpoint, dtype, vae_dtype, TWO_VAES_VERSION if two_vaes else FORMAT_VERSION)
    write_safetensors(output, entries, metadata, progress)
    return checkpoint


def _check_output(checkpoint: Checkpoint, output: Path, without: Iterable[str]) -> None:
    optional = [part for part in COMPONENTS if part != NETWORK]
    unknown = sorted(set(without) - set(optional))
    if unknown:
        raise AudioXError(
            f"Cannot leave out {', '.join(unknown)}; the components that can be left out are {', '.join(optional)}."
        )
    if output.suffix != ".safetensors":
        raise AudioXError(f"The output is {output}, expected a name that ends in .safetensors.")
    sources = _source_paths(checkpoint)
    if output.exists() and any(output.samefile(source) for source in sources):
        raise AudioXError(f"{output} is a source of this conversion; choose another output.")


def _entries(
    checkpoint: Checkpoint, parts: list[str], dtype: torch.dtype | None, vae_dtype: torch.dtype | None
) -> list[Entry]:
    reader = TensorReader()
    entries = []
    for part in parts:
        for name, source, final in checkpoint.final_dtypes(part, vae_dtype if part == VAE else dtype):
            entries.append(_converted(reader, PREFIXES[part] + name, source, final))
    if VAE in parts:
        for name, source in checkpoint.prompt_encoder.items():
            final = vae_dtype or source.dtype
            entries.append(_converted(reader, PREFIXES[PROMPT_ENCODER] + name, source, final))
    computed = {PREFIXES[NETWORK] + name: tensor for name, tensor in checkpoint.silence().items()}
    if TOKENIZER in parts and checkpoint.tokenizer_file is not None:
        tokenizer = checkpoint.state_dict(TOKENIZER)
        computed |= {PREFIXES[TOKENIZER] + name: tensor for name, tensor in tokenizer.items()}
    return [*entries, *(_in_memory(name, tensor) for name, tensor in computed.items())]


def _converted(reader: TensorReader, name: str, source: TensorSource, dtype: torch.dtype) -> Entry:
    def make() -> torch.Tensor:
        tensor = reader.tensor(source, dtype)
        if dtype == torch.float16 and source.dtype != torch.float16 and not torch.isfinite(tensor).all():
            raise AudioXError(f"{source.recipe.sources[-1]} in {source.file.path} does not fit fp16; choose bf16.")
        return tensor

    return Entry(name, source.shape, dtype, make, lambda tensor: reader.done(source, tensor))


def _in_memory(name: str, tensor: torch.Tensor) -> Entry:
    return Entry(name, tuple(tensor.shape), tensor.dtype, lambda: tensor, lambda _: None)


def _source_paths(checkpoint: Checkpoint) -> list[Path]:
    paths = [path for file in checkpoint.files for path in file.paths]
    return [*paths, checkpoint.tokenizer_file] if checkpoint.tokenizer_file else paths


def _metadata(
    checkpoint: Checkpoint, dtype: torch.dtype | None, vae_dtype: torch.dtype | None, version: str
) -> dict[str, str]:
    stated = {key: value for file in reversed(checkpoint.files) for key, value in file.metadata.items()}
    licence = stated.get("license") or stated.get("modelspec.license") or LICENCE
    sources = [
        {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)} for path in _source_paths(checkpoint)
    ]
    guidance = {GUIDANCE_KEY: stated[GUIDANCE_KEY]} if GUIDANCE_KEY in stated else {}
    return {
        **guidance,
        "format": "pt",
        "license": licence,
        "audiox.format_version": version,
        "audiox.architecture": f"audiox-{VARIANTS[checkpoint.variant].architecture}",
        VARIANT_KEY: checkpoint.variant,
        "audiox.dtype": _type_name(dtype),
        "audiox.vae_dtype": _type_name(vae_dtype),
        "audiox.sources": json.dumps(sources),
    }


def _type_name(dtype: torch.dtype | None) -> str:
    return "as in the source" if dtype is None else str(dtype).removeprefix("torch.")


def sha256(path: Path) -> str:
    """Checksum of a file, read in chunks."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 24):
            digest.update(chunk)
    return digest.hexdigest()
