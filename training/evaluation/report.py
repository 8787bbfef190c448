"""The results of an evaluation as a table for people and as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from audiox_core.media.files import written_whole
from training.world import films
from training.world.scenes import WORDS

LABEL, COLUMN = 44, 11
NOTHING = "-"
NETWORKS = ("base", "turbo", "untrained")

Format = Callable[[float], str]


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def milliseconds(value: float) -> str:
    return f"{value:.0f} ms"


def plain(value: float) -> str:
    return f"{value:.3g}"


def find(results: dict[str, Any], path: str) -> Any:
    """The value at a path like base/by_kind/hum, or None where nothing was measured."""
    value: Any = results
    for name in path.split("/"):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def cells(label: str, values: list[float | None], form: Format) -> str:
    return f"{label:{LABEL}}" + "".join(f"{NOTHING if value is None else form(value):>{COLUMN}}" for value in values)


def rows(results: dict[str, Any], lines: list[tuple[str, str, Format]], names=NETWORKS) -> list[str]:
    """One line for each (label, path within a network's results, format); lines without any value are left out."""
    out = []
    for label, path, form in lines:
        values = [find(results, f"{name}/{path}") for name in names]
        if any(value is not None for value in values):
            out.append(cells(label, values, form))
    return out


def titled(title: str, lines: list[str], heads: tuple[str, ...] = ()) -> Iterator[str]:
    """A block with a title and column heads; nothing where there are no lines."""
    if lines:
        yield ""
        yield f"{title:{LABEL}}" + "".join(f"{head:>{COLUMN}}" for head in heads)
        yield from lines


def table(results: dict[str, Any]) -> str:
    """All results for people; what was not measured is left out."""
    lines = ["Sound check: captions and films that no training has seen, judged by plain signal features."]
    truth = find(results, "truth/prompt_accuracy")
    lines.append(f"The judge on the true sounds of these captions: {percent(truth)}.")
    lines += titled("Prompts", rows(results, prompt_lines()), NETWORKS)
    lines += titled("Films", rows(results, film_lines()), NETWORKS)
    lines += titled("Words without the film", rows(results, text_lines()), NETWORKS[:2])
    lines += titled("Base: guidance", guidance_lines(results), ("accuracy",))
    lines += titled("Base: negative prompt, share of the kind", negative_lines(results), ("without", "with", "another"))
    lines += titled("Autoencoder", rows(results, vae_lines(), ("vae",)))
    lines += titled("Turbo against Base, equal seeds", rows(results, compare_lines(), ("turbo_against_base",)))
    return "\n".join(lines)


def prompt_lines() -> list[tuple[str, str, Format]]:
    return [
        ("all captions right", "prompt_accuracy", percent),
        ("by chance (sounds of other captions)", "chance", percent),
        ("one sound", "single_accuracy", percent),
        ("two sounds in their order", "pair_accuracy", percent),
        ("left and right", "side_accuracy", percent),
        *((f"  {kind}", f"by_kind/{kind}", percent) for kind in WORDS),
    ]


def film_lines() -> list[tuple[str, str, Format]]:
    return [
        ("events answered within 100 ms", "onset_within_100ms", percent),
        ("by chance (other films)", "onset_chance/onset_within_100ms", percent),
        ("onsets that belong to an event", "onset_precision", percent),
        ("by chance", "onset_chance/onset_precision", percent),
        ("median error of an event", "onset_median_error_ms", milliseconds),
        ("by chance", "onset_chance/onset_median_error_ms", milliseconds),
        *((f"  {style}: events answered", f"by_style/{style}/onset_within_100ms", percent) for style in films.STYLES),
        ("right sound for the colour", "what_accuracy", percent),
        *((f"  {kind}", f"what_by_colour/{kind}", percent) for kind in films.COLOURS),
    ]


def text_lines() -> list[tuple[str, str, Format]]:
    return [
        ("events answered within 100 ms", "text_only/onset_within_100ms", percent),
        ("by chance (other films)", "text_only/onset_chance/onset_within_100ms", percent),
        ("median error of an event", "text_only/onset_median_error_ms", milliseconds),
        ("by chance", "text_only/onset_chance/onset_median_error_ms", milliseconds),
    ]


def vae_lines() -> list[tuple[str, str, Format]]:
    return [
        ("multi-resolution STFT distance", "stft_distance", plain),
        ("signal to noise, dB", "snr_db", plain),
        ("captions right after coding", "prompt_accuracy", percent),
    ]


def compare_lines() -> list[tuple[str, str, Format]]:
    return [
        ("cosine of latents", "latent_cosine", plain),
        ("cosine, different prompts", "latent_cosine_of_different_prompts", plain),
        ("relative distance of latents", "latent_relative_distance", plain),
        ("heard as the same", "same_heard", percent),
        ("Frechet distance of mel levels, dB^2", "frechet", plain),
        ("  true sounds and Base", "frechet_truth_base", plain),
        ("  true sounds and Turbo", "frechet_truth_turbo", plain),
        ("  true sounds and untrained", "frechet_truth_untrained", plain),
    ]


def guidance_lines(results: dict[str, Any]) -> list[str]:
    scales = find(results, "base/guidance") or {}
    return [cells(f"cfg {scale}", [accuracy], percent) for scale, accuracy in scales.items()]


def negative_lines(results: dict[str, Any]) -> list[str]:
    kinds = find(results, "base/negative") or {}
    return [
        cells(kind, [shares[name] for name in ("without", "with", "with_another")], percent)
        for kind, shares in kinds.items()
    ]


def write_json(path: str | os.PathLike, results: dict[str, Any]) -> None:
    """Write the results as JSON, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
