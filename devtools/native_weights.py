"""Released tensors in memory under our names; `audiox_core.checkpoint.open_checkpoint` does it for files."""

from collections.abc import Mapping

import torch

from audiox_core.checkpoint.key_mapping import map_keys


def remap(tensors: Mapping[str, torch.Tensor], dit: bool | None = None) -> dict[str, dict[str, torch.Tensor]]:
    """Released tensors -> {component: {native name: tensor}}; of two copies the later one stays.

    dit: whether the transformer is the cross-attending one; None to tell by the names.

    Raises:
        KeyError: names that no released file has.
    """
    plan = map_keys(tensors, dit)
    if plan.unknown:
        raise KeyError(", ".join(plan.unknown[:3]))
    components: dict[str, dict[str, torch.Tensor]] = {}
    for recipe in plan.recipes:
        tensor = recipe.transform.apply(*(tensors[source] for source in recipe.sources))
        components.setdefault(recipe.part, {})[recipe.name] = tensor
    return components
