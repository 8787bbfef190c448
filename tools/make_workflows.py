"""Write the shipped workflows: `workflows/NAME.json` for the editor and `workflows/api/NAME.json` for /prompt.

Run it after a change here or in a node's inputs: `python -m tools.make_workflows`. Both files come from one
description; order, types and defaults of the inputs come from a live ComfyUI, so the two cannot drift apart.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from audiox_core.demo import NAMES as DEMO_NAMES
from audiox_core.release.files import MODELS_FOLDER as MODELS
from audiox_core.release.files import RELEASES, T5_FILES, WeightFile, gigabytes
from devtools.paths import ROOT
from tools.shipped_workflows import (
    LOAD,
    MODEL_NOTES,
    PICTURE,
    PROMPT,
    RESULT,
    SAMPLE,
    SOUND,
    VIDEO,
    WORKFLOWS,
    Link,
    Node,
    Workflow,
)

FOLDER = ROOT / "workflows"

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3"}
"""Types of inputs that a node shows as widgets; all others are sockets."""

SEEDS = {"seed", "noise_seed"}
"""Names of inputs beside which the editor always puts its control_after_generate."""


def note(workflow: Workflow) -> str:
    """What a user has to know before the first run."""
    release = RELEASES[workflow.variant]
    folder = f"`ComfyUI/{MODELS}/{release.folder}`"
    examples = {"video": VIDEO, "audio": SOUND, "image": PICTURE}
    steps = [
        f"Choose or upload your own {key} in place of `{name}`."
        for key, name in examples.items()
        if key in workflow.nodes
    ]
    if workflow.variant in DEMO_NAMES:
        steps.append(f"To try it without a download, choose `{DEMO_NAMES[workflow.variant]}` in Load AudioX.")
    watermark = "; the sound is watermarked" if "watermark" in release.licence else ""
    return "\n\n".join(
        [
            f"**{workflow.title}.** {workflow.summary} {MODEL_NOTES[workflow.variant]}",
            *([" ".join(steps)] if steps else []),
            f"**Model:** run `python -m audiox_core download {workflow.variant}` in the pack's folder; it fetches "
            f"{gigabytes(release.size)} into {folder}. By hand: put the files of [{release.model.repository.name}]"
            f"({release.model.repository.page}) there, keeping its folders, so that "
            f"`{MODELS}/{release.checkpoint}` exists.",
            "**Text encoder:** T5, which that repository lacks; the command gets it too. By hand: put "
            f"`model.safetensors` and `tokenizer.json` of [t5-base]({T5_FILES[0].repository.page}) into "
            f"`{MODELS}/{release.folder}/t5-base`, or choose a `t5-base.safetensors` from `models/text_encoders` as "
            "text_encoder.",
            f"**Licence of the weights:** CC-BY-NC 4.0, no commercial use{watermark}.",
        ]
    )


def missing_model(workflow: Workflow, file: WeightFile) -> dict:
    """A file as the editor's dialog of missing models lists it."""
    known = {"hash": file.sha256, "hash_type": "SHA256"} if file.sha256 else {}
    name = f"{RELEASES[workflow.variant].folder}/{file.path}"
    return {"name": name, "url": file.page, **known, "directory": MODELS.split("/")[1]}


def companions(workflow: Workflow) -> list[WeightFile]:
    """What a run needs besides the model's own file, of the kinds that ComfyUI lists."""
    looks = any(node.type == "AudioXEncodeVideo" for node in workflow.nodes.values())
    unused = set() if looks else {"videos"}
    files = RELEASES[workflow.variant].files[1:]
    return [file for file in files if file.purpose not in unused and not file.source.endswith(".json")]


# Inputs, as a live ComfyUI describes them


def inputs_of(info: dict) -> dict[str, tuple[str, dict, bool]]:
    """Name -> (type, options, optional) of a node's inputs in the order of its schema."""
    found = {}
    for kind in ("required", "optional"):
        for name, definition in info["input"].get(kind, {}).items():
            type_, options = definition[0], definition[1] if len(definition) > 1 else {}
            if isinstance(type_, list):  # combos of ComfyUI's first node interface
                type_, options = "COMBO", {**options, "options": type_}
            found[name] = (type_, options, kind == "optional")
    return found


