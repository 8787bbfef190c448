"""Write the shipped workflows: `workflows/NAME.json` for the editor and `workflows/api/NAME.json` for /prompt.

Run it after a change here or in a node's inputs: `python tools/make_workflows.py`. Both files come from one
description, and order, types and defaults of the inputs from a live ComfyUI, so the two cannot drift apart.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "workflows"

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3"}
"""Types of inputs that a node shows as a widget; every other one is a socket."""

LOAD, PROMPT, SAMPLE, RESULT = "1 Load", "2 Prompt", "3 Sample", "4 Result"

REPOSITORY = "https://huggingface.co/HKUSTAudio/AudioX-Turbo"
FILES = {"turbo": "audiox_turbo/audiox_turbo.ckpt", "base": "pretrained_ckpt/pretrained_ckpt.ckpt"}
VIDEO = "example.mp4"
CORE_LATENT_SECONDS = 11.0  # gives the model's 236 latents; 10 would give 216


@dataclass(frozen=True)
class Link:
    """Output `slot` of the node called `key`."""

    key: str
    slot: int = 0


@dataclass(frozen=True)
class Node:
    """One node: its class, the group it stands in, and the inputs that are not left at their defaults."""

    type: str
    group: str
    inputs: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Workflow:
    """Nodes by key, in the order in which they run, and the words of the note."""

    title: str
    nodes: dict[str, Node]
    variant: str
    summary: str


MODEL, VAE, CLIP, VIDEO_ENCODER = (Link("load", slot) for slot in range(4))


def load(variant: str) -> dict[str, Node]:
    return {"load": Node("AudioXLoad", LOAD, {"checkpoint": f"AudioX-Turbo/{FILES[variant]}"})}


def text(variant: str, prompt: str, title: str) -> Workflow:
    """Text to a FLAC file and its picture, with AudioX's own nodes."""
    nodes = {
        **load(variant),
        "prompt": Node("AudioXEncodeText", PROMPT, {"clip": CLIP, "text": prompt}),
        **own_sampling(Link("prompt")),
        "save": Node("AudioXSaveSound", RESULT, {"audio": Link("sound"), "filename_prefix": f"audio/audiox_{variant}"}),
    }
    return Workflow(title, nodes, variant, f"The text in group 2 becomes 10 s of {STEPS[variant]}")


def video(variant: str, prompt: str, title: str) -> Workflow:
    """Video and text to the video with sound, with AudioX's own nodes."""
    nodes = {
        **load(variant),
        "video": Node("LoadVideo", LOAD, {"file": VIDEO}),
        "prompt": Node("AudioXEncodeText", PROMPT, {"clip": CLIP, "text": prompt}),
        "seen": encode_video(Link("prompt")),
        **own_sampling(Link("seen")),
        **save_video(variant, Link("sound")),
    }
    return Workflow(title, nodes, variant, VIDEO_SUMMARY.format(STEPS[variant]))


def text_core(variant: str, prompt: str, title: str) -> Workflow:
    """Text to a FLAC file; of our nodes only the loader."""
    nodes = {
        **load(variant),
        "prompt": Node("CLIPTextEncode", PROMPT, {"clip": CLIP, "text": prompt}),
        **core_sampling(variant, Link("prompt")),
        "save": save_audio(variant, Link("cut")),
    }
    return Workflow(title, nodes, variant, CORE_SUMMARY.format(STEPS[variant]))


def video_core(variant: str, prompt: str, title: str) -> Workflow:
    """Video and text to the video with sound; of our nodes the loader, the video prompt and the muxer."""
    nodes = {
        **load(variant),
        "video": Node("LoadVideo", LOAD, {"file": VIDEO}),
        "prompt": Node("CLIPTextEncode", PROMPT, {"clip": CLIP, "text": prompt}),
        "seen": encode_video(Link("prompt")),
        **core_sampling(variant, Link("seen")),
        **save_video(variant, Link("cut")),
    }
    return Workflow(title, nodes, variant, CORE_VIDEO_SUMMARY.format(STEPS[variant]))


def encode_video(conditioning: Link) -> Node:
    return Node(
        "AudioXEncodeVideo",
        PROMPT,
        {"video_encoder": VIDEO_ENCODER, "video": Link("video"), "conditioning": conditioning},
    )


def own_sampling(positive: Link) -> dict[str, Node]:
    return {
        "latent": Node("AudioXEmptyLatent", SAMPLE),
        "sample": Node("AudioXSample", SAMPLE, {"model": MODEL, "positive": positive, "latent": Link("latent")}),
        "sound": Node("AudioXVAEDecode", RESULT, {"vae": VAE, "latent": Link("sample")}),
    }


