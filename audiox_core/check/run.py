"""The whole check, in order. What needs torch is imported only once torch is known to load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import AudioXError
from ..release.files import default_folder
from .comfyui import Surroundings, check_surroundings
from .facts import gather
from .privacy import Names
from .result import Report, Result, Section, State, problem, skipped
from .versions import can_run, check_versions

BREAKS = (AudioXError, RuntimeError, OSError)
"""What ends a section early: a sentence of ours, torch's errors (also for no memory), files."""


@dataclass(frozen=True)
class Options:
    """What is checked. model: file or folder, None for the demo. device: None for the default one.

    models: the models' folder; comfyui: ComfyUI's, where the pack is not in its custom_nodes. verify: read every byte
    of the model.
    """

    model: Path | None = None
    device: str | None = None
    models: Path | None = None
    comfyui: Path | None = None
    verify: bool = False


def check(options: Options) -> Iterator[tuple[str, Result]]:
    """(title of the section, result) as soon as each is known, without the user's folders."""
    around = Surroundings.find(options.comfyui)
    models = options.models or default_folder()
    names = _names(options, around, models)
    for title, result in _found(options, around, models):
        yield title, names.clean(result)


def collected(results: Iterator[tuple[str, Result]]) -> Report:
    """The report of all results."""
    sections: dict[str, list[Result]] = {}
    for title, result in results:
        sections.setdefault(title, []).append(result)
    return Report(tuple(Section(title, tuple(found)) for title, found in sections.items()))


def _names(options: Options, around: Surroundings, models: Path) -> Names:
    folders = {"AudioX-Native": around.pack, "models/audiox": models.absolute()}
    if around.comfyui is not None:
        folders["ComfyUI"] = around.comfyui
    if options.model is not None:
        folders["…"] = options.model.absolute().parent
    return Names.of(folders)


def _found(options: Options, around: Surroundings, models: Path) -> Iterator[tuple[str, Result]]:
    facts = gather()
    for result in (*check_surroundings(around), *check_versions(facts)):
        yield "Installation", result
    if not can_run(facts):
        yield "The rest", skipped("model", "nothing can be run before the problems above are mended")
        return
    from ..memory.devices import default_device
    from .files import check_files, model_files
    from .machine import check_machine, usable

    device = options.device or default_device()
    downloaded = options.model is not None or bool(model_files(models))
    yield from _section("Machine", check_machine(device, models, downloaded=downloaded))
    broken = False
    for title, result in _section("Model files", check_files(options.model, models, verify=options.verify)):
        broken = broken or (result.name == "model" and result.state is State.STOP)
        yield title, result
    if usable(device):
        yield from _on_device(options, device, broken)
    else:
        yield "The rest", skipped("modules", f"nothing can be run on {device}")


def _on_device(options: Options, device: str, broken: bool) -> Iterator[tuple[str, Result]]:
    from .parity import check_parity
    from .sound import check_sound
    from .timing import check_memory, check_times
    from .trial import Trial

    yield from _section(f"Modules of the demo on {device}", check_parity(device))
    if broken:
        yield "A short run", skipped("run", "the model cannot be opened")
        return
    try:
        trial = Trial(options.model, device)
    except BREAKS as error:
        yield "A short run", problem("run", _sentence(error))
        return
    yield from _section("A short run", check_sound(trial))
    if trial.clock.seconds:
        yield from _section("Time", check_times(trial))
        yield from _section("Memory", check_memory(trial.plan, trial.clock.watch))


def _section(title: str, results: Iterator[Result]) -> Iterator[tuple[str, Result]]:
    """The results under a title; one that fails ends the section, not the check."""
    try:
        for result in results:
            yield title, result
    except BREAKS as error:
        advice = "Please report it with this check's JSON." if not isinstance(error, AudioXError) else ""
        yield title, problem(title, _sentence(error), advice)


def _sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
