"""Write the subgraph blueprints: `subgraphs/NAME.json`, which ComfyUI's node library offers as single nodes.

Run it after a change here, in the workflows or in a node's inputs: `python -m tools.make_blueprints`. A blueprint is a
shipped workflow without its ends: what a user would set or connect there is an input or output of the subgraph.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from audiox_core.release.files import RELEASES
from tools.make_workflows import WIDGETS, graph_node, inputs_of, layout, live_infos, saved_widget_values, sockets
from tools.shipped_workflows import WORKFLOWS, Link, Node, Workflow

FOLDER = Path(__file__).resolve().parent.parent / "subgraphs"

INPUTS, OUTPUTS = -10, -20
"""Ids that the editor gives to the two ends of a subgraph."""

PROMOTED = "-1"
"""Stands for a node's id: the widget belongs to an input of the subgraph, whatever that is linked to."""


@dataclass(frozen=True)
class Blueprint:
    """inputs: name -> each (node, input) that it sets; outputs: name -> where it comes from."""

    workflow: str
    without: set[str]
    inputs: dict[str, list[tuple[str, str]]]
    outputs: dict[str, Link]
    description: str


SETTINGS = {"text": [("prompt", "text")], "seed": [("sample", "seed")], "checkpoint": [("load", "checkpoint")]}

BLUEPRINTS = {
    "Text to sound (AudioX)": Blueprint(
        "t2a_turbo",
        {"save"},
        {**SETTINGS, "seconds": [("latent", "seconds")]},
        {"audio": Link("sound")},
        "Sound effects, ambience or music from a text, with AudioX-Turbo.",
    ),
    "Video to sound (AudioX)": Blueprint(
        "long_v2a_turbo",
        {"video", "save"},
        {"video": [("seen", "video"), ("mux", "video")], **SETTINGS},
        {"video": Link("mux"), "audio": Link("sound")},
        "Sound for a whole video, up to 10 minutes, with AudioX-Turbo: the video with its new sound, and the sound.",
    ),
}


def inner(blueprint: Blueprint) -> Workflow:
    """The workflow without its ends; the subgraph's inputs take their place."""
    whole = WORKFLOWS[blueprint.workflow]
    nodes = {key: node for key, node in whole.nodes.items() if key not in blueprint.without}
    for slot, places in enumerate(blueprint.inputs.values()):
        for key, name in places:
            nodes[key] = replace(nodes[key], inputs={**nodes[key].inputs, name: Link("inputs", slot)})
    return replace(whole, nodes=nodes)


def links_of(workflow: Workflow, infos: dict, ids: dict[str, int], outputs: dict[str, Link]) -> Iterator[list]:
    """[id, from node, from slot, to node, to slot, type] of every link inside the subgraph."""
    number = 0
    for key, node in workflow.nodes.items():
        for slot, (name, (type_, _, _)) in enumerate(sockets(node, infos[node.type]).items()):
            source = node.inputs.get(name)
            if source is not None:
                number += 1
                yield [number, ids[source.key], source.slot, ids[key], slot, type_]
    for slot, source in enumerate(outputs.values()):
        number += 1
        type_ = infos[workflow.nodes[source.key].type]["output"][source.slot]
        yield [number, ids[source.key], source.slot, OUTPUTS, slot, type_]


LINK = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")


