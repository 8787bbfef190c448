"""Manifests: lines of JSON that say, with the names of `generate`'s options, which sounds to generate."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..errors import AudioXError
from ..request import Request
from .generate import DEFAULTS, output_paths, request_of

RECORDS = ".batch"
"""Folder in the output folder with one record for each finished sound: what it was generated from."""

OPTIONS = {**{name: value for name, value in DEFAULTS.items() if name not in ("batch", "ranges")}, "range": []}
"""What a line may set -> default; `id` and `out` name the file."""


def _base(hint: Any) -> Any:
    """float for `float | None`; other types as they are."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    return next(kind for kind in get_args(hint) if kind is not NoneType)


TYPES = {name: _base(hint) for name, hint in get_type_hints(Request).items()}
"""Option -> its type."""


@dataclass(frozen=True)
class Item:
    """A sound to generate. out: its file in the output folder; record: everything that its sound depends on."""

    line: int
    text: str
    request: Request
    out: Path
    record: bytes
    record_path: Path

    def done(self) -> bool:
        """Whether the file is there and was generated from the same line with the same model."""
        return self.out.is_file() and self.record_path.is_file() and self.record_path.read_bytes() == self.record

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Around the writing of the file: the old record goes first, so that no record describes another file."""
        from ..media.files import written_whole

        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.record_path.parent.mkdir(parents=True, exist_ok=True)
        self.record_path.unlink(missing_ok=True)
        yield
        with written_whole(self.record_path) as temporary:
            temporary.write_bytes(self.record)


@dataclass(frozen=True)
class Failure:
    """A line whose sound could not be generated, and why."""

    line: int
    error: str
    text: str


def read_manifest(
    manifest: Path, folder: Path, suffix: str, about: Mapping[str, Any]
) -> tuple[list[Item], list[Failure]]:
    """The sounds of a manifest, and the lines that cannot be understood.

    folder: where the outputs go. suffix: of names without one. about: what the sounds depend on besides the lines.
    """
    items: list[Item] = []
    failures: list[Failure] = []
    line_of: dict[Path, int] = {}
    for line, data in enumerate(manifest.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not data.strip():
            continue
        try:
            item = read_line(line, data, folder, suffix, about)
            if item.out in line_of:
                raise AudioXError(f"Choose another name: {item.out} is already the output of line {line_of[item.out]}.")
        except (AudioXError, OSError) as error:
            failures.append(Failure(line, str(error), data.strip().decode("utf-8", "replace")))
        else:
            line_of[item.out] = line
            items.append(item)
    return items, failures


def read_line(line: int, data: bytes, folder: Path, suffix: str, about: Mapping[str, Any]) -> Item:
    """The sound that a line describes; AudioXError where it doesn't describe one."""
    fields = parse(data)
    name = output_name(line, fields, suffix)
    values = options_of(fields)
    request = request_of({**OPTIONS, **values})
    changed = {option: value for option, value in values.items() if value != OPTIONS[option]}
    record = json.dumps({**about, "made from": changed}, sort_keys=True, indent=1).encode()
    out = folder / name
    out.parent.mkdir(parents=True, exist_ok=True)
    output_paths(str(out), request)
    return Item(line, data.strip().decode("utf-8"), request, out, record, folder / RECORDS / f"{name}.json")


def parse(data: bytes) -> dict[str, Any]:
    """The JSON object of a line."""
    try:
        fields = json.loads(data.decode("utf-8"))
        json.dumps(fields, ensure_ascii=False).encode("utf-8")  # JSON can write half a character, which isn't text
    except (ValueError, RecursionError) as error:
        raise AudioXError(f"This is not JSON ({error}).") from error
    if not isinstance(fields, dict):
        raise AudioXError('This is not a JSON object, expected one such as {"id": "rain", "prompt": "rain on a car"}.')
    return fields


def options_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Option -> value of what a line sets, in the option's type; null and false mean the default.

    Raises:
        AudioXError: an unknown option, or a value of another type.
    """
    unknown = sorted(set(fields) - {"id", "out", *OPTIONS})
    if unknown:
        raise AudioXError(f"There is no option {unknown[0]!r}, expected some of {', '.join(('id', 'out', *OPTIONS))}.")
    named = {name: value for name, value in fields.items() if name not in ("id", "out")}
    return {name: typed(name, value) for name, value in named.items() if value is not None and value is not False}


def typed(name: str, value: Any) -> Any:
    """A value of JSON in the type of its option; numbers may be written as text."""
    if name == "range":
        return [plain(name, each) for each in (value if isinstance(value, list) else [value])]
    kind = TYPES[name]
    if kind is bool:
        if value is not True:
            raise AudioXError(f"{name} is {json.dumps(value)}, expected true or false (the option takes no value).")
        return True
    text = plain(name, value)
    if kind not in (int, float):
        return text
    try:
        return int(text) if kind is int else float(text)
    except ValueError:
        expected = "a whole number" if kind is int else "a number"
        raise AudioXError(f"{name} is {json.dumps(value)}, expected {expected}.") from None


def plain(name: str, value: Any) -> str:
    """A text or a number of JSON as text."""
    if isinstance(value, list | dict | bool | None):
        raise AudioXError(f"{name} is {json.dumps(value)}, expected a text or a number.")
    return str(value)


def output_name(line: int, fields: Mapping[str, Any], suffix: str) -> str:
    """The name of a sound's file in the output folder: its `out`, or its `id` or else its line with the suffix."""
    name = fields.get("out")
    if name is None:
        name = f"{fields.get('id', f'{line:06}')}{suffix}"
    path = Path(str(name))
    if not isinstance(fields.get("id", ""), str | int) or not str(name).isprintable():
        raise AudioXError(f"{str(name)!r} is not a name for a file.")
    if path.is_absolute() or path.drive or ".." in path.parts:
        raise AudioXError(f"The name is {name}, expected one inside the output folder, without .. in it.")
    return path.as_posix()