def default_of(type_: str, options: dict):
    """The value of a widget on a new node."""
    if "default" in options:
        return options["default"]
    if type_ == "COMFY_DYNAMICCOMBO_V3":
        return options["options"][0]["key"]
    return options["options"][0]


def widget_values(node: Node, info: dict) -> dict:
    """Name -> value of a node's widgets in the order of its schema."""
    inputs = inputs_of(info)
    unknown = set(node.inputs) - set(inputs)
    if unknown:
        raise KeyError(f"{node.type} has no input {', '.join(sorted(unknown))}.")
    return {
        name: default_of(type_, options) if isinstance(node.inputs.get(name, Link("")), Link) else node.inputs[name]
        for name, (type_, options, _) in inputs.items()
        if type_ in WIDGETS
    }


def saved_widget_values(node: Node, info: dict) -> list:
    """The same as the editor stores them, with the values of the widgets that only the editor has."""
    values = []
    inputs = inputs_of(info)
    for name, value in widget_values(node, info).items():
        values.append(value)
        options = inputs[name][1]
        if options.get("control_after_generate"):
            values.append("randomize")
        elif name in SEEDS:
            values.append("fixed")
        if options.get("image_upload") or options.get("video_upload"):
            values.append("image")  # the upload button
        if options.get("audio_upload"):
            values += [None, None]  # the player and the upload button
    return values


# The two files


def api_prompt(workflow: Workflow, infos: dict) -> dict:
    """What /prompt takes."""
    ids = {key: str(number) for number, key in enumerate(workflow.nodes, 1)}
    prompt = {}
    for key, node in workflow.nodes.items():
        links = {name: [ids[x.key], x.slot] for name, x in node.inputs.items() if isinstance(x, Link)}
        prompt[ids[key]] = {
            "inputs": {**widget_values(node, infos[node.type]), **links},
            "class_type": node.type,
            "_meta": {"title": infos[node.type]["display_name"]},
        }
    return prompt


def graph(name: str, workflow: Workflow, infos: dict) -> dict:
    """What the editor opens."""
    places, groups = layout(workflow, infos)
    ids = {key: number for number, key in enumerate(workflow.nodes, 1)}
    links = list(links_of(workflow, infos, ids))
    nodes = [
        graph_node(ids[key], node, infos[node.type], links, places[key], order, workflow)
        for order, (key, node) in enumerate(workflow.nodes.items(), 1)
    ]
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{RELEASES['turbo'].model.repository.page}#{name}")),
        "revision": 0,
        "last_node_id": len(nodes) + 1,
        "last_link_id": len(links),
        "nodes": [note_node(len(nodes) + 1, workflow), *nodes],
        "links": links,
        "groups": groups,
        "models": [missing_model(workflow, file) for file in companions(workflow)],
        "config": {},
        "extra": {"ds": {"scale": 0.8, "offset": [NOTE_SIZE[0] + 120, 200]}},
        "version": 0.4,
    }


def links_of(workflow: Workflow, infos: dict, ids: dict[str, int]) -> Iterator[list]:
    """[id, from node, from slot, to node, to slot, type] of every link."""
    number = 0
    for key, node in workflow.nodes.items():
        for slot, name in enumerate(sockets(node, infos[node.type])):
            source = node.inputs.get(name)
            if source is not None:
                number += 1
                type_ = infos[workflow.nodes[source.key].type]["output"][source.slot]
                yield [number, ids[source.key], source.slot, ids[key], slot, type_]


def sockets(node: Node, info: dict) -> dict[str, tuple[str, dict, bool]]:
    """The inputs that aren't widgets, then the linked widgets."""
    inputs = inputs_of(info)
    linked = {name: entry for name, entry in inputs.items() if isinstance(node.inputs.get(name), Link)}
    return {name: entry for name, entry in inputs.items() if entry[0] not in WIDGETS} | linked


