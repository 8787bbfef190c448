"""What is installed: packages with their versions, and whether they can be imported. Judged in `versions`.

Nothing here needs torch.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field

IMPORTED = ("torch", "numpy", "av", "transformers", "tokenizers", "psutil")
"""Packages that no sound can be generated without; they are imported to see whether that works."""

LISTED = ("torchvision", "torchaudio", "safetensors", "accelerate", "huggingface_hub", "pillow")
"""Packages of which only the version is read: not needed, or needed by one command alone."""

FAILURES = (ImportError, OSError, RuntimeError, ValueError, AttributeError, TypeError)
"""What importing a package raises whose parts do not fit each other or this system."""


@dataclass(frozen=True)
class Package:
    """version: None if it is not installed. failure: why it cannot be imported, "" if it can or was not tried."""

    version: str | None
    failure: str = ""


@dataclass(frozen=True)
class Facts:
    """What is installed. packages: by the name that pip knows them by, without those that are missing."""

    python: str
    packages: Mapping[str, Package] = field(default_factory=dict)

    def version(self, name: str) -> tuple[int, ...] | None:
        """A package's version as numbers, (2, 11, 0) for "2.11.0+cu130"; None if it isn't installed."""
        package = self.packages.get(name)
        return None if package is None or package.version is None else numbers_of(package.version)


def numbers_of(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: (2, 12) for "2.12.dev3+cu130"."""
    numbers = []
    for part in version.split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if digits:
            numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)


def gather() -> Facts:
    """The facts about this Python."""
    packages = {name: _package(name, import_it=name in IMPORTED) for name in (*IMPORTED, *LISTED)}
    there = {name: package for name, package in packages.items() if package.version or package.failure}
    return Facts(platform.python_version(), there)


def _package(name: str, import_it: bool) -> Package:
    version = _installed_version(name)
    if not import_it:
        return Package(version)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0] == name
        return Package(None if missing else version, "" if missing else _words(error))
    except FAILURES as error:
        return Package(version, _words(error))
    return Package(version or str(getattr(module, "__version__", "of unknown version")))


def _installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _words(error: BaseException) -> str:
    """The last line of an error's message, which says most when a shared library does not load."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
