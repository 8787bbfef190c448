"""`audiox check`: does this installation work, and does it give the right numbers? For first runs and bug reports."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..check.json_report import report_json
from ..check.result import Result
from ..check.run import Options, check, collected
from ..check.text import result_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `check`."""
    parser.add_argument(
        "model", nargs="?", type=Path, metavar="MODEL", help="a checkpoint file or folder; default: the demo"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps, ...; default: a GPU where there is one")
    parser.add_argument("--verify", action="store_true", help="read all of the model: checksums, and every number")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report for an issue")
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="the folder of models; default: models/audiox")
    parser.add_argument(
        "--comfyui", type=Path, metavar="FOLDER", help="ComfyUI's folder, if the pack is not in its custom_nodes"
    )


def run(options: argparse.Namespace) -> int:
    """Print each result as it is found, then the verdict. 0: it works, 1: not all of it, 2: it cannot run."""
    chosen = Options(options.model, options.device, options.models, options.comfyui, options.verify)
    found: list[tuple[str, Result]] = []
    for title, result in check(chosen):
        if not found or found[-1][0] != title:
            print(f"\n{title}" if found else title)
        print(result_text(result), flush=True)
        found.append((title, result))
    report = collected(iter(found))
    print(f"\n{report.verdict}")
    if options.json is not None:
        options.json.write_text(report_json(report), encoding="utf-8")
        print(f"For an issue: {options.json}", file=sys.stderr)
    return report.exit_code