def graph_node(number: int, node: Node, info: dict, links: list, place: tuple, order: int, workflow: Workflow) -> dict:
    into = {slot: link for link, _, _, target, slot, _ in links if target == number}
    inputs = [
        {
            "name": name,
            "type": type_,
            "link": into.get(slot),
            **({"shape": 7} if optional else {}),
            **({"widget": {"name": name}} if type_ in WIDGETS else {}),
        }
        for slot, (name, (type_, _, optional)) in enumerate(sockets(node, info).items())
    ]
    outputs = []
    for slot, (type_, name) in enumerate(zip(info["output"], info["output_name"], strict=True)):
        out = [link for link, source, from_slot, *_ in links if (source, from_slot) == (number, slot)]
        outputs.append({"name": name, "type": type_, "links": out or None})
    module = info["python_module"].split(".")
    properties = {
        "cnr_id": module[1] if module[0] == "custom_nodes" else "comfy-core",
        "Node name for S&R": node.type,
    }
    if node.type == "AudioXLoad":  # the editor looks only for what a widget names
        properties["models"] = [missing_model(workflow, RELEASES[workflow.variant].model)]
    return {
        "id": number,
        "type": node.type,
        "pos": place[:2],
        "size": place[2:],
        "flags": {},
        "order": order,
        "mode": 0,
        "inputs": inputs,
        "outputs": outputs,
        "properties": properties,
        "widgets_values": saved_widget_values(node, info),
    }


NOTE_SIZE = (380, 420)
TITLE, GAP, MARGIN, COLUMN_GAP = 30, 30, 20, 60


def note_node(number: int, workflow: Workflow) -> dict:
    return {
        "id": number,
        "type": "MarkdownNote",
        "pos": [-NOTE_SIZE[0] - COLUMN_GAP, 0],
        "size": list(NOTE_SIZE),
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": "Read me",
        "properties": {},
        "widgets_values": [note(workflow)],
        "color": "#222",
        "bgcolor": "#000",
    }


WIDTH = {"AudioXLoad": 460, "AudioXEncodeText": 400, "CLIPTextEncode": 400, "SaveVideo": 400, "AudioXSaveSound": 400}
PREVIEW = {
    "LoadVideo": 340,
    "LoadImage": 260,
    "LoadAudio": 60,
    "SaveVideo": 260,
    "SaveAudio": 60,
    "AudioXSaveSound": 300,
    "AudioXMaskRange": 80,
    "AudioXEncodeVideo": 88,  # the range strip, and room for the Vue renderer's higher rows
}


def height(node: Node, info: dict) -> int:
    """Height of a node's body in the editor."""
    slots = max(len(sockets(node, info)), len(info["output"]))
    lines = sum(
        110 if options.get("multiline") else 26 for type_, options, _ in inputs_of(info).values() if type_ in WIDGETS
    )
    extra = len(saved_widget_values(node, info)) - len(widget_values(node, info))
    return 20 + 20 * slots + lines + 26 * extra + PREVIEW.get(node.type, 0)


def layout(workflow: Workflow, infos: dict) -> tuple[dict[str, list], list[dict]]:
    """[x, y, width, height] of each node, in groups from left to right, and the groups."""
    places, groups, x = {}, [], 0
    for number, title in enumerate((LOAD, PROMPT, SAMPLE, RESULT), 1):
        keys = [key for key, node in workflow.nodes.items() if node.group == title]
        width = max(WIDTH.get(workflow.nodes[key].type, 320) for key in keys)
        y = TITLE + MARGIN + 40
        for key in keys:
            node = workflow.nodes[key]
            places[key] = [x + MARGIN, y, width, height(node, infos[node.type])]
            y += places[key][3] + TITLE + GAP
        bounding = [x, 0, width + 2 * MARGIN, y - TITLE - GAP + MARGIN]
        groups.append(
            {
                "id": number,
                "title": title,
                "bounding": bounding,
                "color": "#3f789e",
                "font_size": 24,
                "flags": {},
            }
        )
        x += bounding[2] + COLUMN_GAP
    return places, groups


def files(infos: dict) -> dict[Path, str]:
    """Path and text of every shipped workflow."""
    written = {}
    for name, workflow in WORKFLOWS.items():
        for path, content in (
            (FOLDER / f"{name}.json", graph(name, workflow, infos)),
            (FOLDER / "api" / f"{name}.json", api_prompt(workflow, infos)),
        ):
            written[path] = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return written


def live_infos() -> dict:
    """/object_info of a ComfyUI with the pack."""
    from devtools.comfy_server import ComfyServer
    from tools.development import COMFYUI, comfyui_tree

    with ComfyServer(comfyui_tree(COMFYUI), pack=ROOT) as comfy:
        return comfy.object_info()


def main() -> int:
    for path, content in files(live_infos()).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
