"""`audiox inspect`: show what a file or folder holds and whether it can be used; loads no weights."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..release.components import CLIP_VISION, COMPONENT_TITLES, COMPONENTS, SYNCHFORMER, T5, TOKENIZER, VAE
from ..release.files import gigabytes
from ..release.variants import VARIANTS
from ..wording import first_few
from .progress import Bar

if TYPE_CHECKING:
    from ..checkpoint.verify import Verified

USES = {
    VAE: "no sound can be generated",
    CLIP_VISION: "no video or image can be used",
    SYNCHFORMER: "no video or image can be used",
    T5: "no text can be used",
    TOKENIZER: "no text can be used",
}
"""Component -> what does not work without it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `inspect`."""
    parser.add_argument("path", type=Path, help="a checkpoint file or folder")
    parser.add_argument("--variant", choices=tuple(VARIANTS), help="which model it is, if no name says so")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read every byte: compare checksums with the released files, look for damage; exit code 1 if there is any",
    )


def run(options: argparse.Namespace) -> int:
    """Print the description, also of files that cannot be used. Raises AudioXError if nothing is there."""
    from ..checkpoint.inspect import files_to_verify, inspect

    description = inspect(options.path, options.variant)
    if not options.json:
        print(table(description), flush=True)
    verified: list[Verified] = []
    if options.verify:
        from ..checkpoint.verify import verify

        with Bar() as bar:
            verified = verify(files_to_verify(options.path, description), bar)
        description["verified"] = [file.describe() for file in verified]
    if options.json:
        print(json.dumps(description, indent=2))
    elif verified:
        print("\n".join(["", *(line for file in verified for line in _verified_lines(file))]))
    return 1 if any(file.problems for file in verified) else 0


def table(description: dict[str, Any]) -> str:
    """The description as text."""
    checkpoint = description["checkpoint"]
    if checkpoint is None:
        files = [line for file in description["files"] for line in _file_lines(file)]
        return "\n".join([f"Not usable as a model: {description['problem']}", *files])
    title = VARIANTS[checkpoint["variant"]].title
    lines = [f"Usable: {title}, according to the {_detected_by(checkpoint)}", ""]
    rows = [_component_row(part, contents) for part, contents in checkpoint["parts"].items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        lines.append("  ".join(["", *(text.ljust(width) for text, width in zip(row, widths, strict=True))]).rstrip())
    missing = [part for part in checkpoint["absent"] if part not in description["unneeded"]]
    if missing:
        lines.append("")
    for part in missing:
        how = checkpoint["absent"][part]
        lines.append(f"Missing: {COMPONENT_TITLES[part]}; without it {USES[part]}. {how}.")
    return "\n".join([*lines, *_notes(description)])


def _component_row(part: str, contents: dict[str, Any]) -> tuple[str, str, str, str]:
    """Title, size, types and file of a component."""
    types = sorted(contents.get("dtypes", {}).items(), key=lambda item: -item[1])
    title = COMPONENT_TITLES[part]
    return title, gigabytes(contents["bytes"]), " and ".join(name for name, _ in types), contents["file"]


def _notes(description: dict[str, Any]) -> list[str]:
    """What else there is to know about the files of a checkpoint, and about those beside it."""
    checkpoint = description["checkpoint"]
    used = {file["path"] for file in checkpoint["files"]}
    notes: list[str] = []
    for file in description["files"]:
        if file["path"] not in used:
            notes.append(f"Not used: {file['path']} ({gigabytes(file['bytes'])}){_problem(file)}")
        elif file.get("unknown"):
            notes.append(f"{file['path']} also holds {first_few(file['unknown'])}, which no released file does.")
    licences: dict[str, list[str]] = {}
    for file in checkpoint["files"]:
        name, metadata = Path(file["path"]).name, file["metadata"]
        if licence := metadata.get("license") or metadata.get("modelspec.license"):
            licences.setdefault(licence, []).append(name)
        if sources := metadata.get("audiox.sources"):
            notes.append(f"{name} was converted from {_source_list(sources)}.")
    notes += [f"Licence of {', '.join(names)}: {licence}" for licence, names in licences.items()]
    return ["", *notes] if notes else []


def _source_list(sources: str) -> str:
    """'audiox_turbo.ckpt (10.8 GB), vae.ckpt (624 MB)' of a file's record of its sources, as convert wrote it."""
    return ", ".join(f"{source['name']} ({gigabytes(source['bytes'])})" for source in json.loads(sources))


def _detected_by(checkpoint: dict[str, Any]) -> str:
    source = checkpoint["variant_source"]
    return "command line" if source == "explicit" else str(source)


def _file_lines(file: dict[str, Any]) -> list[str]:
    """What is in a file of a folder that is no model."""
    if "problem" in file:
        return [f"  {file['path']} ({gigabytes(file['bytes'])}){_problem(file)}"]
    titles = [COMPONENT_TITLES[part] for part in COMPONENTS if any(key.split(" ")[0] == part for key in file["parts"])]
    holds = " and ".join(titles) if titles else file["another_model"] or first_few(file["unknown"])
    return [f"  {file['path']} ({gigabytes(file['bytes'])}): {file['tensors']} tensors, {holds}"]


def _verified_lines(file: Verified) -> list[str]:
    state = "no damage found; there is no released checksum to compare its own with"
    if file.is_released:
        state = "right, bit by bit"
    elif file.problems:
        state = f"{'; '.join(file.problems)}. Get this file again"
    return [f"{file.path}: {state}.", f"  sha256 {file.sha256}"]


def _problem(file: dict[str, Any]) -> str:
    return f": {file['problem']}" if "problem" in file else ""
