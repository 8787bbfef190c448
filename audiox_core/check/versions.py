"""Which versions are too old, missing or do not fit each other. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .facts import IMPORTED, LISTED, Facts, numbers_of
from .result import Result, State, ok, problem, stop, warning

OLDEST_PYTHON = (3, 10)

OLDEST = {
    "torch": "2.4",
    "numpy": "1.25",
    "transformers": "4.50",
    "accelerate": "1.0",
    "tokenizers": "0.13.3",
    "av": "14.2",
    "pillow": "10.1",
    "huggingface_hub": "0.26",
}
"""Oldest versions that work, as pyproject.toml has them."""

PURPOSES = {
    "torchvision": "not used",
    "torchaudio": "not used",
    "safetensors": "not used; files are read by our own reader",
    "accelerate": "streams blocks on the command line",
    "huggingface_hub": "for `audiox download`",
    "pillow": "draws the picture of a sound",
}
"""What the packages are for without which sound can still be generated."""

USED = ("accelerate", "huggingface_hub", "pillow")
"""Those of them that are used."""

TORCHVISION_MINOR = 15
"""torchvision 0.N belongs to torch 2.(N - 15)."""


def check_versions(facts: Facts) -> Iterator[Result]:
    """One result for Python and for each package, needed ones first."""
    yield _python(facts)
    for name in IMPORTED:
        yield _needed(name, facts)
    for name in LISTED:
        yield _useful(name, facts)


def can_run(facts: Facts) -> bool:
    """Whether the models can be run with what is installed."""
    return not any(result.state is State.STOP for result in check_versions(facts))


def _python(facts: Facts) -> Result:
    if _older(facts.python, OLDEST_PYTHON):
        return stop("Python", f"{facts.python} is too old", "Use Python 3.10 or newer.", version=facts.python)
    return ok("Python", facts.python, version=facts.python)


def _needed(name: str, facts: Facts) -> Result:
    """A package without which no sound can be generated."""
    install = _Install(name)
    package = facts.packages.get(name)
    if package is None:
        return stop(name, "is not installed", install.missing)
    if package.failure:
        version = package.version or ""
        return stop(name, f"{version} does not load ({package.failure})".strip(), install.again, version=version)
    oldest = OLDEST.get(name)
    if oldest and _older(str(package.version), numbers_of(oldest)):
        return stop(name, f"{package.version} is too old", install.newer, version=package.version)
    return ok(name, str(package.version), version=package.version)


def _useful(name: str, facts: Facts) -> Result:
    """A package that one feature needs, or none."""
    install = _Install(name)
    package = facts.packages.get(name)
    if package is None:
        text = f"is not installed ({PURPOSES[name]})"
        return warning(name, text, install.missing) if name in USED else ok(name, text)
    version, oldest = str(package.version), OLDEST.get(name)
    if oldest and _older(version, numbers_of(oldest)):
        return problem(name, f"{version} is too old ({PURPOSES[name]})", install.newer, version=version)
    if fitting := _fitting(name, facts):
        return _mismatch(name, version, fitting, facts)
    return ok(name, f"{version} ({PURPOSES[name]})", version=version)


def _fitting(name: str, facts: Facts) -> str | None:
    """The version of torch's companion that belongs to this torch, if another one is installed."""
    torch, companion = facts.version("torch"), facts.version(name)
    if torch is None or companion is None or len(torch) < 2 or torch[0] != 2:
        return None
    expected = {"torchaudio": torch[:2], "torchvision": (0, torch[1] + TORCHVISION_MINOR)}.get(name)
    return None if expected is None or companion[:2] == expected else ".".join(map(str, expected))


def _mismatch(name: str, version: str, fitting: str, facts: Facts) -> Result:
    """A companion of another torch: nothing to us, but not to everyone around us."""
    harm = {
        "torchaudio": "harmless here: AudioX Native does not use it, but a ComfyUI that does loses its audio nodes",
        "torchvision": "AudioX Native does not use it, but ComfyUI and transformers may fail to load it",
    }[name]
    torch = facts.packages["torch"].version
    advice = f"Install {name} {fitting} from where your torch came from."
    return warning(name, f"{version} does not fit torch {torch} ({harm})", advice, version=version, fitting=fitting)


@dataclass(frozen=True)
class _Install:
    """What to do about a package."""

    name: str

    @property
    def missing(self) -> str:
        if self.name == "torch":
            return "Install PyTorch for your machine: https://pytorch.org/get-started/locally"
        return f"pip install {self.name}"

    @property
    def newer(self) -> str:
        if self.name == "torch":
            return f"Install PyTorch {OLDEST['torch']} or newer: https://pytorch.org/get-started/locally"
        return f'pip install "{self.name}>={OLDEST[self.name]}"'

    @property
    def again(self) -> str:
        return self.missing if self.name == "torch" else f"pip install --force-reinstall --no-deps {self.name}"


def _older(version: str, oldest: tuple[int, ...]) -> bool:
    numbers = numbers_of(version)
    return bool(numbers) and numbers < oldest
