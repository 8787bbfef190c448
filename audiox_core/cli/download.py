"""`audiox download`: fetch and check the released weights of a model, and convert them if you like."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..errors import AudioXError
from ..release.files import KNOWN_CONTENT, RELEASES, Release, WeightFile, default_folder, gigabytes
from .progress import MB, Bar

if TYPE_CHECKING:
    from ..release.download import Progress, Remote

Result = TypeVar("Result")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `download`."""
    parser.add_argument("model", choices=tuple(RELEASES), help="which model")
    parser.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="folder in which the model gets its own folder (default: models/audiox of the ComfyUI that this pack is "
        "installed in, else ./models/audiox)",
    )
    parser.add_argument("--revision", help="branch, tag or commit in place of the pinned one, e.g. main")
    parser.add_argument("--convert", action="store_true", help="then write one bf16 .safetensors with everything in it")
    parser.add_argument(
        "--remove-original", action="store_true", help="then delete the released model file (with --convert)"
    )


def run(options: argparse.Namespace) -> int:
    """Download, and print what is where; 1 if something is missing. Raises AudioXError for what cannot work."""
    if options.remove_original and not options.convert:
        raise AudioXError("Add --convert to --remove-original: without it no model would be left.")
    release = RELEASES[options.model]
    folder = (options.to or default_folder()) / release.folder
    converted = folder.parent / f"{release.title.lower()}-bf16.safetensors"
    if options.convert and converted.exists():
        raise AudioXError(f"{converted} exists already; use it, move it away, or leave out --convert.")
    print(f"{release.title}: about {gigabytes(release.size)} into {folder}. Licence: {release.licence}.", flush=True)
    missing = _fetch(release, folder, options)
    if not options.convert:
        print(f"Load AudioX lists it as {release.checkpoint}.")
        return _missing(missing)
    _convert(release, folder, converted)
    if options.remove_original:
        (folder / release.model.path).unlink()
        print(f"{folder / release.model.path}: deleted")
    print(f"Load AudioX lists it as {converted.name}.")
    return _missing(missing)


def _missing(files: list[WeightFile]) -> int:
    """Say what the hub has not, and what works without it; the exit code."""
    if not files:
        return 0
    names = ", ".join(f"{file.source} of {file.repository.name} (for {file.purpose})" for file in files)
    print(f"audiox download: everything else is there, but the hub has no {names}.", file=sys.stderr)
    return 1


def _fetch(release: Release, folder: Path, options: argparse.Namespace) -> list[WeightFile]:
    """Fetch what the hub has or this machine has already; returns what is nowhere."""
    from ..release import download as hub  # here, because importing huggingface_hub takes a moment
    from ..release.reuse import find_copy, take_copy

    if hub.is_offline():
        recorded = {remote.file: remote for remote in hub.recorded(folder, release.files)}
        unrecorded = [
            file.path
            for file in release.files
            if file not in recorded or not _with_bar(hub.is_there, recorded[file], folder)
        ]
        if unrecorded:
            raise AudioXError(
                f"Unset HF_HUB_OFFLINE to download {', '.join(unrecorded)}, which {folder / hub.RECORD} does not list "
                "as downloaded."
            )
        print(f"{folder}: complete, as {hub.RECORD} says")
        return []
    revisions = {release.model.repository: options.revision} if options.revision else {}
    remotes, missing = hub.resolve(release.files, revisions)
    if release.model in missing:
        where = f"{release.model.repository.name} at revision {options.revision or release.model.repository.revision}"
        raise AudioXError(f"Give another --revision, such as main: {where} has no {release.model.source}.")
    for name, revision in dict.fromkeys((remote.file.repository.name, remote.revision) for remote in remotes):
        print(f"{name} at {revision}", flush=True)
    absent = [remote for remote in remotes if not _with_bar(hub.is_there, remote, folder)]
    hub.check_disk(absent, folder, extra=sum(remote.size for remote in remotes) * 6 // 10 if options.convert else 0)
    folder.mkdir(parents=True, exist_ok=True)
    for remote in remotes:
        state = "was there"
        if remote in absent:
            copy = _with_bar(find_copy, remote, folder)
            if copy is not None:
                take_copy(copy, folder / remote.file.path)
            else:
                _with_bar(hub.fetch, remote, folder)
            state = f"taken from {copy}" if copy else "fetched"
        hub.write_record(folder, [remote])
        print(f"{remote.file.path}: {state}, {gigabytes(remote.size)}, {remote.checksum}", flush=True)
    return [file for file in missing if not _taken_from_elsewhere(file, folder)]


def _taken_from_elsewhere(file: WeightFile, folder: Path) -> bool:
    """Take a file that the hub lacks from another pack's folder, if its content is known and it is there."""
    from ..release.download import Remote
    from ..release.reuse import find_copy, take_copy

    path = folder / file.path
    known = KNOWN_CONTENT.get(path.name)
    if path.exists() or known is None:
        return path.exists()
    copy = _with_bar(find_copy, Remote(file, "", *known), folder)
    if copy is None:
        return False
    take_copy(copy, path)
    print(f"{file.path}: taken from {copy}, {gigabytes(known[0])}, {known[1]}", flush=True)
    return True


def _with_bar(step: Callable[[Remote, Path, Progress], Result], remote: Remote, folder: Path) -> Result:
    """Do something to a file, with a progress bar unless it is small."""
    with Bar() as bar:

        def progress(stage: str, done: int, total: int) -> None:
            if total >= MB:
                bar(stage, done, total)

        return step(remote, folder, progress)


def _convert(release: Release, folder: Path, converted: Path) -> None:
    """Write the converted file and open it again, so that no model is deleted for a file that does not load."""
    import torch

    from ..checkpoint import open_checkpoint
    from ..checkpoint.convert import convert

    with Bar() as bar:
        original = convert(
            folder / release.model.path,
            converted,
            dtype=torch.bfloat16,
            vae_dtype=torch.float32,
            variant=release.variant,
            progress=bar,
        )
    copy = open_checkpoint(converted)
    if copy.variant != release.variant or not set(original.parts) <= set(copy.parts):
        raise AudioXError(f"{converted} lacks something that {folder} holds; the released files are left as they are.")
    print(f"{converted}: {release.title}, {', '.join(copy.parts)}, {gigabytes(converted.stat().st_size)}")
