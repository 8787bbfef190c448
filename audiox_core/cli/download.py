"""`audiox download`: fetch and check the released weights of a model, and convert them if you like."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..errors import AudioXError
from ..release.files import RELEASES, Release, default_folder, gigabytes
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


def run(options: argparse.Namespace) -> None:
    """Download, and print what is where. Raises AudioXError for what cannot work."""
    if options.remove_original and not options.convert:
        raise AudioXError("Add --convert to --remove-original: without it no model would be left.")
    release = RELEASES[options.model]
    folder = (options.to or default_folder()) / release.folder
    converted = folder.parent / f"{release.title.lower()}-bf16.safetensors"
    if options.convert and converted.exists():
        raise AudioXError(f"{converted} exists already; use it, move it away, or leave out --convert.")
    print(f"{release.title}: about {gigabytes(release.size)} into {folder}. Licence: {release.licence}.", flush=True)
    _fetch(release, folder, options)
    if not options.convert:
        print(f"Load AudioX lists it as {release.checkpoint}.")
        return
    _convert(release, folder, converted)
    if options.remove_original:
        (folder / release.model.path).unlink()
        print(f"{folder / release.model.path}: deleted")
    print(f"Load AudioX lists it as {converted.name}.")


def _fetch(release: Release, folder: Path, options: argparse.Namespace) -> None:
    from ..release import download as hub  # here, because importing huggingface_hub takes a moment

    if hub.is_offline():
        recorded = {remote.file: remote for remote in hub.recorded(folder, release.files)}
        missing = [
            file.path
            for file in release.files
            if file not in recorded or not _with_bar(hub.is_there, recorded[file], folder)
        ]
        if missing:
            raise AudioXError(
                f"Unset HF_HUB_OFFLINE to download {', '.join(missing)}, which {folder / hub.RECORD} does not list as "
                "downloaded."
            )
        print(f"{folder}: complete, as {hub.RECORD} says")
        return
    revisions = {release.model.repository: options.revision} if options.revision else {}
    remotes = hub.resolve(release.files, revisions)
    for name, revision in dict.fromkeys((remote.file.repository.name, remote.revision) for remote in remotes):
        print(f"{name} at {revision}", flush=True)
    absent = [remote for remote in remotes if not _with_bar(hub.is_there, remote, folder)]
    hub.check_disk(absent, folder, extra=sum(remote.size for remote in remotes) * 6 // 10 if options.convert else 0)
    folder.mkdir(parents=True, exist_ok=True)
    for remote in remotes:
        if remote in absent:
            _with_bar(hub.fetch, remote, folder)
        hub.write_record(folder, [remote])
        state = "fetched" if remote in absent else "was there"
        print(f"{remote.file.path}: {state}, {gigabytes(remote.size)}, {remote.checksum}", flush=True)


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
