"""The shipped workflows: graph and prompt say the same, and a real ComfyUI runs them as they are."""

import json

import av
import numpy as np
import pytest

from devtools.comfy_server import PACK_NAME
from devtools.graphs import BASE, ids_of, read_audio, shipped, video_packets
from devtools.media_maker import make_demo_video
from devtools.paths import ROOT
from devtools.promises import WORKFLOWS, without_titles
from tools import make_blueprints, make_workflows
from tools.development import COMFYUI

VIRTUAL = {"MarkdownNote", "Note"}
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3"}


@pytest.fixture(scope="module")
def infos(lab) -> dict:
    """/object_info of a ComfyUI with the pack."""
    return lab.object_info()


def graph(name: str) -> dict:
    return json.loads((ROOT / "workflows" / f"{name}.json").read_text("utf-8"))


def definitions(info: dict) -> dict[str, tuple[str, dict]]:
    """Input name -> (type, options) in the order in which the editor lays them out."""
    found = {}
    for kind in ("required", "optional"):
        for name in info["input_order"].get(kind, []):
            type_, *options = info["input"][kind][name]
            found[name] = ("COMBO" if isinstance(type_, list) else type_, options[0] if options else {})
    return found


def widgets(info: dict) -> list[str | None]:
    """Names of a node's stored widget values; None for those that never reach the server."""
    names = []
    for name, (type_, options) in definitions(info).items():
        if type_ in WIDGETS:
            names.append(name)
            names += [None] * bool(options.get("control_after_generate") or name in ("seed", "noise_seed"))
            names += [None] * bool(options.get("image_upload") or options.get("video_upload"))
            names += [None, None] * bool(options.get("audio_upload"))
    return names


def to_prompt(stored: dict, infos: dict) -> dict:
    """What the editor sends to /prompt for a graph, without titles."""
    links = {link[0]: link for link in stored["links"]}
    prompt = {}
    for node in stored["nodes"]:
        if node["type"] in VIRTUAL:
            continue
        names = widgets(infos[node["type"]])
        values = dict(zip(names, node["widgets_values"], strict=True))
        values.pop(None, None)
        for entry in node["inputs"]:
            if entry["link"] is not None:
                _, source, slot, *_ = links[entry["link"]]
                values[entry["name"]] = [str(source), slot]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": values}
    return prompt


# The files


def test_all_tasks_are_there():
    turbo = {"t2a", "t2m", "v2a", "v2m", "tv2a", "tv2m", "i2a", "a2m", "long_v2a", "loop", "variation", "inpaint"}
    tasks = {f"{task}_turbo" for task in turbo | {"continue", "lead_in"}}
    tasks |= {f"{task}_base" for task in ("t2a", "v2a", "inpaint")} | {"v2a_base_guided", "inpaint_maf_mmdit"}
    tasks |= {f"{task}_{variant}" for task in ("t2a", "v2a") for variant in ("audiox", "maf", "maf_mmdit")}
    core = {f"{task}_{variant}_core_nodes" for task in ("t2a", "v2a") for variant in ("turbo", "base")}
    core |= {"t2a_audiox_core_nodes", "inpaint_turbo_core_nodes", "inpaint_audiox_core_nodes"}
    assert set(WORKFLOWS) == tasks | core == {path.stem for path in (ROOT / "workflows" / "api").glob("*.json")}


def test_the_files_are_what_the_tool_writes(infos, lab):
    version = lab.get("/system_stats")["system"]["comfyui_version"]
    if version != COMFYUI:
        pytest.skip(f"the files are written with ComfyUI {COMFYUI}, not {version}")
    stale = [path.name for path, text in make_workflows.files(infos).items() if path.read_text("utf-8") != text]
    assert not stale, "run python -m tools.make_workflows"


