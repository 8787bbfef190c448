"""Tensors that are spread over several files, opened as one.

Known kinds: `model.safetensors.index.json`, numbered files (`model-00001-of-00003.safetensors`), and one file for each
component in the folders `transformer`, `conditioners` and `vae`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch

from ..errors import AudioXError
from ..wording import first_few
from .reader import OpenTensors, TensorFile

INDEX_SUFFIX = ".safetensors.index.json"

NUMBERED = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.\w+)")
"""The name of one of several numbered files."""

COMPONENT_FOLDERS = ("transformer", "conditioners", "vae")
"""Folders of a model that is kept as one file for each component; the last may be missing."""

MAX_SHARDS = 1000


def is_first_shard(path: Path) -> bool:
    """Is a file the one of its shards that stands for all? True for files without shards too."""
    match = NUMBERED.fullmatch(path.name)
    return match is None or int(match["number"]) == 1


def open_file(path: Path | str) -> TensorFile:
    """The file at a path, together with the others that belong to it.

    Raises:
        AudioXError: as `TensorFile`; or one of the files is missing.
    """
    path = Path(path)
    if path.name.endswith(INDEX_SUFFIX) and path.is_file():
        return ShardedFile(path, _indexed(path))
    if match := NUMBERED.fullmatch(path.name):
        index = path.with_name(match["stem"] + INDEX_SUFFIX)
        return ShardedFile(path, _indexed(index) if index.is_file() else _numbered(path, match))
    files = _components(path)
    return ShardedFile(path, files) if len(files) > 1 else TensorFile(path)


class ShardedFile(TensorFile):
    """Several files of tensors as one; `path` is the one by which they were found."""

    def __init__(self, path: Path, files: list[Path]) -> None:
        self.path = path
        self.files = [TensorFile(file) for file in files]
        self.is_pickle = self.files[0].is_pickle
        self.wrapper = self.files[0].wrapper
        self.other = tuple(name for file in self.files for name in file.other)
        self.left_out = tuple(dict.fromkeys(name for file in self.files for name in file.left_out))
        self.metadata = {key: value for file in reversed(self.files) for key, value in file.metadata.items()}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, torch.dtype] = {}
        self._file_of: dict[str, TensorFile] = {}
        for file in self.files:
            for name in file.shapes:
                if name not in self.shapes:
                    self.shapes[name], self.dtypes[name], self._file_of[name] = (
                        file.shapes[name],
                        file.dtypes[name],
                        file,
                    )

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(file.path for file in self.files)

    def open(self) -> OpenTensors:
        return _OpenShards(self._file_of)


class _OpenShards(OpenTensors):
    """Opens each file when the first of its tensors is read."""

    def __init__(self, file_of: dict[str, TensorFile]) -> None:
        self._file_of = file_of
        self._open: dict[Path, OpenTensors] = {}
        self._owners: dict[int, OpenTensors] = {}

    def read(self, name: str) -> torch.Tensor:
        file = self._file_of[name]
        if file.path not in self._open:
            self._open[file.path] = file.open()
        tensor = self._open[file.path].read(name)
        self._owners[tensor.data_ptr()] = self._open[file.path]
        return tensor

    def done(self, tensor: torch.Tensor) -> None:
        if owner := self._owners.pop(tensor.data_ptr(), None):
            owner.done(tensor)


def _indexed(index: Path) -> list[Path]:
    """The files that an index lists, all beside it."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise AudioXError(f"Get {index} again: it is not an index of tensor files.") from error
    if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise AudioXError(f"Get {index} again: it lists files that are not beside it.")
    return _all_there([index.with_name(name) for name in names])


def _numbered(path: Path, match: re.Match[str]) -> list[Path]:
    count = int(match["count"])
    if not 0 < count <= MAX_SHARDS:
        raise AudioXError(f"{path} is one of {count} files by its name, expected at most {MAX_SHARDS}.")
    names = [f"{match['stem']}-{number:05}-of-{match['count']}{match['suffix']}" for number in range(1, count + 1)]
    return _all_there([path.with_name(name) for name in names])


def _all_there(files: list[Path]) -> list[Path]:
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise AudioXError(
            f"Get {first_few(missing)} too: {files[0].parent} has only {len(files) - len(missing)} of the model's "
            f"{len(files)} files."
        )
    return files


def _components(path: Path) -> list[Path]:
    """The files of the same name in the folders of components, if a path is one of them."""
    if path.parent.name not in COMPONENT_FOLDERS:
        return []
    files = [path.parent.parent / folder / path.name for folder in COMPONENT_FOLDERS]
    return [file for file in files if file.is_file()]
