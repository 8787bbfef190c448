"""What a model generates in four steps: a sound's fingerprint, and whether the demo answers its prompts."""

from __future__ import annotations

from collections.abc import Iterator

from .answers import QUESTIONS
from .fingerprint import Fingerprint, is_sound
from .golden import read_expected
from .result import Result, ok, problem, warning
from .timing import name_of
from .trial import PROMPT, SEED, STEPS, Trial

MISSED = 1
"""The demo may answer this many prompts less than where its numbers were computed: rounding moves sounds."""


def check_sound(trial: Trial) -> Iterator[Result]:
    """The sound of the run; for the demo, beside what it should be, and its answers."""
    where = f"{STEPS} steps, seed {SEED}, {name_of(trial.dtypes.network)} on {trial.device}"
    prompt = f'"{PROMPT}"' if trial.has_text else "no text"
    if not is_sound(trial.sound):
        advice = "Use --device cpu to see whether it is the device, and report it with this check's JSON."
        yield problem("run", f"{prompt}, {where}: no sound came out, or numbers that are not finite", advice)
        return
    yield ok("run", f"{prompt}, {where}", steps=STEPS, seed=SEED, prompt=PROMPT if trial.has_text else "")
    found = Fingerprint.of(trial.sound)
    if trial.is_demo:
        yield _compared(found)
        yield _answered(trial.wrong_answers())
    else:
        yield ok("fingerprint", found.words, **found.values)


def _compared(found: Fingerprint) -> Result:
    expected = read_expected()["fingerprint"]
    if found.resembles(expected):
        return ok("fingerprint", f"{found.words}: as expected", **found.values)
    text = f"{found.words}; expected {expected['loudness']} LUFS and a centroid of {expected['centroid']:.0f} Hz"
    return warning("fingerprint", text, "Please report it with this check's JSON.", **found.values)


def _answered(wrong: list[str]) -> Result:
    right, expected = len(QUESTIONS) - len(wrong), int(read_expected()["right"])
    text = f"{right} of {len(QUESTIONS)} prompts answered right"
    values = {"right": right, "expected": expected, "wrong": wrong}
    if right >= expected - MISSED:
        return ok("prompts", text + (f", not: {', '.join(wrong)}" if wrong else ""), **values)
    advice = "The demo is smaller than life, but not this bad: please report it with this check's JSON."
    return problem("prompts", f"{text}, {expected} expected; wrong: {', '.join(wrong)}", advice, **values)
