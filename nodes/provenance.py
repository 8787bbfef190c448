"""Where a sound comes from: the text, seed and model named in a ComfyUI prompt before a node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Graph = Mapping[str, Mapping[str, Any]]
"""A prompt as /prompt takes it: node id -> class_type and inputs; a link is [node id, output]."""


class Provenance(NamedTuple):
    """What the nodes behind a sound were given; empty where the graph does not say."""

    text: str = ""
    seed: int | None = None
    model: str = ""


def find_provenance(graph: Graph, node_id: str) -> Provenance:
    """The text, seed and model behind a node, each from the nearest node before it that names one.

    Core's samplers and loaders count as ours do. The text is that of the positive prompt.
    """
    seed = first_value(graph, node_id, ("seed", "noise_seed"), int)
    positive = first_link(graph, node_id, ("positive", "conditioning"))
    text = first_value(graph, positive, ("text",), str) if positive else None
    model = first_value(graph, node_id, ("checkpoint", "ckpt_name", "unet_name"), str)
    return Provenance((text or "").strip(), seed, model or "")


def first_value(graph: Graph, node_id: str, names: tuple[str, ...], kind: type) -> Any:
    """The nearest input of one of these names and of this type, at the node or before it; None if there is none."""
    values = (literal(graph, inputs[name]) for inputs in ancestors(graph, node_id) for name in names if name in inputs)
    return next((value for value in values if isinstance(value, kind)), None)


def first_link(graph: Graph, node_id: str, names: tuple[str, ...]) -> str | None:
    """The node behind the nearest linked input of one of these names."""
    linked = (linked_node(inputs.get(name)) for inputs in ancestors(graph, node_id) for name in names)
    return next((node for node in linked if node is not None), None)


def ancestors(graph: Graph, node_id: str) -> Iterator[Mapping[str, Any]]:
    """Inputs of a node and of all nodes it depends on, nearest first."""
    waiting, seen = [node_id], {node_id}
    for each in waiting:  # grows while it is read
        inputs = graph.get(each, {}).get("inputs", {})
        yield inputs
        for value in inputs.values():
            source = linked_node(value)
            if source is not None and source not in seen:
                seen.add(source)
                waiting.append(source)


def linked_node(value: Any) -> str | None:
    """The node that an input is linked to; None for a plain value."""
    return str(value[0]) if isinstance(value, list) and len(value) == 2 else None


def literal(graph: Graph, value: Any) -> Any:
    """A plain value, or the one that a linked primitive node holds."""
    source = linked_node(value)
    return value if source is None else graph.get(source, {}).get("inputs", {}).get("value")
