"""The report for issues and programs: plain values under a schema with a version."""

from __future__ import annotations

import json
from typing import Any

from .result import Report, Result

SCHEMA = "audiox-check/1"
"""Its number grows when a key changes its meaning or goes; new keys do not count."""


def report_values(report: Report) -> dict[str, Any]:
    """The report as plain values."""
    return {
        "schema": SCHEMA,
        "verdict": report.verdict,
        "exit_code": report.exit_code,
        "sections": [
            {"title": section.title, "results": [_result(result) for result in section.results]}
            for section in report.sections
        ],
    }


def report_json(report: Report) -> str:
    """The report as JSON that any reader takes: no NaN, no infinity."""
    return json.dumps(_finite(report_values(report)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _result(result: Result) -> dict[str, Any]:
    values = {"name": result.name, "state": result.state.value, "text": result.text}
    if result.advice:
        values["advice"] = result.advice
    return values | ({"values": dict(result.values)} if result.values else {})


def _finite(value: Any) -> Any:
    """The same with words in place of numbers that JSON has no form for, and short floats."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if abs(value) < float("inf") else str(value)
    return value
