"""The pack in a real ComfyUI: it loads, and every node explains itself."""

import pytest

from audiox_core.tasks import TASKS

NODES = {
    "AudioXLoad", "AudioXEncodeText", "AudioXEncodeVideo", "AudioXEncodeAudio", "AudioXEmptyLatent", "AudioXSample",
    "AudioXVAEDecode", "AudioXVAEEncode", "AudioXMaskRange", "AudioXMuxVideo", "AudioXSaveSound",
}


@pytest.fixture(scope="module", params=["comfy", "comfy_0163"])
def nodes(request) -> dict:
    """/object_info of our nodes, in the newest and in the oldest ComfyUI."""
    every = request.getfixturevalue(request.param).object_info()
    return {name: info for name, info in every.items() if info["python_module"] == "custom_nodes.audiox-native"}


def options_of(info: dict) -> dict[str, dict]:
    """Input name to its options (`tooltip`, `default`, ...)."""
    inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    return {name: (definition[1] if len(definition) > 1 else {}) for name, definition in inputs.items()}


def test_all_nodes_are_there_in_one_category(nodes):
    assert set(nodes) == NODES
    assert {info["category"] for info in nodes.values()} == {"audio/AudioX"}


def test_every_input_and_output_has_a_tooltip(nodes):
    silent = [f"{node}.{name}" for node, info in nodes.items() for name, options in options_of(info).items()
              if not options.get("tooltip")]
    silent += [f"{node} output {number}" for node, info in nodes.items()
               for number, tooltip in enumerate(info.get("output_tooltips") or [None]) if not tooltip]
    assert not silent


def test_every_node_has_a_name_and_a_description(nodes):
    assert all("AudioX" in info["display_name"] and info["description"] for info in nodes.values())
    assert len({info["display_name"] for info in nodes.values()}) == len(nodes)


def test_the_loader_tells_the_licence_of_the_weights(nodes):
    described = nodes["AudioXLoad"]["description"]
    assert "CC-BY-NC 4.0" in described
    assert "watermark" in described


def test_the_loader_offers_the_model_and_not_its_companions(comfy):
    offered = comfy.options("AudioXLoad", "checkpoint")
    demo = ["demo_turbo.safetensors", "demo_base.safetensors"]
    assert offered == ["AudioX-Turbo/audiox_turbo/audiox_turbo.ckpt", *demo]


def test_tasks_come_with_their_sentences(nodes):
    task = options_of(nodes["AudioXEncodeText"])["task"]
    assert task["sentences"] == TASKS
    assert task["options"] == ["own words", *TASKS]
