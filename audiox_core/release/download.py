"""Fetch released weights from a Hugging Face hub: resumed, checked, and under their own name only when whole.

huggingface_hub resolves, signs in and transfers (so HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and proxies count); its own
download does not go on in a second run, therefore the unfinished file is kept here.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers

from ..errors import AudioXError
from ..media.files import written_whole
from .files import Repository, WeightFile, gigabytes

RECORD = "download.json"
"""Beside the files: from where each came, and its checksum."""

PATIENCE = 3
"""How often in a row a connection may break without going on from where it was."""

NETWORK_ERRORS = (OSError, *HfHubHTTPError.__bases__)
"""A broken connection; which HTTP library's it is depends on the version of huggingface_hub."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, bytes done and bytes in all."""


@dataclass(frozen=True)
class Remote:
    """A file as the hub has it. checksum: "sha256:..." or, of small files without one, "git:..." for git's blob id."""

    file: WeightFile
    revision: str
    size: int
    checksum: str

    @property
    def digest(self) -> str:
        """The checksum without its kind."""
        return self.checksum.split(":")[1]


def is_offline() -> bool:
    """Does HF_HUB_OFFLINE forbid to ask the hub?"""
    return constants.HF_HUB_OFFLINE


def resolve(files: Iterable[WeightFile], revisions: dict[Repository, str]) -> list[Remote]:
    """Ask each repository once for its files at a revision: the pinned one, or that in `revisions`.

    Raises:
        AudioXError: the hub cannot be reached, refuses, has not got the files, or has others than those known here.
    """
    remotes, listings = [], {}
    for file in files:
        repository = file.repository
        if repository not in listings:
            listings[repository] = _listing(repository, revisions.get(repository, repository.revision))
        remote = _remote(file, *listings[repository])
        if file.sha256 and repository not in revisions:
            remote = _known(file, remote)
        remotes.append(remote)
    return remotes


def _listing(repository: Repository, revision: str):
    """(commit, name -> what the hub says of the file)."""
    try:
        info = HfApi().model_info(repository.name, revision=revision, files_metadata=True)
    except HfHubHTTPError as error:
        raise _refused(error, f"{repository.name} at revision {revision}") from error
    except (*NETWORK_ERRORS, ValueError) as error:
        raise _broken(error) from error
    return info.sha, {listed.rfilename: listed for listed in info.siblings or ()}


def _remote(file: WeightFile, commit: str, listed: dict) -> Remote:
    entry = listed.get(file.source)
    where = f"{file.repository.name} at revision {commit}"
    if entry is None:
        raise AudioXError(f"{where} has no {file.source}; give another --revision, such as main.")
    checksum = f"sha256:{entry.lfs.sha256}" if entry.lfs else f"git:{entry.blob_id}"
    size = entry.lfs.size if entry.lfs else entry.size
    if size is None or checksum == "git:None":
        raise AudioXError(f"{constants.ENDPOINT} does not tell size and checksum of {file.source} in {where}.")
    return Remote(file, commit, size, checksum)


def _known(file: WeightFile, remote: Remote) -> Remote:
    """The same with the checksum that is known here, which a mirror cannot change."""
    known = f"sha256:{file.sha256}"
    if remote.size != file.size or (remote.checksum.startswith("sha256:") and remote.checksum != known):
        raise AudioXError(
            f"{constants.ENDPOINT} has another {file.source} in {file.repository.name} at revision "
            f"{file.repository.revision} ({remote.size} bytes, {remote.checksum}) than the one that is known "
            f"({file.size} bytes, {known}); use another HF_ENDPOINT."
        )
    return replace(remote, checksum=known)


def is_there(remote: Remote, folder: Path, progress: Progress) -> bool:
    """Is a file in the folder, whole and right?

    Raises:
        AudioXError: another file is in its place.
    """
    path = folder / remote.file.path
    if not path.exists():
        return False
    if path.stat().st_size != remote.size or checksum(path, remote.checksum, progress) != remote.checksum:
        raise AudioXError(
            f"{path} is there but is not the released file ({path.stat().st_size} bytes, expected {remote.size} with "
            f"{remote.checksum}): it is unfinished, damaged or of another revision. Move it away and run this again."
        )
    return True


