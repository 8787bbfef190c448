"""The model's files: what they hold, whether it is what was released, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..checkpoint import Checkpoint, open_checkpoint
from ..checkpoint.checkpoint import HOW_TO_ADD
from ..checkpoint.layout import is_companion
from ..checkpoint.reader import SUFFIXES, TensorFile
from ..demo import FOLDER as DEMO_FOLDER
from ..demo import demo_path
from ..errors import AudioXError
from ..models.encoders import ClipSizes, T5Sizes
from ..models.network import RELEASED_SIZES
from ..models.synchformer import SynchformerSizes
from ..models.vae import VAESizes
from ..release.components import CLIP_VISION, COMPONENT_TITLES, NETWORK, SYNCHFORMER, T5, TOKENIZER, VAE
from ..release.files import gigabytes
from ..release.variants import VARIANTS
from ..wording import first_few
from .checksums import check_sizes, check_values
from .result import Result, ok, problem, stop, warning

RELEASED_PARTS = {VAE: VAESizes(), CLIP_VISION: ClipSizes(), SYNCHFORMER: SynchformerSizes(), T5: T5Sizes()}
"""Component -> its sizes in the released models; the network's depend on the model."""

DEPTH = 4
"""Levels of folders below the models' folder that are looked at; a link may lead in a circle."""

GET_AGAIN = "Get the file again, for example with `audiox download`."


def check_files(model: Path | None, models: Path, *, verify: bool) -> Iterator[Result]:
    """The chosen model in detail, then a line for each model in the models' folder.

    model: file or folder, None for the demo. verify: read every byte.
    """
    chosen = demo_path() if model is None else model
    try:
        checkpoint = open_checkpoint(chosen)
    except AudioXError as error:
        yield stop("model", str(error), GET_AGAIN, file=chosen.name)
    else:
        yield from check_model(checkpoint, is_demo=model is None, verify=verify)
    for file in model_files(models):
        yield describe_file(file, models)


def check_model(checkpoint: Checkpoint, *, is_demo: bool, verify: bool) -> Iterator[Result]:
    """What a checkpoint is, each of its components, what it lacks, and its files' sizes or contents."""
    title = f"{VARIANTS[checkpoint.variant].title}{', the demo' if is_demo else ''}"
    text = f"{title} ({checkpoint.layout.model.name}, known by its {checkpoint.variant_source})"
    yield ok("model", text, variant=checkpoint.variant, source=checkpoint.variant_source)
    for part in checkpoint.sizes:
        yield _component(checkpoint, part, is_demo)
    yield from missing_parts(checkpoint)
    yield from check_sizes(checkpoint, verify=verify)
    if verify:
        yield from check_values(checkpoint)


def _component(checkpoint: Checkpoint, part: str, is_demo: bool) -> Result:
    title, sizes = COMPONENT_TITLES[part], checkpoint.sizes[part]
    described = checkpoint.describe()["parts"][part]
    types = ", ".join(f"{count} {name}" for name, count in described["dtypes"].items())
    text = (
        f"{described['tensors']} tensors ({types}), {described['numbers']:,} numbers, {gigabytes(described['bytes'])}"
    )
    values = {"tensors": described["tensors"], "numbers": described["numbers"], "types": described["dtypes"]}
    released = RELEASED_SIZES[VARIANTS[checkpoint.variant].architecture] if part == NETWORK else RELEASED_PARTS[part]
    if sizes == released:
        return ok(title, f"{text}, shapes as released", released=True, **values)
    values |= {"sizes": repr(sizes)}
    if is_demo:
        return ok(title, text, released=False, **values)
    return warning(title, f"{text}; its sizes are not the released ones", f"Found: {sizes}", released=False, **values)


def missing_parts(checkpoint: Checkpoint) -> Iterator[Result]:
    """A result for each component that this model needs and that is not there."""
    needed = (VAE, *checkpoint.video_encoders(), T5, TOKENIZER)
    without = {VAE: "no sound", CLIP_VISION: "no videos", SYNCHFORMER: "no videos"}
    for part in needed:
        if part not in checkpoint.parts:
            lost = without.get(part, "no text prompts from this checkpoint")
            advice = f"{HOW_TO_ADD[part][0].upper()}{HOW_TO_ADD[part][1:]}."
            yield problem(COMPONENT_TITLES[part], f"is missing: {lost}", advice, missing=True)


def model_files(models: Path) -> list[Path]:
    """Files below the models' folder that may be models; the demo's are left out."""
    found = [path for path in _files_below(models, DEPTH) if path.suffix.lower() in SUFFIXES]
    return sorted(path for path in found if not is_companion(path.relative_to(models)) and path.parent != DEMO_FOLDER)


def _files_below(folder: Path, depth: int) -> Iterator[Path]:
    """Files in a folder and so many levels of folders below it, through links too."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_file():
            yield path
        elif depth:
            yield from _files_below(path, depth - 1)


def describe_file(path: Path, models: Path) -> Result:
    """One line about a file in the models' folder."""
    name, size = path.relative_to(models).as_posix(), gigabytes(path.stat().st_size)
    try:
        TensorFile(path)
    except AudioXError as error:
        return problem(name, f"{size}, cannot be read: {error}", GET_AGAIN)
    try:
        checkpoint = open_checkpoint(path)
    except AudioXError as error:
        return warning(name, f"{size}, not usable as a model: {error}")
    text = f"{VARIANTS[checkpoint.variant].title}, {size}"
    missing = list(missing_parts(checkpoint))
    if missing:
        names = first_few([result.name for result in missing], len(missing))
        return problem(name, f"{text}, without {names}", missing[0].advice, variant=checkpoint.variant)
    return ok(name, f"{text}, complete", variant=checkpoint.variant)