def test_every_graph_has_its_picture():
    pictures = {path.stem: path for path in (ROOT / "workflows").glob("*.jpg")}
    assert set(pictures) == set(WORKFLOWS), "run python -m tools.make_thumbnails"
    for path in pictures.values():
        assert 5000 < path.stat().st_size < 30_000
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
        assert (frame.width, frame.height) == (640, 360)
        assert frame.to_ndarray(format="gray").std() > 10  # not an empty canvas


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_graph_is_its_prompt(name, infos):
    assert to_prompt(graph(name), infos) == without_titles(shipped(name))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_links_join_like_types(name, infos):
    stored = graph(name)
    nodes = {node["id"]: node for node in stored["nodes"]}
    for number, source, from_slot, target, to_slot, type_ in stored["links"]:
        out, into = nodes[source]["outputs"][from_slot], nodes[target]["inputs"][to_slot]
        assert number in out["links"]
        assert into["link"] == number
        assert out["type"] == into["type"] == type_ == infos[nodes[source]["type"]]["output"][from_slot]
        assert definitions(infos[nodes[target]["type"]])[into["name"]][0] == type_
    linked = [entry["link"] for node in stored["nodes"] for entry in node["inputs"] if entry["link"] is not None]
    assert sorted(linked) == [link[0] for link in stored["links"]]
    assert stored["last_link_id"] == len(stored["links"])
    assert stored["last_node_id"] == max(nodes)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_graph_is_laid_out_in_its_groups(name):
    stored = graph(name)
    boxes = [(*node["pos"], *node["size"]) for node in stored["nodes"]]
    for index, (x, y, width, height) in enumerate(boxes):
        for x2, y2, width2, height2 in boxes[:index]:
            apart = x + width <= x2 or x2 + width2 <= x or y + height <= y2 - 30 or y2 + height2 <= y - 30
            assert apart, f"nodes {index} overlaps another one"
    for node in stored["nodes"]:
        (x, y), (width, height) = node["pos"], node["size"]
        inside = [
            group["title"]
            for group in stored["groups"]
            if group["bounding"][0] <= x
            and x + width <= group["bounding"][0] + group["bounding"][2]
            and group["bounding"][1] <= y - 30
            and y + height <= group["bounding"][1] + group["bounding"][3]
        ]
        assert len(inside) == (node["type"] not in VIRTUAL)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_note_tells_files_and_licence(name):
    stored = graph(name)
    words = next(node for node in stored["nodes"] if node["type"] == "MarkdownNote")["widgets_values"][0]
    assert all(word in words for word in ("models/audiox", "T5", "CC-BY-NC 4.0"))
    assert ("watermark" in words) == ("turbo" in name or "base" in name)
    loader = next(node for node in stored["nodes"] if node["type"] == "AudioXLoad")
    assert loader["properties"]["models"][0]["name"] == loader["widgets_values"][0]


def test_the_blueprints_are_what_the_tool_writes(infos, lab):
    version = lab.get("/system_stats")["system"]["comfyui_version"]
    if version != COMFYUI:
        pytest.skip(f"the files are written with ComfyUI {COMFYUI}, not {version}")
    written = make_blueprints.files(infos)
    assert set(written) == set((ROOT / "subgraphs").glob("*.json"))
    stale = [path.name for path, text in written.items() if path.read_text("utf-8") != text]
    assert not stale, "run python -m tools.make_blueprints"


@pytest.mark.parametrize("server", ["lab", "comfy_0163"])
def test_the_server_lists_the_blueprints(server, request):
    server = request.getfixturevalue(server)
    listed = {
        key: entry
        for key, entry in server.get("/global_subgraphs").items()
        if entry["info"]["node_pack"] == f"custom_nodes.{PACK_NAME}"
    }
    assert {entry["name"] for entry in listed.values()} == set(make_blueprints.BLUEPRINTS)
    for key, entry in listed.items():
        stored = json.loads(server.get(f"/global_subgraphs/{key}")["data"])
        assert stored["definitions"]["subgraphs"][0]["name"] == entry["name"]


MISSING_MODEL = {"name", "url", "directory"}


