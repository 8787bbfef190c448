"""A result for people: one line, and what to do below it."""

from __future__ import annotations

from .result import Result, State

MARKS = {
    State.OK: "ok",
    State.WARNING: "warning",
    State.PROBLEM: "PROBLEM",
    State.STOP: "PROBLEM",
    State.SKIPPED: "skipped",
}

_INDENT = " " * 11


def result_text(result: Result) -> str:
    """A result as one line, or two with advice."""
    line = f"  {MARKS[result.state]:8} {result.name}: {result.text}"
    return f"{line}\n{_INDENT}-> {result.advice}" if result.advice else line
