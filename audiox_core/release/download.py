"""Downloads released weights from a Hugging Face hub: resumed, checked, and under their own name only when complete.

huggingface_hub resolves, signs in and transfers (so HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and proxies work). Resuming
is done here because its own download starts over in the next run; so the unfinished file is kept here.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers

from ..errors import AudioXError
from ..media.files import written_whole
from .files import Repository, WeightFile, gigabytes

RECORD = "download.json"
"""A file beside the others: where each came from, and its checksum."""

NEWEST = "main"
"""The revision that is asked for what the pinned one lacks."""

PATIENCE = 3
"""How often in a row a connection may break before any new data arrives."""

NETWORK_ERRORS = cast("tuple[type[Exception], ...]", (OSError, *HfHubHTTPError.__bases__))
"""Errors of a broken connection; the HTTP library behind them depends on the version of huggingface_hub."""

Progress = Callable[[str, int, int], None]
"""progress(stage, bytes done, bytes in all)."""


@dataclass(frozen=True)
class Remote:
    """A file on the hub. checksum: "sha256:..." or, for small files without one, "git:..." with git's blob id."""

    file: WeightFile
    revision: str
    size: int
    checksum: str

    @property
    def digest(self) -> str:
        """The checksum without its kind."""
        return self.checksum.split(":")[1]


def is_offline() -> bool:
    """Does HF_HUB_OFFLINE forbid connecting to the hub?"""
    return constants.HF_HUB_OFFLINE


def resolve(files: Iterable[WeightFile], revisions: dict[Repository, str]) -> tuple[list[Remote], list[WeightFile]]:
    """What the hub has of some files, and those that it lacks.

    Asks each repository for its files at a revision: that in `revisions`, or the pinned one and then, for files which
    that one lacks, the newest.

    Raises:
        AudioXError: the hub cannot be reached, refuses, or has another file than the one pinned here.
    """
    remotes, missing = [], []
    listings: dict[tuple[Repository, str], tuple[str, dict[str, Any]]] = {}
    for file in files:
        repository = file.repository
        tried = [revisions[repository]] if repository in revisions else [repository.revision, NEWEST]
        for revision in tried:
            if (repository, revision) not in listings:
                listings[repository, revision] = _listing(repository, revision)
            commit, listing = listings[repository, revision]
            if file.source in listing:
                remote = _remote(file, commit, listing)
                remotes.append(_pinned(file, remote) if file.sha256 and repository not in revisions else remote)
                break
        else:
            missing.append(file)
    return remotes, missing


def _listing(repository: Repository, revision: str) -> tuple[str, dict[str, Any]]:
    """(commit, name -> the hub's entry for the file)."""
    where = f"{repository.name} at revision {revision}"
    try:
        info = HfApi().model_info(repository.name, revision=revision, files_metadata=True)
        listing = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    except HfHubHTTPError as error:
        raise _refused(error, where) from error
    except NETWORK_ERRORS as error:
        raise _broken(error) from error
    except (TypeError, AttributeError, LookupError, ValueError) as error:
        raise AudioXError(f"Use another HF_ENDPOINT: {constants.ENDPOINT} answered no listing of {where}.") from error
    if not isinstance(info.sha, str) or not re.fullmatch(r"[0-9a-f]{40}", info.sha):
        raise AudioXError(f"Use another HF_ENDPOINT: {constants.ENDPOINT} answered no commit for {where}.")
    return info.sha, listing


def _remote(file: WeightFile, commit: str, listing: dict[str, Any]) -> Remote:
    entry = listing[file.source]
    where = f"{file.repository.name} at revision {commit}"
    checksum = f"sha256:{entry.lfs.sha256}" if entry.lfs else f"git:{entry.blob_id}"
    size = entry.lfs.size if entry.lfs else entry.size
    if type(size) is not int or size <= 0 or not re.fullmatch(r"sha256:[0-9a-f]{64}|git:[0-9a-f]{40}", checksum):
        raise AudioXError(f"{constants.ENDPOINT} does not state the size and checksum of {file.source} in {where}.")
    return Remote(file, commit, size, checksum)


def _pinned(file: WeightFile, remote: Remote) -> Remote:
    """The same with the checksum that is pinned here, which a mirror cannot change."""
    pinned = f"sha256:{file.sha256}"
    if remote.size != file.size or (remote.checksum.startswith("sha256:") and remote.checksum != pinned):
        raise AudioXError(
            f"{constants.ENDPOINT} has another {file.source} in {file.repository.name} at revision "
            f"{file.repository.revision} ({remote.size} bytes, {remote.checksum}) than the released one "
            f"({file.size} bytes, {pinned}); use another HF_ENDPOINT."
        )
    return replace(remote, checksum=pinned)


