"""A finding of the check, and the report of all of them. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class State(Enum):
    """How a finding bears on the user's work."""

    OK = "ok"
    WARNING = "warning"
    """Worth knowing; nothing fails because of it."""
    PROBLEM = "problem"
    """A part of the work fails or is wrong; the rest goes on."""
    STOP = "stop"
    """No sound can be generated until it is mended."""
    SKIPPED = "skipped"


EXIT_CODES = {State.OK: 0, State.SKIPPED: 0, State.WARNING: 0, State.PROBLEM: 1, State.STOP: 2}
"""What the command returns when a state is the worst of a report."""


@dataclass(frozen=True)
class Result:
    """One line of a report.

    name: what was looked at, the same in every report. text: what was found. advice: what to do about it. values: the
    same as plain numbers and words, for programs.
    """

    name: str
    state: State
    text: str
    advice: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """Results that belong together, under a title."""

    title: str
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Report:
    """Everything that a check found."""

    sections: tuple[Section, ...]

    @property
    def results(self) -> tuple[Result, ...]:
        """All results in order."""
        return tuple(result for section in self.sections for result in section.results)

    @property
    def exit_code(self) -> int:
        """0: it works, 1: something of it does not, 2: nothing can be generated."""
        return max((EXIT_CODES[result.state] for result in self.results), default=0)

    @property
    def verdict(self) -> str:
        """One line: does it work, and what to do next."""
        worst = {code: [each for each in self.results if EXIT_CODES[each.state] == code] for code in (2, 1)}
        if worst[2]:
            return f"It cannot run: {_first(worst[2])}"
        if worst[1]:
            return f"It runs, but not all of it: {_first(worst[1])}"
        warnings = [each for each in self.results if each.state is State.WARNING]
        if warnings:
            return f"It works. {len(warnings)} {'thing is' if len(warnings) == 1 else 'things are'} worth a look above."
        return "It works."


def _first(results: Sequence[Result]) -> str:
    """The first finding with its advice, and how many more there are."""
    first = results[0]
    more = f" ({len(results) - 1} more above)" if len(results) > 1 else ""
    advice = f" {first.advice}" if first.advice else ""
    return f"{first.name}: {first.text.rstrip('.')}.{advice}{more}"


def ok(name: str, text: str, **values: Any) -> Result:
    """A result that needs nothing to be done."""
    return Result(name, State.OK, text, values=values)


def warning(name: str, text: str, advice: str = "", **values: Any) -> Result:
    """A result worth knowing."""
    return Result(name, State.WARNING, text, advice, values)


def problem(name: str, text: str, advice: str = "", **values: Any) -> Result:
    """A result for which a part of the work fails."""
    return Result(name, State.PROBLEM, text, advice, values)


def stop(name: str, text: str, advice: str = "", **values: Any) -> Result:
    """A result for which nothing can be generated."""
    return Result(name, State.STOP, text, advice, values)


def skipped(name: str, text: str) -> Result:
    """A result for what was not looked at, and why."""
    return Result(name, State.SKIPPED, text)
