"""A progress line on a terminal, nothing elsewhere.

Our own rather than tqdm: it is one line for all stages of a run, and one package less to install.
"""

from __future__ import annotations

import sys
import time

WIDTH = 24

LINE = 79
"""Columns that a line is filled up to, so that a shorter one leaves nothing of the one before."""


class Bar:
    """`bar(stage, done, total)` redraws one line: share done, time so far, rate, time left."""

    def __init__(self) -> None:
        self.stage = ""
        self.since = time.monotonic()
        self.shown = sys.stderr.isatty()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc_info: object) -> None:
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
        pace = f"{done / seconds:.3g}/s, {clock((total - done) * seconds / done)} left" if done and seconds else ""
        line = f"{stage:>8} [{'#' * filled}{' ' * (WIDTH - filled)}] {done}/{total} {clock(seconds)} {pace}"
        sys.stderr.write(f"\r{line:<{LINE}}")
        sys.stderr.flush()


def clock(seconds: float) -> str:
    """Hours, minutes and seconds, hours only where there are some."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
