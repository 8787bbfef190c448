"""Reports without the user's folders: of a path, only the file's name and folders that everybody has are left."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .result import Result

_ABSOLUTE = re.compile(r"""(?<![\w/\\.:~])(?:[A-Za-z]:[/\\]|/|\\\\)(?:[^\s/\\:;,'"()]+[/\\])+(?=[^\s/\\:;,'"()])""")
"""The folders of an absolute path."""


@dataclass(frozen=True)
class Names:
    """Folders and what a report calls them, the longest first."""

    folders: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, folders: Mapping[str, Path]) -> Names:
        """From the word for each folder; the home folder is always among them, as ~."""
        named = [(str(path), word) for word, path in {"~": Path.home(), **folders}.items()]
        named += [(str(Path(path).resolve()), word) for path, word in named]
        usable = {path: word for path, word in named if len(Path(path).parts) > 1}
        return cls(tuple(sorted(usable.items(), key=lambda item: -len(item[0]))))

    def without_folders(self, text: str) -> str:
        """The text with its paths shortened."""
        for folder, word in self.folders:
            text = word.join(re.split(rf"{re.escape(folder)}(?![^/\\\s'\"),;:.])", text))
        return _ABSOLUTE.sub("…/", text)

    def clean(self, result: Result) -> Result:
        """The result with its paths shortened, in its values as well."""
        return replace(
            result,
            text=self.without_folders(result.text),
            advice=self.without_folders(result.advice),
            values=self._plain(result.values),
        )

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str | Path):
            return self.without_folders(str(value))
        if isinstance(value, Mapping):
            return {self.without_folders(str(key)): self._plain(item) for key, item in value.items()}
        return [self._plain(item) for item in value] if isinstance(value, list | tuple) else value
