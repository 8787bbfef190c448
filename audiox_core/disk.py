"""Disk space before it is needed, and the temporary files of runs that were killed."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import socket
import time
import uuid
from pathlib import Path

from .errors import AudioXError
from .release.files import gigabytes

ABANDONED = 24 * 3600.0
"""Seconds without a write after which a temporary file counts as left over whoever wrote it.

Whether a process runs can only be asked on its own machine, and folders are shared between machines."""

_TEMPORARY = re.compile(r"\.audiox-(?P<host>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}(\.\w+)?")


def temporary_path(path: Path) -> Path:
    """A new hidden name beside `path` with the same suffix, which says whose it is.

    It is short whatever `path` is called, so that every name that the disk allows can be written.
    """
    return path.with_name(f".audiox-{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}{path.suffix}")


def remove_leftovers(folder: Path) -> list[Path]:
    """Delete the temporary files in a folder whose runs were killed, and return them.

    Such are files under the names of `temporary_path` whose process ran on this machine and has ended, and those of
    other machines that nobody has written to for a day.
    """
    removed = []
    for path in sorted(folder.glob(".audiox-*")):
        if _is_left_over(path):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def check_free(path: Path, needed: int, advice: str) -> None:
    """AudioXError if the disk of `path`, which need not exist, lacks the bytes; advice: what else to do, in words."""
    existing = next(each for each in (path.absolute(), *path.absolute().parents) if each.is_dir())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise AudioXError(
            f"{path} needs {gigabytes(needed)}, but only {gigabytes(free)} are free there; make room, or {advice}."
        )


def _is_left_over(path: Path) -> bool:
    named = _TEMPORARY.fullmatch(path.name)
    if named is None:
        return False
    if named["host"] == _host() and not _is_running(int(named["process"])):
        return True
    try:
        return time.time() - path.stat().st_mtime > ABANDONED
    except FileNotFoundError:  # its own run has finished it meanwhile
        return False


def _is_running(process: int) -> bool:
    """Whether a process of this machine runs; on Windows, where asking would end it, always yes."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # somebody else's
        return True
    return True


@functools.cache
def _host() -> str:
    """Names this machine, or this container, in eight letters."""
    processes = Path("/proc/self/ns/pid")
    space = os.readlink(processes) if processes.is_symlink() else ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]
