"""Converts any checkpoint to one safetensors file under native names, written as it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import torch

from ..disk import check_free, remove_leftovers
from ..errors import AudioXError
from ..progress import Counter, Progress, Report, no_progress, no_report
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

HEADER_SPACE = 2**20
"""Bytes that are reserved for the header of the file, which takes about 0.3 MB."""

RECORD = "download.json"
"""The file in which `download` records the checksums of what it has fetched and checked."""


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
    progress: Progress = no_progress,
) -> Checkpoint:
    """Write one .safetensors file with every component found, and return the checkpoint that it was converted from.

    dtype: type of all weights except the VAE's, None to keep the source's types. vae_dtype: the VAE's; the official
    code runs it in float32, where rounding becomes audible first. without: components to leave out. The other
    arguments are those of `open_checkpoint`. Only one tensor at a time is in memory; `output` appears once it is
    complete. What killed conversions have left in its folder is removed. The stages of progress are "compare" (the
    copies of the VAE), "hash" (the sources, unless `download` has checked them) and "convert".

    Raises:
        AudioXError: the source cannot be opened, the output is the source or isn't a .safetensors, a component to
            leave out is unknown, the disk is too small (found before anything is read), or a weight is too large for
            float16.
    """
    output = Path(output)
    checkpoint = open_checkpoint(
        path, variant=variant, vae=vae, synchformer=synchformer, text_encoder=text_encoder, weights=weights
    )
    _check_output(checkpoint, output, without)
    parts = [part for part in checkpoint.parts if part not in set(without)]
    entries = _entries(checkpoint, parts, dtype, vae_dtype)
    output.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(output.parent)
    needed = sum(entry.bytes for entry in entries) + HEADER_SPACE
    check_free(output, needed, "write it to another disk")
    prompt_encoder = _prompt_encoder(checkpoint, vae_dtype, progress) if VAE in parts else []
    version = TWO_VAES_VERSION if prompt_encoder else FORMAT_VERSION
    metadata = _metadata(checkpoint, dtype, vae_dtype, version, progress)
    write_safetensors(output, [*entries, *prompt_encoder, *_computed(checkpoint, parts)], metadata, progress)
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
    return entries


def _prompt_encoder(checkpoint: Checkpoint, vae_dtype: torch.dtype | None, progress: Progress) -> list[Entry]:
    """The encoder for audio prompts, if it is another one than the VAE's, which takes reading both to know."""
    copies = 2 * sum(source.stored_bytes for source in checkpoint.vae_copies.prompt.values())
    if copies:
        progress("compare", 0, copies)
    reader, prompt = TensorReader(), checkpoint.prompt_encoder
    if copies:
        progress("compare", copies, copies)
    prefix = PREFIXES[PROMPT_ENCODER]
    return [_converted(reader, prefix + name, source, vae_dtype or source.dtype) for name, source in prompt.items()]


def _computed(checkpoint: Checkpoint, parts: list[str]) -> list[Entry]:
    """What is not among the sources' tensors: the statistics of silence and a separate tokenizer, small both."""
    computed = {PREFIXES[NETWORK] + name: tensor for name, tensor in checkpoint.silence().items()}
    if TOKENIZER in parts and checkpoint.tokenizer_file is not None:
        tokenizer = checkpoint.state_dict(TOKENIZER)
        computed |= {PREFIXES[TOKENIZER] + name: tensor for name, tensor in tokenizer.items()}
    return [_in_memory(name, tensor) for name, tensor in computed.items()]


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
    checkpoint: Checkpoint,
    dtype: torch.dtype | None,
    vae_dtype: torch.dtype | None,
    version: str,
    progress: Progress,
) -> dict[str, str]:
    stated = {key: value for file in reversed(checkpoint.files) for key, value in file.metadata.items()}
    licence = stated.get("license") or stated.get("modelspec.license") or LICENCE
    checksums = _checksums(_source_paths(checkpoint), progress)
    sources = [
        {"name": path.name, "bytes": path.stat().st_size, "sha256": checksum} for path, checksum in checksums.items()
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


def _checksums(paths: list[Path], progress: Progress) -> dict[Path, str]:
    """The SHA-256 of files: as `download` recorded it, or else of all their bytes."""
    known = {path: checksum for path in paths if (checksum := recorded_sha256(path)) is not None}
    unknown = [path for path in paths if path not in known]
    if unknown:
        counter = Counter(progress, "hash", sum(path.stat().st_size for path in unknown))
        known |= {path: sha256(path, counter) for path in unknown}
    return {path: known[path] for path in paths}


def recorded_sha256(path: Path) -> str | None:
    """The checksum that `download` recorded for a file that has not been written to since; None without one."""
    for folder in list(path.absolute().parents)[:3]:
        record = folder / RECORD
        if not record.is_file():
            continue
        try:
            name = path.absolute().relative_to(folder).as_posix()
            entry = json.loads(record.read_text(encoding="utf-8"))["files"][name]
            kind, checksum = entry["checksum"].split(":")
            size = entry["bytes"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        stat = path.stat()
        unchanged = stat.st_size == size and stat.st_mtime <= record.stat().st_mtime
        return checksum if kind == "sha256" and unchanged else None
    return None


def sha256(path: Path, report: Report = no_report) -> str:
    """Checksum of a file, read in chunks. report: called with the bytes of each."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 24):
            digest.update(chunk)
            report(len(chunk))
    return digest.hexdigest()