@pytest.mark.parametrize("server", ["lab", "oldest"])
def test_the_editor_finds_the_models_that_a_graph_asks_for(server, request):
    """The entries of its dialog of missing models: every folder is known, and a file that is there is found."""
    server = request.getfixturevalue(server)
    listed = {entry["name"] for entry in server.get("/experiment/models/audiox")}
    for name in WORKFLOWS:
        stored = graph(name)
        loader = next(node for node in stored["nodes"] if node["type"] == "AudioXLoad")
        asked = [*loader["properties"]["models"], *stored["models"]]
        for entry in asked:
            assert set(entry) - {"hash", "hash_type"} == MISSING_MODEL
            assert entry["directory"] == "audiox"
            assert entry["url"].startswith("https://huggingface.co/")
            assert entry["url"].endswith("/" + entry["name"].split("/")[-1])
        there = {entry["name"] for entry in asked} - {BASE}  # the oldest ComfyUI's model folder has no Base
        assert there <= listed
        sees = "AudioXEncodeVideo" in str(stored) and "_audiox" not in name  # the first AudioX has no Synchformer
        assert any("synchformer" in entry["name"] for entry in asked) == sees


# The runs


def short(prompt: dict) -> dict:
    """Base in 4 steps, to save time."""
    for key in [*ids_of(prompt, "AudioXSample"), *ids_of(prompt, "KSampler")]:
        prompt[key]["inputs"]["steps"] = 4
    return prompt


def check_sound(samples: np.ndarray, rate: int, peak: float = 1.0) -> None:
    assert rate == 44100
    assert samples.shape[0] == 2
    assert np.isfinite(samples).all()
    assert np.sqrt(np.mean(samples**2)) > 1e-3
    assert np.abs(samples).max() <= peak


def check_video(path, source, seconds: float) -> None:
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == round(25 * seconds)
    samples, rate = read_audio(path)
    check_sound(samples, rate, peak=1.05)  # what went in does not exceed 1; AAC rings a little around loud peaks
    assert 0 <= samples.shape[1] - seconds * 44100 <= 2 * 1024  # AAC comes in blocks of 1024
    with av.open(str(path)) as container:
        assert container.duration / av.time_base == pytest.approx(seconds, abs=1e-3)
    assert video_packets(path) == video_packets(source)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_real_comfyui_runs_it(name, lab, example_video):
    check_run(lab, name, shipped(name), example_video)


def test_a_video_of_ten_seconds(lab, tmp_path):
    prompt = shipped("v2a_turbo")
    source = make_demo_video(tmp_path / "ten_seconds.mp4")
    prompt[ids_of(prompt, "LoadVideo")[0]]["inputs"]["file"] = lab.place_input(source)
    check_run(lab, "v2a_turbo", prompt, source, 10.0)


OLDEST = ["t2a_turbo", "v2a_turbo", "t2a_turbo_core_nodes", "inpaint_turbo", "long_v2a_turbo"]
OLDEST += ["t2a_audiox", "t2a_audiox_core_nodes", "v2a_maf", "inpaint_audiox_core_nodes", "t2a_maf_mmdit"]


@pytest.fixture(scope="module")
def oldest(comfy_0163, example_video, examples, family_dirs):
    """The oldest ComfyUI with the files that the shipped workflows name."""
    for path in (example_video, *examples):
        comfy_0163.place_input(path)
    for path in family_dirs:
        comfy_0163.place_model(path)
    return comfy_0163


@pytest.mark.parametrize("name", OLDEST)
def test_the_oldest_comfyui_runs_it(name, oldest, example_video):
    check_run(oldest, name, shipped(name), example_video)


LENGTHS = {"loop": 8, "variation": 5, "inpaint": 5, "continue": 15, "lead": 10}
"""Task -> seconds of its sound where it is not 10: the example sound is 5 s long."""


def check_run(server, name: str, prompt: dict, source, seconds: float = 1.0) -> None:
    """Run a shipped prompt, nothing changed but the number of steps, and look at what it saved."""
    videos = ids_of(prompt, "SaveVideo")
    [save] = videos or ids_of(prompt, "SaveAudio") or ids_of(prompt, "AudioXSaveSound")
    item = server.run(short(prompt)).files(save)[0]
    path = server.output_path(item)
    if videos:
        check_video(path, source, seconds)
        return
    assert path.suffix == ".flac"
    samples, rate = read_audio(path)
    check_sound(samples, rate)
    assert samples.shape[1] == LENGTHS.get(name.split("_")[0], 10) * 44100