def check_room(remotes: Iterable[Remote], folder: Path, extra: int = 0) -> None:
    """Refuse to begin what the disk has no room for; extra: bytes that will be needed besides."""
    wanted = extra + sum(remote.size - _length(_part(remote, folder)) for remote in remotes)
    existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if wanted > free:
        raise AudioXError(f"{folder} needs {gigabytes(wanted)}, but {gigabytes(free)} are free there; see --to.")


def fetch(remote: Remote, folder: Path, progress: Progress) -> Path:
    """Fetch one file, going on where an earlier run stopped, and put it into its place when its checksum is right.

    Raises:
        AudioXError: the connection broke for good (what came is kept), the hub refused, or what came is not the file.
    """
    path, part = folder / remote.file.path, _part(remote, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    stalled = 0
    while (have := _length(part)) != remote.size:
        if have > remote.size:  # a hub that answers a request for the rest with everything
            part.unlink()
            have = 0
            stalled += 1
        try:
            _transfer(remote, part, have)
        except HfHubHTTPError as error:
            raise _refused(error, f"{remote.file.source} of {remote.file.repository.name}") from error
        except NETWORK_ERRORS as error:
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise
            stalled = 0 if 0 < have < _length(part) <= remote.size else stalled + 1
            if stalled >= PATIENCE:
                raise _broken(error) from error
            time.sleep(1)
    found = checksum(part, remote.checksum, progress)
    if found != remote.checksum:
        part.unlink()
        raise AudioXError(
            f"{remote.file.source} did not arrive as {remote.file.repository.name} has it ({found}, expected "
            f"{remote.checksum}); what came was thrown away, run this again."
        )
    os.replace(part, path)
    return path


def _transfer(remote: Remote, part: Path, have: int) -> None:
    repository = remote.file.repository
    with part.open("ab") as file:
        http_get(
            hf_hub_url(repository.name, remote.file.source, revision=remote.revision),
            file,
            resume_size=have,
            headers=build_hf_headers(),
            expected_size=remote.size,
            displayed_filename=remote.file.path,
        )


def _part(remote: Remote, folder: Path) -> Path:
    """The unfinished file, named after its content so that two revisions do not mix; no model file by its name."""
    path = folder / remote.file.path
    return path.with_name(f"{path.name}.{remote.digest[:12]}.part")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def checksum(path: Path, like: str, progress: Progress) -> str:
    """Checksum of a file, of the kind that another one is of."""
    kind, total = like.split(":")[0], path.stat().st_size
    digest = hashlib.sha256()
    if kind == "git":
        digest = hashlib.sha1(f"blob {total}\0".encode(), usedforsecurity=False)
    done = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 24):
            digest.update(piece)
            done += len(piece)
            progress("check", done, total)
    return f"{kind}:{digest.hexdigest()}"


def write_record(folder: Path, remotes: Iterable[Remote]) -> None:
    """Add files to the folder's record."""
    files = _read_record(folder)
    for remote in remotes:
        files[remote.file.path] = {
            "repository": remote.file.repository.name,
            "revision": remote.revision,
            "bytes": remote.size,
            "checksum": remote.checksum,
        }
    with written_whole(folder / RECORD) as temporary:
        temporary.write_text(json.dumps({"files": files}, indent=2) + "\n", encoding="utf-8")


def recorded(folder: Path, files: Iterable[WeightFile]) -> list[Remote]:
    """What the folder's record says of files, as far as it knows them."""
    known = _read_record(folder)
    return [
        Remote(file, entry["revision"], entry["bytes"], entry["checksum"])
        for file in files
        if (entry := known.get(file.path)) is not None
    ]


def _read_record(folder: Path) -> dict:
    path = folder / RECORD
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise AudioXError(f"{path} cannot be read; delete it, the files are then checked against the hub.") from error


def _refused(error: HfHubHTTPError, what: str) -> AudioXError:
    status = getattr(error.response, "status_code", None)
    hints = {
        401: "sign in with `hf auth login` or set HF_TOKEN, if it is a repository that asks for it",
        403: "accept the conditions on its page, or use a token (HF_TOKEN) that may read it",
        404: "it is not there: give another --revision, such as main, or another HF_ENDPOINT",
    }
    hint = hints.get(status, "try again later, what has arrived is kept")
    return AudioXError(f"{constants.ENDPOINT} answered {status} for {what}; {hint}.")


def _broken(error: Exception) -> AudioXError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return AudioXError(
        f"{constants.ENDPOINT} cannot be reached or broke off ({reason}); run this again, it goes on where it stopped."
    )
