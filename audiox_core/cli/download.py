"""`python -m audiox_core download`: fetch the released weights of a model, checked, and convert them if you like."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import AudioXError
from ..release.files import RELEASES, Release, default_folder, gigabytes
from .progress import Bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `download`."""
    parser.add_argument("model", choices=tuple(RELEASES), help="which model")
    parser.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="folder that the model's own folder is put into (default: models/audiox of the ComfyUI that the pack "
        "lies in, else ./models/audiox)",
    )
    parser.add_argument("--revision", help="branch, tag or commit in place of the one that is pinned here; e.g. main")
    parser.add_argument("--convert", action="store_true", help="then make one bf16 .safetensors with everything in it")
    parser.add_argument(
        "--remove-original", action="store_true", help="then delete the released model file (with --convert)"
    )


def run(options: argparse.Namespace) -> None:
    """Fetch, and say what lies where. Raises AudioXError for what cannot work."""
    if options.remove_original and not options.convert:
        raise AudioXError("--remove-original needs --convert: without it there would be no model left.")
    release = RELEASES[options.model]
    folder = (options.to or default_folder()) / release.folder
    converted = folder.parent / f"{release.title.lower()}-bf16.safetensors"
    if options.convert and converted.exists():
        raise AudioXError(f"{converted} is there already; use it, move it away, or leave --convert out.")
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
    from ..release import download as hub  # with huggingface_hub, whose import takes a moment

    if hub.is_offline():
        known = {remote.file: remote for remote in hub.recorded(folder, release.files)}
        lacking = [
            file.path for file in release.files if file not in known or not _showing(hub.is_there, known[file], folder)
        ]
        if lacking:
            raise AudioXError(
                f"HF_HUB_OFFLINE is set, and {folder} has no record of having {', '.join(lacking)}; unset it to fetch."
            )
        print(f"{folder}: complete, as {hub.RECORD} says")
        return
    revisions = {release.model.repository: options.revision} if options.revision else {}
    remotes = hub.resolve(release.files, revisions)
    for name, revision in dict.fromkeys((remote.file.repository.name, remote.revision) for remote in remotes):
        print(f"{name} at {revision}", flush=True)
    wanted = [remote for remote in remotes if not _showing(hub.is_there, remote, folder)]
    hub.check_room(wanted, folder, extra=sum(remote.size for remote in remotes) * 6 // 10 if options.convert else 0)
    folder.mkdir(parents=True, exist_ok=True)
    for remote in remotes:
        if remote in wanted:
            _showing(hub.fetch, remote, folder)
        hub.write_record(folder, [remote])
        state = "fetched" if remote in wanted else "was there"
        print(f"{remote.file.path}: {state}, {gigabytes(remote.size)}, {remote.checksum}", flush=True)


def _showing(work, *arguments):
    """Do some work that tells its progress, which is worth a bar of its own for large files."""
    with Bar() as bar:
        return work(*arguments, lambda stage, done, total: total >> 20 and bar(stage, done >> 20, total >> 20))


def _convert(release: Release, folder: Path, converted: Path) -> None:
    """Write the converted file and open it again, so that nobody deletes a model for a file that does not load."""
    import torch

    from ..checkpoint import open_checkpoint
    from ..checkpoint.convert import convert

    with Bar() as bar:
        opened = convert(
            folder / release.model.path,
            converted,
            dtype=torch.bfloat16,
            vae_dtype=torch.float32,
            variant=release.variant,
            progress=lambda done, total: bar("convert", done >> 20, total >> 20),
        )
    made = open_checkpoint(converted)
    if made.variant != release.variant or not set(opened.parts) <= set(made.parts):
        raise AudioXError(f"{converted} does not hold what {folder} holds; the released files are left as they are.")
    print(f"{converted}: {release.title}, {', '.join(made.parts)}, {gigabytes(converted.stat().st_size)}")