def core_sampling(variant: str, positive: Link) -> dict[str, Node]:
    settings = {
        "turbo": {"steps": 4, "cfg": 1.0, "sampler_name": "lcm", "scheduler": "simple"},
        "base": {"steps": 50, "cfg": 6.0, "sampler_name": "euler", "scheduler": "simple"},
    }[variant]
    links = {"model": MODEL, "positive": positive, "negative": Link("nothing"), "latent_image": Link("latent")}
    return {
        "nothing": Node("ConditioningZeroOut", PROMPT, {"conditioning": positive}),
        "latent": Node("EmptyLatentAudio", SAMPLE, {"seconds": CORE_LATENT_SECONDS}),
        "sample": Node("KSampler", SAMPLE, {**links, **settings}),
        "sound": Node("VAEDecodeAudio", RESULT, {"vae": VAE, "samples": Link("sample")}),
        "cut": Node("TrimAudioDuration", RESULT, {"audio": Link("sound"), "duration": 10.0}),
    }


def save_audio(variant: str, sound: Link) -> Node:
    return Node("SaveAudio", RESULT, {"audio": sound, "filename_prefix": f"audio/audiox_{variant}"})


def save_video(variant: str, sound: Link) -> dict[str, Node]:
    return {
        "mux": Node("AudioXMuxVideo", RESULT, {"video": Link("video"), "audio": sound}),
        "save": Node("SaveVideo", RESULT, {"video": Link("mux"), "filename_prefix": f"video/audiox_{variant}"}),
    }


STEPS = {
    "turbo": "44.1 kHz stereo sound, by AudioX-Turbo in 4 steps.",
    "base": "44.1 kHz stereo sound, by AudioX-Base, the teacher, in 50 steps with guidance 6.",
}
VIDEO_SUMMARY = "The first 10 s of the video and the text in group 2 become {} The pictures are copied as they are."
CORE_SUMMARY = (
    "Nodes of ComfyUI only, behind Load AudioX: the text becomes {} Empty Latent Audio must stay at 11 s, the one "
    "length this model makes; Trim Audio Duration cuts it to 10."
)
CORE_VIDEO_SUMMARY = (
    "ComfyUI's own sampling and decoding: the first 10 s of the video and the text become {} Empty Latent Audio must "
    "stay at 11 s, the one length this model makes. Mux copies the pictures; Create Video would encode them anew."
)

GENERAL, MUSIC = "Generate general audio for the video", "Generate music for the video"
TYPING, PIANO = "Typing on a keyboard", "A music with piano and violin"

WORKFLOWS = {
    "t2a_turbo": text("turbo", TYPING, "Text to audio"),
    "t2m_turbo": text("turbo", PIANO, "Text to music"),
    "v2a_turbo": video("turbo", GENERAL, "Video to audio"),
    "v2m_turbo": video("turbo", MUSIC, "Video to music"),
    "tv2a_turbo": video("turbo", "Ocean waves crashing with people laughing", "Text and video to audio"),
    "tv2m_turbo": video("turbo", "Generate music with piano instrument", "Text and video to music"),
    "t2a_base": text("base", TYPING, "Text to audio"),
    "v2a_base": video("base", GENERAL, "Video to audio"),
    "t2a_turbo_core_nodes": text_core("turbo", TYPING, "Text to audio"),
    "t2a_base_core_nodes": text_core("base", TYPING, "Text to audio"),
    "v2a_turbo_core_nodes": video_core("turbo", GENERAL, "Video to audio"),
    "v2a_base_core_nodes": video_core("base", GENERAL, "Video to audio"),
}


def note(workflow: Workflow) -> str:
    """What a user has to know before the first run."""
    videos = f" Put a video into `ComfyUI/input` and choose it in place of `{VIDEO}`."
    videos = videos if "video" in workflow.nodes else ""
    return "\n\n".join([
        f"**{workflow.title}.** {workflow.summary}",
        f"**Model:** clone [HKUSTAudio/AudioX-Turbo]({REPOSITORY}) into `ComfyUI/models/audiox`, so that there is "
        f"`models/audiox/AudioX-Turbo/{FILES[workflow.variant]}`; keep its other folders beside it.{videos}",
        "**Text encoder:** that repository has no T5. Put `model.safetensors` and `tokenizer.json` of "
        "[t5-base](https://huggingface.co/google-t5/t5-base) into `models/audiox/AudioX-Turbo/t5-base`, or choose a "
        "`t5-base.safetensors` of `models/text_encoders` as text_encoder.",
        "**Licence of the weights:** CC-BY-NC 4.0, no commercial use; the sound they make is watermarked.",
    ])


# Inputs, as a live ComfyUI tells them


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
    """What a widget shows on a new node."""
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
        name: node.inputs[name] if name in node.inputs else default_of(type_, options)
        for name, (type_, options, _) in inputs.items()
        if type_ in WIDGETS
    }


