"""Released tensors in memory under native names; the library itself streams, checks and compares them from files."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from audiox_core.checkpoint.key_mapping import map_keys


def remap(tensors: Mapping[str, torch.Tensor], dit: bool | None = None) -> dict[str, dict[str, torch.Tensor]]:
    """Released tensors -> {component: {native name: tensor}}; the later of two copies wins. dit: see `map_keys`.

    Raises:
        KeyError: names that no released file has.
    """
    key_map = map_keys(tensors, dit)
    if key_map.unknown:
        raise KeyError(", ".join(key_map.unknown[:3]))
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for recipe in key_map.recipes:
        tensor = recipe.transform.apply(*(tensors[source] for source in recipe.sources))
        parts.setdefault(recipe.part, {})[recipe.name] = tensor
    return parts
