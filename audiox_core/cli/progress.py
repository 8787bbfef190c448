"""A line of progress on a terminal, and now and then a plain line elsewhere, so that logs show life.

Our own rather than tqdm: it is one line for all stages of a run, and one package less to install.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

WIDTH = 24

LINE = 79
"""Columns that a line is filled up to, so that a shorter one leaves nothing of the one before."""

MB = 10**6

UNITS = {
    "text": "prompts",
    "video": "frames",
    "audio": "frames",
    "sample": "steps",
    "decode": "frames",
    "batch": "sounds",
}
"""Stage -> what it counts."""

BYTES = ("load", "check", "verify", "compare", "hash", "convert")
"""Stages that count bytes, shown in MB."""

PAUSE = 10.0
"""Seconds between two plain lines of a stage, at least."""

LONG_PAUSE = 60.0
"""Seconds after which a plain line comes even if little has happened since the last one."""

SHARE = 0.1
"""The share of a stage that is worth a plain line before that."""

SHORT = 1.0
"""Seconds of a stage that is not worth a plain line at its end."""


class Bar:
    """`bar(stage, done, total)` shows the share done, the time so far, the rate and the time left; a `Progress`.

    A stage's clock starts at its first call, which should say 0. Rate and time left count from there, and so are known
    from the second call on.
    """

    def __init__(self, units: Mapping[str, str] = UNITS) -> None:
        """units: stage -> what it counts."""
        self.units = units
        self.stage, self.done, self.total = "", 0, 0
        self.detail = ""
        self.since = self.last_shown = time.monotonic()
        self.first = self.last_done = 0
        self.live = sys.stderr.isatty()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.live and self.stage:
            sys.stderr.write("\n")

    def __call__(self, stage: str, done: int, total: int) -> None:
        begins = stage != self.stage or done < self.done or total != self.total
        if begins:
            if self.live and self.stage:
                sys.stderr.write("\n")
            self.since, self.first = time.monotonic(), done
        self.stage, self.done, self.total, self.detail = stage, done, total, ""
        self._show(begins)

    def inner(self, stage: str, done: int, total: int) -> None:
        """The progress of what one unit of the current stage consists of, at the end of its line; a `Progress`."""
        self.detail = f"{stage} {self._counted(stage, done, total)}"
        self._show(False)

    def _show(self, begins: bool) -> None:
        now = time.monotonic()
        seconds = now - self.since
        if self.live:
            filled = WIDTH * self.done // max(self.total, 1)
            line = f"{self.stage:>8} [{'#' * filled}{' ' * (WIDTH - filled)}] {self._numbers(seconds)}"
            sys.stderr.write(f"\r{line[:LINE]:<{LINE}}")
            sys.stderr.flush()
        elif begins or self._is_due(now):
            print(f"{self.stage}: {self._numbers(seconds)}", file=sys.stderr, flush=True)
            self.last_shown, self.last_done = now, self.done

    def _is_due(self, now: float) -> bool:
        """Whether a plain line is worth printing."""
        if self.done == self.total and self.last_done != self.total:
            return now - self.since >= SHORT
        waited = now - self.last_shown
        moved = self.done - self.last_done >= SHARE * self.total
        return waited >= (PAUSE if moved else LONG_PAUSE)

    def _numbers(self, seconds: float) -> str:
        """'3/4 steps 1:05 0.0462/s, 0:21 left'."""
        parts = [self._counted(self.stage, self.done, self.total), clock(seconds)]
        advanced = self.done - self.first
        if advanced and seconds:
            parts.append(pace(self.stage, advanced / seconds) + ("," if self.done < self.total else ""))
            if self.done < self.total:
                parts.append(f"{clock((self.total - self.done) * seconds / advanced)} left")
        if self.detail:
            parts.append(f"({self.detail})")
        return " ".join(parts)

    def _counted(self, stage: str, done: int, total: int) -> str:
        """'3/4 steps', or '120/1,300 MB' for bytes."""
        if stage not in BYTES:
            return f"{done}/{total} {self.units.get(stage, '')}".rstrip()
        if total < MB:
            return f"{done / 1e3:,.0f}/{total / 1e3:,.0f} kB"
        return f"{done // MB:,}/{total // MB:,} MB"


def pace(stage: str, rate: float) -> str:
    """'0.25/s', or '80 MB/s' for bytes."""
    unit = " MB/s" if stage in BYTES else "/s"
    rate = rate / MB if stage in BYTES else rate
    return f"{rate:,.0f}{unit}" if rate >= 100 else f"{rate:.3g}{unit}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds, hours only where there are some."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
