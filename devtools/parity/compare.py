"""Compare this implementation with golden tensors of the official one, on a CPU in float32.

    python tests/parity/run.py DIR

runs every golden .safetensors file of a folder and prints, for each tensor, the largest difference and the limit:
2e-5 x max(1, largest golden value), ten times that for runs of samplers that add noise, or nothing at all for whole
numbers. Inputs, depth and settings are those that a file's metadata describes; weights follow from their names
(`seeded_weights`). The exit status is 1 when a difference is over its limit or a file or tensor could not be
understood.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError

from devtools.parity.golden_file import Golden, NotUnderstood, Row


def check_file(
    path: Path,
    report: Callable[[Row], None] = lambda row: None,
    skip: Callable[[str, str], None] = lambda name, reason: None,
) -> list[Row]:
    """All comparisons of a golden file; NotUnderstood when one of its tensors could not be compared."""
    from devtools.parity.golden_family import FILES
    from devtools.parity.golden_parts import PARTS

    try:
        golden = Golden.read(path, report)
        part = golden.metadata.get("part", path.stem)
        if part not in PARTS | FILES:
            raise NotUnderstood(f"its part is {part!r}, known are {', '.join(PARTS | FILES)}")
        with torch.inference_mode():
            (PARTS | FILES)[part](golden)
    except (SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
        raise NotUnderstood(f"{type(error).__name__}: {error}") from error
    if golden.unchecked:
        raise NotUnderstood(f"nothing computes {', '.join(golden.unchecked)}")
    for name, reason in golden.left_out.items():
        skip(name, reason)
    return golden.rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="parity.py", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the golden .safetensors files are")
    folder = parser.parse_args(arguments).folder
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        print(f"{folder} holds no .safetensors file.")
        return 1
    wrong = 0
    for path in paths:

        def report(row: Row, stem: str = path.stem) -> None:
            label = f"{stem}: {row.name}"
            print(f"{label:48} {row.difference:9.2e}  limit {row.limit:8.2e}  {'ok' if row.ok else 'OVER'}", flush=True)

        def skip(name: str, reason: str, stem: str = path.stem) -> None:
            print(f"{stem + ': ' + name:48} not compared: {reason}", flush=True)

        try:
            wrong += sum(not row.ok for row in check_file(path, report, skip))
        except NotUnderstood as error:
            print(f"{path.name}: not understood: {error}", flush=True)
            wrong += 1
    print(f"{len(paths)} files, " + ("all within the limits" if not wrong else f"{wrong} NOT as they should be"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
