"""Reading a model's sizes off the names and shapes of its weights."""

from __future__ import annotations

from collections.abc import Mapping


def layer_count(names: Mapping[str, object], prefix: str) -> int:
    """How many numbered children follow a prefix: 'layers.' in 'layers.0.x', 'layers.1.x' counts 2."""
    start = len(prefix)
    return len({name[start:].split(".", 1)[0] for name in names if name.startswith(prefix)})


def under(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> dict[str, tuple[int, ...]]:
    """The entries below a prefix, with the prefix taken off."""
    return {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}
