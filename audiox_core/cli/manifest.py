"""Manifests: lines of JSON that say, in the words of `generate`, which sounds to make, and what of it is done."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import AudioXError
from .generate import add_sound_arguments, check_seed, output_paths

RECORDS = ".batch"
"""Folder in the output folder with one record for each finished sound: what it was made from."""


@dataclass(frozen=True)
class Item:
    """A sound to make. args: as of `generate`, with `out` in the output folder; record: what its sound depends on."""

    line: int
    text: str
    args: argparse.Namespace
    record: bytes
    record_path: Path

    @property
    def out(self) -> Path:
        """The file to make."""
        return Path(self.args.out)

    def done(self) -> bool:
        """Whether the file is there and was made from the same line with the same model."""
        return self.out.is_file() and self.record_path.is_file() and self.record_path.read_bytes() == self.record

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Around the writing of the file: the old record goes before, so that no record is of another file."""
        from ..media.files import written_whole

        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.record_path.parent.mkdir(parents=True, exist_ok=True)
        self.record_path.unlink(missing_ok=True)
        yield
        with written_whole(self.record_path) as temporary:
            temporary.write_bytes(self.record)


@dataclass(frozen=True)
class Failure:
    """A line of which no sound was made, and why."""

    line: int
    error: str
    text: str


class Words(argparse.ArgumentParser):
    """The options of `generate` that a line may name; what they refuse is an error of the line."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        add_sound_arguments(self)
        self.defaults = vars(self.parse_args(["--out="]))
        self.known = ("id", *(name for name in self.defaults if name != "batch"))

    def error(self, message: str) -> None:
        """Raise what argparse would end the program with."""
        raise AudioXError(f"{message}.")

    def arguments(self, words: Mapping[str, Any]) -> argparse.Namespace:
        """The arguments of `generate` that a line stands for, `out` still empty."""
        unknown = sorted(set(words) - set(self.known))
        if unknown:
            raise AudioXError(f"There is no word {unknown[0]!r}, expected some of {', '.join(self.known)}.")
        return self.parse_args(["--out=", *self.options(words)])

    def options(self, words: Mapping[str, Any]) -> list[str]:
        """What a line is on the command line, without its name."""
        named = [(name, value) for name, value in words.items() if name not in ("id", "out")]
        return [option for name, value in named for option in self._option(name, value)]

    def _option(self, name: str, value: Any) -> list[str]:
        """What a word of a line is on the command line."""
        option = f"--{name.replace('_', '-')}"
        if value is None or value is False:
            return []
        if value is True:
            return [option]
        values = value if isinstance(value, list) and isinstance(self.defaults[name], list) else [value]
        if any(isinstance(each, list | dict | bool | None) for each in values):
            raise AudioXError(f"{name} is {json.dumps(value)}, expected a text or a number.")
        return [f"{option}={each}" for each in values]


def read_manifest(
    manifest: Path, folder: Path, suffix: str, about: Mapping[str, Any]
) -> tuple[list[Item], list[Failure]]:
    """What a manifest asks for, and the lines that cannot be understood.

    folder: where the outputs go. suffix: of names that have none. about: what the sounds depend on beside the lines.
    """
    words, items, failures, taken = Words(), [], [], {}
    for line, data in enumerate(manifest.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not data.strip():
            continue
        text = data.strip().decode("utf-8", "replace")
        try:
            item = read_line(line, data, words, folder, suffix, about)
            if item.out in taken:
                raise AudioXError(f"{item.out} is already the output of line {taken[item.out]}: choose another name.")
        except (AudioXError, OSError) as error:
            failures.append(Failure(line, str(error), text))
        else:
            taken[item.out] = line
            items.append(item)
    return items, failures


def read_line(line: int, data: bytes, words: Words, folder: Path, suffix: str, about: Mapping[str, Any]) -> Item:
    """The sound that a line asks for; AudioXError where it does not say one."""
    found = parsed(data)
    name = output_name(line, found, suffix)
    args = words.arguments(found)
    kept = {key: value for key, value in vars(args).items() if value != words.defaults[key]}
    record = json.dumps({**about, "made from": kept}, sort_keys=True, indent=1).encode()
    args.out = str(folder / name)
    folder.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
    output_paths(args)
    check_seed(args)
    return Item(line, data.strip().decode("utf-8"), args, record, folder / RECORDS / f"{name}.json")


def parsed(data: bytes) -> dict[str, Any]:
    """The JSON object of a line."""
    try:
        found = json.loads(data.decode("utf-8"))
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # half a character, as JSON can write it, is no text
    except (ValueError, RecursionError) as error:
        raise AudioXError(f"This is not JSON ({error}).") from error
    if not isinstance(found, dict):
        raise AudioXError('This is not a JSON object, expected one such as {"id": "rain", "prompt": "rain on a car"}.')
    return found


def output_name(line: int, words: Mapping[str, Any], suffix: str) -> str:
    """The name of a sound's file in the output folder: its `out`, or its `id` or else its line with the suffix."""
    name = words.get("out")
    if name is None:
        name = f"{words.get('id', f'{line:06}')}{suffix}"
    path = Path(str(name))
    if not isinstance(words.get("id", ""), str | int) or not str(name).isprintable():
        raise AudioXError(f"{str(name)!r} is no name for a file.")
    if path.is_absolute() or path.drive or ".." in path.parts:
        raise AudioXError(f"The name is {name}, expected one inside the output folder, without .. in it.")
    return path.as_posix()
