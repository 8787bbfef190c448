"""A golden file: tensors of the official implementation, and metadata that says how to compute them again."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open

from devtools import seeded_weights as seeded

RELATIVE_LIMIT = 2e-5


class NotUnderstood(Exception):
    """A golden file that does not say what these checks need to know."""


@dataclass(frozen=True)
class Row:
    """The comparison of one tensor."""

    name: str
    difference: float
    limit: float

    @property
    def ok(self) -> bool:
        return self.difference <= self.limit  # false for NaN


@dataclass
class Golden:
    """One golden file: tensors by name, metadata, and what has been checked so far."""

    path: Path
    tensors: dict[str, torch.Tensor]
    metadata: dict[str, str]
    report: Callable[[Row], None] = lambda row: None
    rows: list[Row] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, report: Callable[[Row], None] = lambda row: None) -> "Golden":
        with safe_open(path, "pt") as file:
            names = file.keys()
            return cls(path, {name: file.get_tensor(name) for name in names}, file.metadata() or {}, report)

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self.tensors:
            raise NotUnderstood(f"it has no tensor {name}")
        return self.tensors[name]

    @property
    def names(self) -> list[str]:
        return list(self.tensors)

    def json(self, key: str):
        if key not in self.metadata:
            raise NotUnderstood(f"its metadata has no {key}")
        return json.loads(self.metadata[key])

    @property
    def inputs(self) -> dict:
        return self.json("inputs")

    @property
    def notes(self) -> dict[str, str]:
        """What the file says about its tensors."""
        return self.json("tensors")

    @property
    def config(self) -> dict:
        """The configuration, as a dictionary also where it is a sentence."""
        text = self.metadata.get("config", "")
        if text.startswith("{"):
            return json.loads(text)
        layers = re.search(r"(\d+) layers", text)
        return {"depth": int(layers[1])} if layers else {}

    @property
    def depth(self) -> int:
        """Transformer layers."""
        if "depth" not in self.config:
            raise NotUnderstood("its metadata does not say how many layers the transformer has")
        return int(self.config["depth"])

    @property
    def kept(self) -> dict[str, list[int]]:
        """Name -> every how many numbers along each dimension the file keeps."""
        return json.loads(self.metadata.get("kept", "{}"))

    def input(self, name: str) -> torch.Tensor:
        """An input, made by the recipe in the metadata."""
        if name not in self.inputs:
            raise NotUnderstood(f"its metadata describes no input {name}")
        recipe = self.inputs[name]
        if isinstance(recipe, list):  # a shape: noise that has the input's name
            return torch.from_numpy(seeded.noise(name, int(self.metadata["seed"]), recipe))
        recipe = dict(recipe)
        for kind, make in (("noise", seeded.noise), ("frames", seeded.frames)):
            if kind in recipe:
                return torch.from_numpy(make(recipe.pop(kind), **recipe))
        raise NotUnderstood(f"the recipe of its input {name} is neither noise nor frames")

    def check(
        self, name: str, value: torch.Tensor, relative: float = RELATIVE_LIMIT, absolute: float | None = None
    ) -> None:
        """Compare a tensor of the file, if it is there, with ours.

        The limit is relative to the largest value, or to 1 where that is less; none for whole numbers; or absolute.
        """
        if name not in self.tensors:
            return
        golden = self.tensors[name]
        if name in self.kept:
            value = value[tuple(slice(None, None, step) for step in self.kept[name])]
        if value.shape != golden.shape:
            raise NotUnderstood(f"{name} is {list(golden.shape)}, ours {list(value.shape)}")
        limit = relative * max(1.0, golden.abs().max().item()) if golden.is_floating_point() else 0.0
        limit = limit if absolute is None else absolute
        row = Row(name, (value.double() - golden.double()).abs().max().item(), limit)
        self.rows.append(row)
        self.report(row)

    def leave_out(self, name: str, reason: str) -> None:
        """Say that a tensor of the file is not compared, and why."""
        self.left_out[name] = reason

    @property
    def unchecked(self) -> list[str]:
        return sorted(set(self.tensors) - {row.name for row in self.rows} - set(self.left_out))
