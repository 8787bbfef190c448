"""Any checkpoint -> one safetensors file under native names, written as it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from ..errors import AudioXError
from ..release.variants import VARIANTS
from .checkpoint import Checkpoint, TensorReader
from .detection import GUIDANCE_KEY, VARIANT_KEY
from .file_contents import TensorSource
from .key_mapping import NETWORK, PARTS, TOKENIZER, VAE
from .loading import open_checkpoint
from .single_file import PREFIXES
from .writer import Entry, write_safetensors

FORMAT_VERSION = "1"
"""Raised when a file of ours can no longer be read by an older version."""

LICENCE = "CC-BY-NC-4.0 (weights by the AudioX authors; watermarked)"
"""Licence of the released weights, unless a source says another."""

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
    progress: Progress | None = None,
) -> Checkpoint:
    """Write one .safetensors file with every part found, and return what it was made from.

    dtype: type of all weights but the VAE's, None to keep the types of the source. vae_dtype: the VAE's; upstream
    runs it in float32, where rounding is heard first. without: parts to leave out. The rest is handed to
    `open_checkpoint`. Only one tensor at a time is in memory; `output` appears when it is complete.

    Raises:
        AudioXError: the source cannot be opened, the output is the source or no .safetensors, a part to leave out
            is unknown, or a weight is too large for float16.
    """
    output = Path(output)
    opened = open_checkpoint(path, variant=variant, vae=vae, synchformer=synchformer, text_encoder=text_encoder)
    _check_output(opened, output, without)
    parts = [part for part in opened.parts if part not in set(without)]
    if VAE in opened.parts:
        opened.check_vae_copies()
    entries = _entries(opened, parts, dtype, vae_dtype)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(output, entries, _metadata(opened, dtype, vae_dtype), progress)
    return opened


def _check_output(opened: Checkpoint, output: Path, without: Iterable[str]) -> None:
    unknown = sorted(set(without) - (set(PARTS) - {NETWORK}))
    if unknown:
        raise AudioXError(f"Cannot leave out {', '.join(unknown)}; parts are {', '.join(PARTS[1:])}.")
    if output.suffix != ".safetensors":
        raise AudioXError(f"The output is {output}, expected a name that ends in .safetensors.")
    sources = _source_paths(opened)
    if output.exists() and any(output.samefile(source) for source in sources):
        raise AudioXError(f"{output} is a source of this conversion; choose another output.")


def _entries(
    opened: Checkpoint, parts: list[str], dtype: torch.dtype | None, vae_dtype: torch.dtype | None
) -> list[Entry]:
    reading = TensorReader()
    entries = []
    for part in parts:
        for name, origin, wanted in opened.wanted_types(part, vae_dtype if part == VAE else dtype):
            entries.append(_stored(reading, PREFIXES[part] + name, origin, wanted))
    computed = {PREFIXES[NETWORK] + name: tensor for name, tensor in opened.silence().items()}
    if TOKENIZER in parts and opened.tokenizer_file is not None:
        computed |= {PREFIXES[TOKENIZER] + name: made for name, made in opened.state_dict(TOKENIZER).items()}
    for name, tensor in computed.items():
        entries.append(Entry(name, tuple(tensor.shape), tensor.dtype, lambda made=tensor: made, lambda _: None))
    return entries


def _stored(reading: TensorReader, name: str, origin: TensorSource, dtype: torch.dtype) -> Entry:
    def make() -> torch.Tensor:
        made = reading.tensor(origin, dtype)
        if dtype == torch.float16 and origin.dtype != torch.float16 and not torch.isfinite(made).all():
            raise AudioXError(f"{origin.recipe.sources[-1]} in {origin.file.path} does not fit fp16; choose bf16.")
        return made

    return Entry(name, origin.shape, dtype, make, lambda tensor: reading.done(origin, tensor))


def _source_paths(opened: Checkpoint) -> list[Path]:
    paths = [file.path for file in opened.files]
    return [*paths, opened.tokenizer_file] if opened.tokenizer_file else paths


def _metadata(opened: Checkpoint, dtype: torch.dtype | None, vae_dtype: torch.dtype | None) -> dict[str, str]:
    stated = {key: value for file in reversed(opened.files) for key, value in file.metadata.items()}
    licence = stated.get("license") or stated.get("modelspec.license") or LICENCE
    sources = [
        {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)} for path in _source_paths(opened)
    ]
    asked = {GUIDANCE_KEY: stated[GUIDANCE_KEY]} if GUIDANCE_KEY in stated else {}
    return {
        **asked,
        "format": "pt",
        "license": licence,
        "audiox.format_version": FORMAT_VERSION,
        "audiox.architecture": f"audiox-{VARIANTS[opened.variant].architecture}",
        VARIANT_KEY: opened.variant,
        "audiox.dtype": _type_name(dtype),
        "audiox.vae_dtype": _type_name(vae_dtype),
        "audiox.sources": json.dumps(sources),
    }


def _type_name(dtype: Any) -> str:
    return "as in the source" if dtype is None else str(dtype).removeprefix("torch.")


def sha256(path: Path) -> str:
    """Checksum of a file, read in pieces."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 24):
            digest.update(piece)
    return digest.hexdigest()
