"""`audiox inspect`: show what a file or folder holds and whether it can be used; loads no weights."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..release.variants import VARIANTS
from ..wording import first_few, shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `inspect`."""
    parser.add_argument("path", type=Path, help="a checkpoint file or folder")
    parser.add_argument("--variant", choices=tuple(VARIANTS), help="which model it is, if no name says so")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options: argparse.Namespace) -> None:
    """Print the description, also of files that cannot be used. Raises AudioXError if nothing is there."""
    from ..checkpoint.inspect import inspect

    description = inspect(options.path, options.variant)
    print(json.dumps(description, indent=2) if options.json else table(description))


def table(description: dict[str, Any]) -> str:
    """The description as text."""
    lines = []
    for file in description["files"]:
        lines += [f"{file['path']}  {megabytes(file['bytes'])}", *_file_lines(file), ""]
    checkpoint = description["checkpoint"]
    if checkpoint is None:
        return "\n".join([*lines, f"Not usable as a model: {description['problem']}"])
    lines.append(f"Usable: {VARIANTS[checkpoint['variant']].title}, according to the {_detected_by(checkpoint)}")
    lines += [f"  {notice}" for notice in checkpoint["notices"]]
    for part, contents in checkpoint["parts"].items():
        sizes = f"  {contents['sizes']}" if contents.get("sizes") else ""
        lines.append(f"  {part:12} {megabytes(contents['bytes']):>12}  {contents['file']}{sizes}")
    lines += [f"  {part:12} {'absent':>12}  {where}" for part, where in checkpoint["absent"].items()]
    return "\n".join(lines)


def _detected_by(checkpoint: dict[str, Any]) -> str:
    source = checkpoint["variant_source"]
    return "command line" if source == "explicit" else source


def _file_lines(file: dict[str, Any]) -> list[str]:
    if "problem" in file:
        return [f"  {file['problem']}"]
    wrapped = f", under the key {file['wrapped_in']}" if file["wrapped_in"] else ""
    lines = [f"  {file['container']}{wrapped}, {file['tensors']} tensors, {megabytes(file['tensor_bytes'])}"]
    if file["another_model"]:
        lines.append(f"  looks like {file['another_model']}")
    for part, contents in file["parts"].items():
        types = ", ".join(f"{count} {name}" for name, count in contents["dtypes"].items())
        lines.append(f"  {part}: {contents['tensors']} tensors, {megabytes(contents['bytes'])}, {types}")
    if file["without_effect"]:
        lines.append(f"  without effect: {file['without_effect']} tensors")
    if file["unknown"]:
        lines.append(f"  left out: {len(file['unknown'])} tensors: {first_few(file['unknown'])}")
    if file["left_out_objects"]:
        lines.append(f"  left out, not tensors: {first_few(file['left_out_objects'])}")
    return lines + [f"  {shown(key)} = {shown(value)}" for key, value in file["metadata"].items()]


def megabytes(count: int) -> str:
    """'1,234.5 MB'."""
    return f"{count / 1e6:,.1f} MB"
