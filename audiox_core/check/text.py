"""The report for people: one line for each result, what to do below it."""

from __future__ import annotations

from .result import Report, Result, State

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


def report_text(report: Report) -> str:
    """The whole report, as `audiox check` prints it."""
    lines: list[str] = []
    for section in report.sections:
        lines += [section.title, *map(result_text, section.results), ""]
    return "\n".join([*lines, report.verdict])
