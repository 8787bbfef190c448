"""What is in a file or a folder, from names and shapes alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import AudioXError
from ..release.components import COMPONENTS, SYNCHFORMER
from .checkpoint import describe_tensors
from .file_contents import foreign_model, read_contents
from .loading import find_checkpoint
from .reader import SUFFIXES, TensorFile


def inspect(path: Path | str, variant: str | None = None) -> dict[str, Any]:
    """Describe a file or a folder as plain values; loads no weights.

    usable: whether `open_checkpoint` opens it; if not, problem says why. checkpoint: its description. unneeded:
    components that are absent and that this model has no use for. files: every file of tensors there, each with its
    components or the reason why it cannot be read.

    Raises:
        AudioXError: the path does not exist.
    """
    path = Path(path)
    if not path.exists():
        raise AudioXError(f"{path} does not exist; give a checkpoint file or folder.")
    checkpoint, problem, unneeded = None, None, []
    try:
        opened = find_checkpoint(path, variant=variant)
        checkpoint = opened.describe()
        unneeded = [part for part in checkpoint["absent"] if part == SYNCHFORMER not in opened.video_encoders()]
    except AudioXError as error:
        problem = str(error)
    return {
        "path": str(path),
        "usable": checkpoint is not None,
        "problem": problem,
        "checkpoint": checkpoint,
        "unneeded": unneeded,
        "files": [_describe_file(file) for file in tensor_files(path)],
    }


def files_to_verify(path: Path, description: dict[str, Any]) -> list[Path]:
    """The files of tensors at a path, and those elsewhere that its checkpoint is read from."""
    checkpoint = description["checkpoint"]
    used = [Path(file["path"]) for file in checkpoint["files"]] if checkpoint else []
    return list({file.resolve(): file for file in [*tensor_files(path), *used]}.values())


def tensor_files(path: Path) -> list[Path]:
    """A file itself, or the files of tensors in a folder and the folders in it."""
    if path.is_file():
        return [path]
    below = [*path.glob("*"), *path.glob("*/*")]
    return sorted(file for file in below if file.is_file() and file.suffix.lower() in SUFFIXES)


def _describe_file(path: Path) -> dict[str, Any]:
    description: dict[str, Any] = {"path": str(path), "bytes": path.stat().st_size}
    try:
        contents = read_contents(TensorFile(path))
    except AudioXError as error:
        return description | {"problem": str(error)}
    file = contents.file
    parts = {
        f"{part} ({prefix.rstrip('.')})" if prefix else part: describe_tensors(sources)
        for part in COMPONENTS
        for prefix, sources in contents.copies.get(part, {}).items()
    }
    return description | {
        "container": "pickle" if file.is_pickle else "safetensors",
        "wrapped_in": file.wrapper,
        "metadata": file.metadata,
        "tensors": len(file.shapes),
        "tensor_bytes": sum(file.bytes_of(name) for name in file.shapes),
        "another_model": foreign_model(file.shapes),
        "parts": parts,
        "without_effect": len(contents.dead),
        "unknown": list(contents.unknown),
        "other_entries": list(file.other),
        "left_out_objects": list(file.left_out),
    }
