"""The pack in a real ComfyUI: it loads, and every node explains itself."""

import re
import urllib.request

import pytest

from audiox_core.release.tasks import TASKS
from devtools.paths import ROOT
from devtools.promises import PROMISED

PAGES = {path.stem: path for path in (ROOT / "web" / "docs").glob("*.md")}


TYPED = {
    "audiox",
    "foley",
    "sound effects",
    "sfx",
    "soundtrack",
    "music",
    "text to audio",
    "text to music",
    "text to sound",
    "video to audio",
    "video to sound",
    "video to music",
    "image to audio",
    "audio to audio",
    "inpaint audio",
    "extend audio",
    "continue music",
    "variation",
    "loop",
    "add audio to video",
    "latent to audio",
}
"""What people type into the node search who do not know our names."""


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
    assert set(nodes) >= PROMISED
    assert {info["category"] for info in nodes.values()} == {"audio/AudioX"}


def test_every_input_and_output_has_a_tooltip(nodes):
    silent = [
        f"{node}.{name}"
        for node, info in nodes.items()
        for name, options in options_of(info).items()
        if not options.get("tooltip")
    ]
    silent += [
        f"{node} output {number}"
        for node, info in nodes.items()
        for number, tooltip in enumerate(info.get("output_tooltips") or [None])
        if not tooltip
    ]
    assert not silent


def test_every_node_has_a_name_and_a_description(nodes):
    assert all("AudioX" in info["display_name"] and info["description"] for info in nodes.values())
    assert len({info["display_name"] for info in nodes.values()}) == len(nodes)


def test_every_node_has_a_help_page_under_its_name(nodes):
    assert set(PAGES) == set(nodes)
    titles = {name: path.read_text("utf-8").splitlines()[0] for name, path in PAGES.items()}
    assert titles == {name: f"# {info['display_name']}" for name, info in nodes.items()}


def test_help_pages_name_only_inputs_that_are_there(nodes):
    """What stands in bold at the beginning of a paragraph is an input or an output, or several, or a whole sentence."""
    for name, path in PAGES.items():
        known = {*options_of(nodes[name]), *nodes[name]["output_name"]}
        leads = re.findall(r"^\*\*([a-z_]+)\.?\*\*", path.read_text("utf-8"), re.M)
        assert set(leads) <= known, name


def test_comfyui_serves_the_help_pages(comfy):
    for name, path in PAGES.items():
        with urllib.request.urlopen(f"http://{comfy.address}/extensions/audiox-native/docs/{name}.md") as answer:
            assert answer.read().decode() == path.read_text("utf-8")


def test_the_search_finds_what_people_type(nodes):
    aliases = {name: set(info["search_aliases"]) for name, info in nodes.items()}
    assert all("audiox" in words for words in aliases.values())
    assert not TYPED - set().union(*aliases.values())


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
