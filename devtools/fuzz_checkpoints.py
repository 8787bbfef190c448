"""Damaged and hostile checkpoints by the thousand: every one must open, or be refused with one sentence of ours.

    python -m devtools.fuzz_checkpoints --count 1500

A case follows from its number alone, so `--only NUMBER` repeats it. Exit code 1 if anything died, hung, raised another
error or ran code from a file.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from audiox_core.checkpoint.checkpoint import TensorReader
from audiox_core.checkpoint.inspect import inspect
from audiox_core.checkpoint.loading import find_checkpoint
from audiox_core.errors import AudioXError
from audiox_core.release.components import NETWORK
from devtools.damaged_checkpoints import Bases, content_of, make_bases

SECONDS = 10.0
"""CPU time after which a case counts as hung."""

LONGEST_SENTENCE = 2000
"""Characters of an error, without the path."""


def use(path: Path) -> str:
    """Open a file and read all of it: "loads" or "refused". AssertionError for a bad sentence."""
    description = inspect(path, "turbo")
    json.dumps(description)
    problem = description["problem"]
    if problem is not None:
        assert "\n" not in problem and len(problem.replace(str(path), "")) < LONGEST_SENTENCE, problem[:300]
        return "refused"
    checkpoint = find_checkpoint(path, variant="turbo")
    reader = TensorReader()
    try:
        for part in checkpoint.parts:
            for _, source, dtype in checkpoint.final_dtypes(part, None):
                reader.tensor(source, dtype)
            if part != NETWORK:
                checkpoint.state_dict(part)
    except AudioXError:
        return "refused"
    return "loads"


@contextmanager
def cpu_limit(seconds: float):
    """TimeoutError after so much CPU time, where the system has such a clock."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} s of CPU time")

    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def run_case(number: int, bases: Bases, folder: Path) -> tuple[str, str]:
    """(kind, outcome) of a case; an outcome other than "loads" and "refused" is a failure, with its reason."""
    kind, content = content_of(number, bases)
    path = folder / f"case{number}.ckpt"
    path.write_bytes(content)
    try:
        with cpu_limit(SECONDS):
            outcome = use(path)
    except Exception:  # noqa: BLE001  what escapes is what is looked for
        outcome = traceback.format_exc(limit=-3)
    finally:
        path.unlink()
    if bases.witness.exists():
        bases.witness.unlink()
        outcome = "code from the file was run"
    return kind, outcome


def in_child(number: int, bases: Bases, folder: Path) -> tuple[str, str]:
    """`run_case` in a process of its own, which may die or hang."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        outcome = json.dumps(run_case(number, bases, folder))
        os.write(write, outcome[:60_000].encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if status or not answer:
        return content_of(number, bases)[0], f"the process died with status {status}"
    kind, outcome = json.loads(answer)
    return kind, outcome


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fuzz_checkpoints", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--start", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", type=int, help="one case, in this process")
    options = parser.parse_args(arguments)
    results: Counter[tuple[str, str]] = Counter()
    failures, begin = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bases = make_bases(folder)
        if options.only is not None:
            print(*run_case(options.only, bases, folder), sep="\n")
            return 0
        for number in range(options.start, options.start + options.count):
            kind, outcome = in_child(number, bases, folder)
            known = outcome in ("loads", "refused")
            results[kind, outcome if known else "FAILED"] += 1
            if not known:
                failures += 1
                print(f"case {number} ({kind}): {outcome}", flush=True)
    for (kind, outcome), count in sorted(results.items()):
        print(f"{kind:12} {outcome:8} {count}")
    print(f"{options.count} cases in {time.monotonic() - begin:.0f} s, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