def is_there(remote: Remote, folder: Path, progress: Progress) -> bool:
    """Is a file in the folder, complete and correct?

    Raises:
        AudioXError: another file has its name.
    """
    path = folder / remote.file.path
    if not path.exists():
        return False
    if path.stat().st_size != remote.size or checksum(path, remote.checksum, progress) != remote.checksum:
        raise AudioXError(
            f"Move {path} away and run this again: it is not the released file ({path.stat().st_size} bytes, expected "
            f"{remote.size} with {remote.checksum}), but unfinished, damaged or of another revision."
        )
    return True


def check_disk(remotes: Iterable[Remote], folder: Path, extra: int = 0) -> None:
    """AudioXError if the disk is too small for the files. extra: bytes that are needed in addition."""
    needed = extra + sum(remote.size - _length(_part(remote, folder)) for remote in remotes)
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise AudioXError(
            f"{folder} needs {gigabytes(needed)}, but only {gigabytes(free)} are free there; choose another folder "
            "with --to."
        )


def fetch(remote: Remote, folder: Path, progress: Progress) -> Path:
    """Fetch one file, resuming where an earlier run stopped, and give it its name once its checksum is right.

    Raises:
        AudioXError: the connection broke for good (what has arrived is kept), the hub refused, or sent another file.
    """
    path, part = folder / remote.file.path, _part(remote, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    stalled = 0
    while (have := _length(part)) != remote.size:
        if have > remote.size:  # the hub answered a request for the rest with the whole file
            part.unlink()
            have = 0
            stalled += 1
        head = _head(part)
        try:
            _transfer(remote, part, have)
        except HfHubHTTPError as error:
            raise _refused(error, f"{remote.file.source} of {remote.file.repository.name}") from error
        except NETWORK_ERRORS as error:
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise
            if "Consistency check failed" in str(error):  # an answer that came whole, but of something else
                _drop_answer(part, have, head)
            stalled = 0 if 0 < have < _length(part) <= remote.size else stalled + 1
            if stalled >= PATIENCE:
                raise _broken(error) from error
            time.sleep(1)
    actual = checksum(part, remote.checksum, progress)
    if actual != remote.checksum:
        part.unlink()
        raise AudioXError(
            f"{remote.file.source} did not arrive as it is in {remote.file.repository.name} ({actual}, expected "
            f"{remote.checksum}), so it was deleted; run this again."
        )
    os.replace(part, path)
    return path


def _head(part: Path) -> bytes:
    """The first bytes of an unfinished file."""
    if not part.exists():
        return b""
    with part.open("rb") as file:
        return file.read(4096)


def _drop_answer(part: Path, have: int, head: bytes) -> None:
    """Keep what had arrived before the last answer, unless that answer has replaced it."""
    if have and _length(part) >= have and _head(part)[: len(head)] == head:
        os.truncate(part, have)
    else:
        part.unlink(missing_ok=True)


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
    """The unfinished file: named by its content, so that revisions don't mix, and not with a model's suffix."""
    path = folder / remote.file.path
    return path.with_name(f"{path.name}.{remote.digest[:12]}.part")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def checksum(path: Path, like: str, progress: Progress) -> str:
    """Checksum of a file, of the same kind as `like`."""
    kind, total = like.split(":")[0], path.stat().st_size
    digest = hashlib.sha256()
    if kind == "git":
        digest = hashlib.sha1(f"blob {total}\0".encode(), usedforsecurity=False)
    done = 0
    progress("check", 0, total)
    with path.open("rb") as file:
        while chunk := file.read(1 << 24):
            digest.update(chunk)
            done += len(chunk)
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
    """The files that the folder's record lists, as it describes them."""
    record = _read_record(folder)
    return [
        Remote(file, entry["revision"], entry["bytes"], entry["checksum"])
        for file in files
        if (entry := record.get(file.path)) is not None
    ]


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise AudioXError(f"{path} cannot be read; delete it to have the files checked against the hub.") from error


def _refused(error: HfHubHTTPError, what: str) -> AudioXError:
    status = getattr(error.response, "status_code", None)
    hints = {
        401: "if the repository requires it, sign in with `hf auth login` or set HF_TOKEN",
        403: "accept the conditions on its page, or use a token (HF_TOKEN) that may read it",
        404: "it is not there: give another --revision, such as main, or another HF_ENDPOINT",
    }
    retry = "try again later, what has arrived is kept"
    hint = retry if status is None else hints.get(status, retry)
    return AudioXError(f"{constants.ENDPOINT} answered {status} for {what}; {hint}.")


def _broken(error: Exception) -> AudioXError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return AudioXError(
        f"{constants.ENDPOINT} cannot be reached or broke off ({reason}); run this again to resume where it stopped."
    )