def identity(name: str) -> str:
    """An id that stays the same whenever the file is written."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{RELEASES['turbo'].model.repository.page}#{name}"))


def definition(name: str, blueprint: Blueprint, infos: dict) -> dict:
    """The subgraph itself."""
    workflow, whole = inner(blueprint), WORKFLOWS[blueprint.workflow]
    places, groups = layout(workflow, infos)
    ids = {"inputs": INPUTS} | {key: number for number, key in enumerate(workflow.nodes, 1)}
    links = list(links_of(workflow, infos, ids, blueprint.outputs))
    nodes = []
    for order, (key, node) in enumerate(workflow.nodes.items()):
        info = infos[node.type]
        drawn = graph_node(ids[key], node, info, links, places[key], order, workflow)
        nodes.append({**drawn, "widgets_values": saved_widget_values(whole.nodes[key], info)})
    right = max(group["bounding"][0] + group["bounding"][2] for group in groups)
    return {
        "id": identity(name),
        "version": 1,
        "revision": 0,
        "config": {},
        "name": name,
        "state": {"lastGroupId": len(groups), "lastNodeId": len(nodes), "lastLinkId": len(links), "lastRerouteId": 0},
        "inputNode": {"id": INPUTS, "bounding": [-220, 90, 140, 40 + 20 * len(blueprint.inputs)]},
        "outputNode": {"id": OUTPUTS, "bounding": [right + 80, 90, 120, 40 + 20 * len(blueprint.outputs)]},
        "inputs": ends(name, list(blueprint.inputs), [link for link in links if link[1] == INPUTS], 2, -104),
        "outputs": ends(name, list(blueprint.outputs), [link for link in links if link[3] == OUTPUTS], 4, right + 104),
        "widgets": [],
        "nodes": nodes,
        "groups": groups,
        "links": [dict(zip(LINK, link, strict=True)) for link in links],
        "extra": {"workflowRendererVersion": "LG"},
        "category": "Audio",
        "description": blueprint.description,
    }


def ends(title: str, names: list[str], links: list[list], at: int, x: int) -> list[dict]:
    """Inputs or outputs of a subgraph. links: those attached to them, with the slot at index `at`."""
    found = []
    for slot, name in enumerate(names):
        own = [link for link in links if link[at] == slot]
        kind = "in" if links[0][1] == INPUTS else "out"
        found.append(
            {
                "id": identity(f"{title}/{kind}/{name}"),
                "name": name,
                "type": own[0][5],
                "linkIds": [link[0] for link in own],
                "pos": [x, 114 + 20 * slot],
            }
        )
    return found


def graph(name: str, blueprint: Blueprint, infos: dict) -> dict:
    """A graph of one node, which is the subgraph."""
    inside = definition(name, blueprint, infos)
    nodes = WORKFLOWS[blueprint.workflow].nodes
    inputs, promoted = [], []
    for entry, [(key, source), *_] in zip(inside["inputs"], blueprint.inputs.values(), strict=True):
        widget = is_widget(nodes[key], source, infos)
        promoted += [[PROMOTED, entry["name"]]] * widget
        shown = {"widget": {"name": entry["name"]}} if widget else {}
        inputs.append({"name": entry["name"], "type": entry["type"], **shown, "link": None})
    outputs = [{"name": entry["name"], "type": entry["type"], "links": []} for entry in inside["outputs"]]
    host = {
        "id": len(inside["nodes"]) + 1,
        "type": inside["id"],
        "pos": [0, 0],
        "size": [460, 300],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": inputs,
        "outputs": outputs,
        "title": name,
        "properties": {"proxyWidgets": promoted},
        "widgets_values": [],
    }
    return {
        "id": identity(f"{name}/graph"),
        "revision": 0,
        "last_node_id": host["id"],
        "last_link_id": 0,
        "nodes": [host],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": [inside]},
        "extra": {},
    }


def is_widget(node: Node, name: str, infos: dict) -> bool:
    return inputs_of(infos[node.type])[name][0] in WIDGETS


def files(infos: dict) -> dict[Path, str]:
    """Path and text of every blueprint."""
    return {
        FOLDER / f"{name}.json": json.dumps(graph(name, blueprint, infos), indent=2, ensure_ascii=False) + "\n"
        for name, blueprint in BLUEPRINTS.items()
    }


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    for path, content in files(live_infos()).items():
        path.write_text(content, encoding="utf-8")
        print(path.relative_to(FOLDER.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
