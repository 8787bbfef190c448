"""A progress line on a terminal; silent where nobody looks."""

from __future__ import annotations

import sys
import time

WIDTH = 30


class Bar:
    """`bar(stage, done, total)` redraws one line with the share done and the seconds so far."""

    def __init__(self) -> None:
        self.stage = ""
        self.since = time.monotonic()
        self.shown = sys.stderr.isatty()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc_info) -> None:
        if self.shown and self.stage:
            sys.stderr.write("\n")

    def __call__(self, stage: str, done: int, total: int) -> None:
        if not self.shown:
            return
        if stage != self.stage:
            if self.stage:
                sys.stderr.write("\n")
            self.stage, self.since = stage, time.monotonic()
        filled = WIDTH * done // max(total, 1)
        seconds = time.monotonic() - self.since
        sys.stderr.write(f"\r{stage:>8} [{'#' * filled}{' ' * (WIDTH - filled)}] {done}/{total} {seconds:5.1f} s")
        sys.stderr.flush()
