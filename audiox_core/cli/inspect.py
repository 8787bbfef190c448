"""`python -m audiox_core inspect`: say what a file or folder holds and whether it can be used; loads no weights."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..release.variants import VARIANTS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `inspect`."""
    parser.add_argument("path", type=Path, help="a checkpoint file or folder")
    parser.add_argument("--variant", choices=tuple(VARIANTS), help="which model it is, when no name says so")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options: argparse.Namespace) -> None:
    """Print the description, of a file that cannot be used too. Raises AudioXError when nothing is there."""
    from ..checkpoint.inspect import inspect

    found = inspect(options.path, options.variant)
    print(json.dumps(found, indent=2) if options.json else table(found))


def table(found: dict[str, Any]) -> str:
    """The description for people."""
    lines = []
    for file in found["files"]:
        lines += [f"{file['path']}  {megabytes(file['bytes'])}", *_file_lines(file), ""]
    checkpoint = found["checkpoint"]
    if checkpoint is None:
        return "\n".join([*lines, f"Not usable as a model: {found['problem']}"])
    lines.append(f"Usable: {VARIANTS[checkpoint['variant']].title}, known from the {_known_from(checkpoint)}")
    for part, held in checkpoint["parts"].items():
        sizes = f"  {held['sizes']}" if held.get("sizes") else ""
        lines.append(f"  {part:12} {megabytes(held['bytes']):>12}  {held['file']}{sizes}")
    lines += [f"  {part:12} {'absent':>12}  {where}" for part, where in checkpoint["absent"].items()]
    return "\n".join(lines)


def _known_from(checkpoint: dict[str, Any]) -> str:
    source = checkpoint["variant_source"]
    return "command line" if source == "explicit" else source


def _file_lines(file: dict[str, Any]) -> list[str]:
    if "problem" in file:
        return [f"  {file['problem']}"]
    wrapped = f", under the key {file['wrapped_in']}" if file["wrapped_in"] else ""
    lines = [f"  {file['container']}{wrapped}, {file['tensors']} tensors, {megabytes(file['tensor_bytes'])}"]
    if file["another_model"]:
        lines.append(f"  looks like {file['another_model']}")
    for part, held in file["parts"].items():
        types = ", ".join(f"{count} {name}" for name, count in held["dtypes"].items())
        lines.append(f"  {part}: {held['tensors']} tensors, {megabytes(held['bytes'])}, {types}")
    if file["without_effect"]:
        lines.append(f"  without effect: {file['without_effect']} tensors")
    if file["unknown"]:
        more = f" and {len(file['unknown']) - 3} more" if len(file["unknown"]) > 3 else ""
        lines.append(f"  unknown: {', '.join(file['unknown'][:3])}{more}")
    return lines + [f"  {key} = {value}" for key, value in file["metadata"].items()]


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