def saved_widget_values(node: Node, info: dict) -> list:
    """The same as the editor stores them: with the values of the widgets that only the editor has."""
    values = []
    inputs = inputs_of(info)
    for name, value in widget_values(node, info).items():
        values.append(value)
        options = inputs[name][1]
        if options.get("control_after_generate"):
            values.append("randomize")
        if any(options.get(f"{kind}_upload") for kind in ("image", "video", "audio")):
            values.append("image")  # the upload button
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
        graph_node(ids[key], node, infos[node.type], links, places[key], order)
        for order, (key, node) in enumerate(workflow.nodes.items(), 1)
    ]
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{REPOSITORY}#{name}")),
        "revision": 0,
        "last_node_id": len(nodes) + 1,
        "last_link_id": len(links),
        "nodes": [note_node(len(nodes) + 1, workflow), *nodes],
        "links": links,
        "groups": groups,
        "config": {},
        "extra": {"ds": {"scale": 0.8, "offset": [NOTE_SIZE[0] + 120, 200]}},
        "version": 0.4,
    }


def links_of(workflow: Workflow, infos: dict, ids: dict[str, int]) -> Iterator[list]:
    """[id, from node, from slot, to node, to slot, type] of every link."""
    number = 0
    for key, node in workflow.nodes.items():
        for slot, name in enumerate(sockets(infos[node.type])):
            source = node.inputs.get(name)
            if source is not None:
                number += 1
                type_ = infos[workflow.nodes[source.key].type]["output"][source.slot]
                yield [number, ids[source.key], source.slot, ids[key], slot, type_]


def sockets(info: dict) -> dict[str, tuple[str, dict, bool]]:
    """The inputs that are no widgets."""
    return {name: entry for name, entry in inputs_of(info).items() if entry[0] not in WIDGETS}


def graph_node(number: int, node: Node, info: dict, links: list, place: tuple, order: int) -> dict:
    into = {slot: link for link, _, _, target, slot, _ in links if target == number}
    inputs = [
        {"name": name, "type": type_, "link": into.get(slot), **({"shape": 7} if optional else {})}
        for slot, (name, (type_, _, optional)) in enumerate(sockets(info).items())
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
    if node.type == "AudioXLoad":
        path = node.inputs["checkpoint"]
        url = f"{REPOSITORY}/resolve/main/{path.split('/', 1)[1]}"
        properties["models"] = [{"name": path, "url": url, "directory": "audiox"}]
    return {
        "id": number, "type": node.type, "pos": place[:2], "size": place[2:], "flags": {}, "order": order, "mode": 0,
        "inputs": inputs, "outputs": outputs, "properties": properties,
        "widgets_values": saved_widget_values(node, info),
    }  # fmt: skip


NOTE_SIZE = (380, 420)
TITLE, GAP, MARGIN, COLUMN_GAP = 30, 30, 20, 60


def note_node(number: int, workflow: Workflow) -> dict:
    return {
        "id": number, "type": "MarkdownNote", "pos": [-NOTE_SIZE[0] - COLUMN_GAP, 0], "size": list(NOTE_SIZE),
        "flags": {}, "order": 0, "mode": 0, "inputs": [], "outputs": [], "title": "Read me", "properties": {},
        "widgets_values": [note(workflow)], "color": "#432", "bgcolor": "#653",
    }  # fmt: skip


WIDTH = {"AudioXLoad": 400, "AudioXEncodeText": 400, "CLIPTextEncode": 400, "SaveVideo": 400, "AudioXSaveSound": 400}
PREVIEW = {"LoadVideo": 260, "SaveVideo": 260, "SaveAudio": 60, "AudioXSaveSound": 300}


def height(node: Node, info: dict) -> int:
    """Height of a node's body in the editor."""
    slots = max(len(sockets(info)), len(info["output"]))
    lines = sum(
        110 if options.get("multiline") else 26
        for type_, options, _ in inputs_of(info).values()
        if type_ in WIDGETS
    )
    extra = len(saved_widget_values(node, info)) - len(widget_values(node, info))
    return 20 + 20 * slots + lines + 26 * extra + PREVIEW.get(node.type, 0)


def layout(workflow: Workflow, infos: dict) -> tuple[dict[str, list], list[dict]]:
    """Groups from left to right with their nodes below one another: [x, y, width, height] of nodes, and groups."""
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
        groups.append({
            "id": number, "title": title, "bounding": bounding, "color": "#3f789e", "font_size": 24, "flags": {},
        })  # fmt: skip
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


def main() -> int:
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]
    from comfy_server import ComfyServer
    from dev import COMFYUI, comfyui_tree

    with ComfyServer(comfyui_tree(COMFYUI), pack=ROOT) as comfy:
        infos = comfy.object_info()
    for path, content in files(infos).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
