"""Sizes that the models share, and how a model's own are read off the names and shapes of its weights."""

from __future__ import annotations

from collections.abc import Mapping

LATENT_CHANNELS = 64
"""Channels of the released VAE's latent."""

TOKEN_WIDTH = 768
"""Width of the prompt's tokens, and so of every encoder and conditioner that gives them."""


def layer_count(names: Mapping[str, object], prefix: str) -> int:
    """How many numbered children follow a prefix: 'layers.' in 'layers.0.x', 'layers.1.x' counts 2."""
    start = len(prefix)
    return len({name[start:].split(".", 1)[0] for name in names if name.startswith(prefix)})


def under(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> dict[str, tuple[int, ...]]:
    """The entries below a prefix, with the prefix removed."""
    return {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}
