"""The pack in ComfyUI's page: a real Chromium, the page that the release asks for, and what a user does in it.

`python3 tools/dev.py browser` fetches the pages and runs every look. Pictures of the page go to the folder that
AUDIOX_SCREENSHOTS names.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from audiox_core.demo import NAMES
from audiox_core.release.tasks import TASKS
from devtools.browser import Browser, chromium_path
from devtools.comfy_server import PACK_NAME, ComfyServer
from devtools.graphs import ids_of, shipped
from devtools.paths import ROOT
from devtools.promises import WORKFLOWS, without_titles
from tools.development import COMFYUI, OLDEST_COMFYUI, comfyui_tree, frontend_files
from tools.make_help_pictures import picture_path

EXTENSIONS = {f"AudioXNative.{name}" for name in ("Tasks", "Sound", "Model", "Commands", "Range")}


class Look(NamedTuple):
    """A ComfyUI release, and how its page is set."""

    version: str
    vue: bool
    theme: str

    def __str__(self) -> str:
        return f"{self.version}-{'vue' if self.vue else 'canvas'}-{self.theme}"


LOOKS = [Look(COMFYUI, vue, theme) for vue in (False, True) for theme in ("dark", "light")]
LOOKS += [Look(OLDEST_COMFYUI, False, "dark"), Look(OLDEST_COMFYUI, True, "light")]

SHARE = [Look(COMFYUI, True, "dark"), Look(OLDEST_COMFYUI, False, "dark")]
"""What a plain run of the suite looks at: both releases, both ways to draw nodes. `--all-looks` adds the others."""


def pytest_generate_tests(metafunc):
    if "look" in metafunc.fixturenames:
        looks = LOOKS if metafunc.config.getoption("--all-looks") else SHARE
        metafunc.parametrize("look", looks, ids=str, indirect=True, scope="module")


@pytest.fixture(scope="module")
def servers(released_dir, family_dirs, example_video, examples):
    """Starts a ComfyUI with its page once per release; the files that the shipped workflows name are there."""
    started: dict[str, ComfyServer] = {}

    def server(version: str) -> ComfyServer:
        if not (frontend_files(version) / "index.html").is_file():
            pytest.skip(f"there is no page for ComfyUI {version}: run python3 tools/dev.py browser")
        if version not in started:
            made = ComfyServer(comfyui_tree(version), pack=ROOT, frontend=frontend_files(version))
            started[version] = made.__enter__()
            for path in (released_dir, *family_dirs):
                made.place_model(path)
            for path in (example_video, *examples):
                made.place_input(path)
        return started[version]

    yield server
    for each in started.values():
        each.__exit__()


@pytest.fixture(scope="module")
def look(request) -> Look:
    return request.param


@pytest.fixture(scope="module")
def server(look, servers) -> ComfyServer:
    return servers(look.version)


@pytest.fixture(scope="module")
def page(look, server):
    """ComfyUI's page in this look."""
    with opened_page(server, look) as browser:
        yield browser


@contextmanager
def opened_page(server: ComfyServer, look: Look, language: str = "en") -> Iterator[Browser]:
    """ComfyUI's page, loaded and idle, in a browser that has seen nothing before."""
    if chromium_path() is None:
        pytest.skip("there is no Chromium: install it, or name it in AUDIOX_CHROMIUM")
    server.post(
        "/settings",
        {
            "Comfy.TutorialCompleted": True,
            "Comfy.VueNodes.Enabled": look.vue,
            "Comfy.ColorPalette": look.theme,
            "Comfy.Execution.PreviewMethod": "auto",
            "Comfy.Locale": language,
        },
    )
    with Browser(chromium_path()) as browser:
        browser.open(f"http://{server.address}")
        browser.wait_for("window.app?.extensionManager && app.graph && document.querySelector('canvas')?.width")
        browser.wait_for("app.graph.nodes.length")  # the graph that a first visit opens
        yield browser


@pytest.fixture(autouse=True)
def no_problem_of_ours(request):
    """Every test also fails where one of our scripts broke."""
    yield
    if "page" in request.fixturenames:
        assert not ours(request.getfixturevalue("page"))


def ours(page: Browser) -> list[str]:
    """Errors of the page that name one of our scripts."""
    return [problem for problem in page.problems if f"/extensions/{PACK_NAME}/" in problem]


def show(page: Browser, look: Look, name: str, tmp_path: Path) -> None:
    """Keep a picture of the page."""
    folder = Path(os.environ.get("AUDIOX_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(folder / f"{look}-{name}.png")


OPEN = """
    const answer = await fetch(`/api/workflow_templates/%s/%s.json`)
    await app.loadGraphData(await answer.json(), true, true, '%s')
"""


def open_workflow(page: Browser, name: str) -> None:
    page.run(OPEN % (PACK_NAME, name, name))


def widget(node: str, name: str) -> str:
    """JavaScript for a widget of the first node of a class."""
    return f"app.graph.nodes.find(n => n.type === '{node}').widgets.find(w => w.name === '{name}')"


# The tests


def test_the_page_loads_the_pack(page):
    assert set(page.run("return app.extensions.map(e => e.name)")) >= EXTENSIONS


def test_a_broken_script_would_be_seen(page):
    script = f"/extensions/{PACK_NAME}/js/missing.js"
    page.run(f"await import('{script}').catch(() => 0)")
    assert ours(page)
    page.problems.clear()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_template_opens_and_means_its_prompt(name, page):
    open_workflow(page, name)
    stored = json.loads((ROOT / "workflows" / f"{name}.json").read_text("utf-8"))
    assert page.run("return app.graph.nodes.length") == len(stored["nodes"])
    missing = "return app.graph.nodes.filter(n => !LiteGraph.registered_node_types[n.type]).map(n => n.type)"
    assert page.run(missing) == []
    assert without_titles(page_prompt(page)) == without_titles(shipped(name))
    controls = "n.widgets?.filter(w => w.name === 'control_after_generate').map(w => w.value) ?? []"
    assert set(page.run(f"return app.graph.nodes.flatMap(n => {controls})")) <= {"randomize", "fixed"}


def page_prompt(page: Browser) -> dict:
    """What the page would queue."""
    prompt = page.run("return (await app.graphToPrompt()).output")
    for item in prompt.values():
        for player in ("audioUI", "video-preview"):  # ComfyUI's own widgets, which some releases send along
            item["inputs"].pop(player, None)
    return prompt


OUTSIDE = """app.graph.nodes.filter(n => n.type !== 'MarkdownNote').filter(n => !app.graph.groups.some(g => {
    const [x, y, width, height] = g.boundingRect ?? g._bounding
    const [right, bottom] = [n.pos[0] + n.size[0], n.pos[1] + n.size[1]]
    return n.pos[0] >= x && n.pos[1] - 30 >= y && right <= x + width && bottom <= y + height
})).map(n => n.type)"""


@pytest.mark.parametrize("name", ["v2a_base_guided", "i2a_turbo", "a2m_turbo", "inpaint_turbo", "v2a_turbo_core_nodes"])
def test_the_nodes_of_a_template_stay_in_their_groups(name, page):
    open_workflow(page, name)
    if "v2a" in name:  # a node grows when its video is there
        page.wait_for("app.graph.nodes.find(n => n.type === 'LoadVideo').size[1] > 300")
    settled(page, "JSON.stringify(app.graph.nodes.map(n => [...n.pos, ...n.size]))")
    assert page.run(f"return {OUTSIDE}") == []


BLUEPRINT = """
    const root = document.getElementById('vue-app').__vue_app__
    const store = root.config.globalProperties.$pinia._s.get('subgraph')
    const {name} = store.subgraphBlueprints.find(definition => definition.display_name === '%s')
    const {nodes, definitions} = store.getBlueprint(name)
    app.graph.clear()
    app.canvas._deserializeItems({ nodes, subgraphs: definitions.subgraphs }, {})
    const [host] = app.graph.nodes
    const add = (type, widgets) => {
        const node = LiteGraph.createNode(type)
        app.graph.add(node)
        for (const [name, value] of Object.entries(widgets)) node.widgets.find(w => w.name === name).value = value
        return node
    }
    const slot = (slots, name) => slots.findIndex(each => each.name === name)
"""

ENDS = {
    "Text to sound (AudioX)": (
        "t2a_turbo",
        "AudioXSaveSound",
        """
        const save = add('AudioXSaveSound', { filename_prefix: 'audio/audiox_turbo' })
        host.connect(slot(host.outputs, 'audio'), save, 0)
    """,
    ),
    "Video to sound (AudioX)": (
        "long_v2a_turbo",
        "SaveVideo",
        """
        const load = add('LoadVideo', { file: 'example.mp4' })
        const save = add('SaveVideo', { filename_prefix: 'video/audiox_turbo' })
        load.connect(0, host, slot(host.inputs, 'video'))
        host.connect(slot(host.outputs, 'video'), save, 0)
    """,
    ),
}
"""Blueprint -> the workflow that it is with these nodes before and behind it, and the node that saves."""


def by_class(prompt: dict) -> dict:
    """Class -> inputs, with classes in place of ids."""

    def told(value):
        return [prompt[value[0]]["class_type"], value[1]] if isinstance(value, list) else value

    return {
        node["class_type"]: {name: told(value) for name, value in node["inputs"].items()} for node in prompt.values()
    }


@pytest.mark.parametrize("name", ENDS)
def test_a_blueprint_is_its_workflow_and_runs(name, page, look, server, tmp_path):
    workflow, saver, ends = ENDS[name]
    page.run(BLUEPRINT % name + ends)
    prompt = page_prompt(page)
    assert by_class(prompt) == by_class(shipped(workflow))
    page.run("""
        const [host] = app.graph.nodes
        host.widgets.find(w => w.name === 'text').value = 'a falling siren'
        host.widgets.find(w => w.name === 'seed').value = 7
    """)
    prompt = page_prompt(page)
    assert by_class(prompt)["AudioXEncodeText"]["text"] == "a falling siren"
    assert by_class(prompt)["AudioXSample"]["seed"] == 7
    page.run("app.canvas.centerOnNode(app.graph.nodes[0])")
    show(page, look, name.split()[0].lower(), tmp_path)
    [save] = ids_of(prompt, saver)
    assert server.output_path(server.run(prompt).files(save)[0]).stat().st_size > 1000


@pytest.mark.parametrize("command, name", [("VideoToAudio", "v2a_turbo"), ("TextToAudio", "t2a_turbo")])
def test_a_command_opens_its_workflow(command, name, page):
    page.run(f"await app.extensionManager.command.execute('AudioX.Insert{command}')")
    assert page.run("return app.graph.nodes.length - 1") == len(shipped(name))


def test_a_command_shows_a_check_that_can_be_copied(page):
    """The server's answer is a stand-in: the real one is tested without a page, and takes a minute."""
    page.run("""
        window.answer = { text: "It <works>.", report: { schema: "audiox-check/1" } };
        window.fetchedBefore = window.fetch;
        window.fetch = (url, ...rest) => String(url).endsWith("/audiox/check")
          ? Promise.resolve(new Response(JSON.stringify(window.answer))) : window.fetchedBefore(url, ...rest);
        await app.extensionManager.command.execute("AudioX.Check")
    """)
    shown = "document.querySelector('dialog.audiox-check')"
    try:
        assert page.wait_for(f"{shown}?.querySelector('pre').textContent") == "It <works>."
        page.run("navigator.clipboard.writeText = async (text) => { window.copied = text }")
        page.run(f"{shown}.querySelector('[data-copy]').click()")
        assert page.wait_for("window.copied").startswith("It <works>.\n\n```json\n{")
        page.run(f"{shown}.querySelector('[data-close]').click()")
        page.wait_for(f"!{shown}")
    finally:
        page.run("window.fetch = window.fetchedBefore")


def test_choosing_a_task_writes_its_sentence(page, look, tmp_path):
    open_workflow(page, "t2a_turbo")
    text, task = (widget("AudioXEncodeText", name) for name in ("text", "task"))
    page.run(f"{text}.value = 'my own words'")
    for chosen, sentence in TASKS.items():
        choose(page, look, "AudioXEncodeText", "task", chosen)
        assert page.wait_for(f"{task}.value === '{chosen}' && {text}.value") == sentence
    show(page, look, "task", tmp_path)
    page.run(f"{text}.value = 'rain, more of it'")
    prompt = page.run("return (await app.graphToPrompt()).output")
    inputs = prompt[ids_of(prompt, "AudioXEncodeText")[0]]["inputs"]
    assert (inputs["text"], inputs["task"]) == ("rain, more of it", list(TASKS)[-1])
    choose(page, look, "AudioXEncodeText", "task", "own words")
    assert page.run(f"return {text}.value") == "rain, more of it"


def choose(page: Browser, look: Look, node: str, name: str, option: str) -> None:
    """Choose an option of a combo as a user does: press it, then press the option."""
    page.run(f"app.canvas.centerOnNode(app.graph.nodes.find(n => n.type === '{node}'))")
    page.run("await new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    page.click(*settled(page, (VUE_WIDGET if look.vue else CANVAS_WIDGET) % {"node": node, "name": name}))
    page.click(*settled(page, OPTION % option))
    page.wait_for(f"!({OPTION % option})", 10)


def settled(page: Browser, place: str) -> list[float] | str:
    """The value of an expression that has stopped changing: menus slide in, nodes grow."""
    before, now = None, page.wait_for(place)
    while now != before:
        page.run("await new Promise(r => setTimeout(r, 100))")
        before, now = now, page.wait_for(place)
    return now


CANVAS_WIDGET = """(() => {
    const node = app.graph.nodes.find(n => n.type === '%(node)s')
    const widget = node.widgets.find(w => w.name === '%(name)s')
    const [x, y] = app.canvas.convertOffsetToCanvas([node.pos[0] + node.size[0] / 2, node.pos[1] + widget.y + 8])
    const box = app.canvas.canvas.getBoundingClientRect()
    return widget.y && [x + box.x, y + box.y]
})()"""

VUE_WIDGET = """(() => {
    const node = app.graph.nodes.find(n => n.type === '%(node)s')
    const rows = [...document.querySelectorAll(`[data-node-id="${node.id}"] .lg-node-widget`)]
    const box = rows.find(row => row.textContent.includes('%(name)s'))?.querySelector('[role=combobox]')
        ?.getBoundingClientRect()
    return box && [box.x + box.width / 2, box.y + box.height / 2]
})()"""

OPTION = """(() => {
    const entries = [...document.querySelectorAll('.litemenu-entry, [role=option]')]
    const entry = entries.find(e => e.textContent.trim() === '%s')
    entry?.scrollIntoView({ block: 'nearest' })
    const box = entry?.getBoundingClientRect()
    return box && [box.x + box.width / 2, box.y + box.height / 2]
})()"""


def test_a_new_loader_has_the_precision_of_the_settings(page):
    weights = "LiteGraph.createNode('AudioXLoad').widgets.find(w => w.name === 'weight_dtype')"
    setting = "app.extensionManager.setting"
    assert page.run(f"return {weights}.value") == "default"
    page.run(f"await {setting}.set('AudioX.Precision', 'bf16')")
    try:
        assert page.run(f"return {weights}.value") == "bf16"
        open_workflow(page, "t2a_turbo")
        assert page.run(f"return {widget('AudioXLoad', 'weight_dtype')}.value") == "default"
    finally:
        page.run(f"await {setting}.set('AudioX.Precision', 'default')")


# The range strip

STRIP = "app.graph.nodes.find(n => n.type === '%s').widgets.find(w => w.name === 'range').element"


def strip(node: str) -> str:
    """JavaScript for the strip of the first node of a class."""
    return STRIP % node


def open_strip(page: Browser, workflow: str, node: str, length: str) -> None:
    """Open a workflow, bring the strip of a node into sight and wait until it tells how long its media is."""
    open_workflow(page, workflow)
    page.run(f"app.canvas.ds.scale = 1; app.canvas.centerOnNode(app.graph.nodes.find(n => n.type === '{node}'))")
    page.wait_for(f"{strip(node)}.querySelector('output').value === '{length}'", 20)


def place(page: Browser, node: str, part: str) -> list[float]:
    """The middle of a part of a strip, on the page, once it has stopped moving."""
    return settled(
        page,
        f"""(() => {{
        const box = {strip(node)}.querySelector('{part}').getBoundingClientRect()
        return box.width && [box.x + box.width / 2, box.y + box.height / 2]
    }})()""",
    )


def drag(page: Browser, node: str, part: str, seconds: float, length: float) -> None:
    """Drag a part of a strip that shows so much by some seconds."""
    x, y = place(page, node, part)
    width = page.run(f"return {strip(node)}.querySelector('div').getBoundingClientRect().width")
    page.drag((x, y), (x + seconds / length * width, y))


def numbers(page: Browser, node: str, *names: str) -> list[float]:
    return page.run(f"return [{', '.join(widget(node, name) for name in names)}].map(w => w.value)")


START, END, CHOSEN = ".chosen > :first-child", ".chosen > :last-child", ".chosen"
RANGES = [("inpaint_turbo", "AudioXMaskRange", "5.00 s"), ("v2a_turbo", "AudioXEncodeVideo", "1.00 s")]


def test_dragging_the_strip_changes_the_range(page, look, tmp_path):
    node, names = "AudioXMaskRange", ("start", "end")
    open_strip(page, "inpaint_turbo", node, "5.00 s")
    assert numbers(page, node, *names) == [2, 4]
    drag(page, node, END, 0.5, 5)
    assert numbers(page, node, *names) == [2, pytest.approx(4.5, abs=0.03)]
    drag(page, node, START, -1, 5)
    assert numbers(page, node, *names) == pytest.approx([1, 4.5], abs=0.03)
    drag(page, node, CHOSEN, -3, 5)
    assert numbers(page, node, *names) == pytest.approx([0, 3.5], abs=0.03)
    page.run(f"{strip(node)}.querySelector('{START}').focus()")
    page.press("ArrowRight")
    assert numbers(page, node, "start") == [pytest.approx(0.1)]
    show(page, look, "range", tmp_path)
    drag(page, node, END, 4, 5)
    prompt = page_prompt(page)
    inputs = prompt[ids_of(prompt, node)[0]]["inputs"]
    assert (set(inputs), inputs["end"]) == ({"latent", "start", "end"}, 5)


def test_a_video_keeps_its_end_when_its_start_is_dragged(page, look, tmp_path):
    node, names = "AudioXEncodeVideo", ("start", "seconds")
    open_strip(page, "v2a_turbo", node, "1.00 s")
    drag(page, node, START, 0.4, 1)
    assert numbers(page, node, *names) == [pytest.approx(0.4, abs=0.01), 10]  # goes to the end, as it did
    drag(page, node, END, -0.2, 1)
    assert numbers(page, node, *names) == pytest.approx([0.4, 0.4], abs=0.015)
    drag(page, node, START, -0.3, 1)
    assert numbers(page, node, *names) == pytest.approx([0.1, 0.7], abs=0.02)
    show(page, look, "range-video", tmp_path)


@pytest.mark.parametrize("workflow, node, length", RANGES, ids=["sound", "video"])
def test_the_strip_shows_what_is_there(workflow, node, length, page):
    open_strip(page, workflow, node, length)
    drawn = "svg path" if node == "AudioXMaskRange" else "canvas:nth-child(8)"
    page.wait_for(f"{strip(node)}.querySelector('{drawn}') !== null", 20)
    place(page, node, ".picture")  # it has stopped moving
    box = page.run(f"return {strip(node)}.getBoundingClientRect().toJSON()")
    box = [box[name] for name in ("x", "y", "width", "height")]
    assert box[3] == pytest.approx(48, abs=1)
    seen = page.picture(*box)
    page.run(f"{strip(node)}.querySelector('.picture').style.visibility = 'hidden'")
    assert changed(seen, page.picture(*box)) > 0.2


def changed(before: bytes, after: bytes) -> float:
    """The share of pixels in which two pictures differ."""
    one, other = (np.asarray(Image.open(io.BytesIO(each)).convert("RGB")).astype(int) for each in (before, after))
    return (np.abs(one - other).max(axis=-1) > 8).mean()


@pytest.mark.parametrize("workflow, node, length", RANGES, ids=["sound", "video"])
def test_a_strip_is_no_part_of_the_workflow(workflow, node, length, page):
    open_strip(page, workflow, node, length)
    stored = json.loads((ROOT / "workflows" / f"{workflow}.json").read_text("utf-8"))
    [before] = [each for each in stored["nodes"] if each["type"] == node]
    saved = f"app.graph.serialize().nodes.find(n => n.type === '{node}')"
    after = page.run(f"return {saved}")
    assert after["widgets_values"] == before["widgets_values"]
    grown = after["size"][0] / before["size"][0]  # ComfyUI 0.16.3 enlarges a workflow for the Vue renderer
    assert after["size"][1] <= before["size"][1] * grown + 1  # there is room for it
    widgets = f"app.graph.nodes.find(n => n.type === '{node}').widgets"
    page.run(f"{widgets}.splice({widgets}.findIndex(w => w.name === 'range'), 1)")
    assert page.run(f"return {saved}") == after


def test_a_number_from_a_link_is_not_dragged(page):
    node = "AudioXMaskRange"
    open_strip(page, "inpaint_turbo", node, "5.00 s")
    page.run(f"""
        const source = LiteGraph.createNode('PrimitiveFloat')
        app.graph.add(source)
        const node = app.graph.nodes.find(n => n.type === '{node}')
        source.connect(0, node, node.inputs.findIndex(each => each.name === 'start'))
    """)
    page.wait_for(f"{strip(node)}.querySelector('{CHOSEN}').hidden", 5)
    assert page.run(f"return {strip(node)}.querySelector('{CHOSEN}').getBoundingClientRect().width") == 0


def test_a_strip_without_its_media_has_a_scale(page):
    node = "AudioXMaskRange"
    open_strip(page, "inpaint_turbo", node, "5.00 s")
    count = len(page.problems)
    page.run(f"{widget('AudioXVAEEncode', 'before')}.value = 1.5")
    page.wait_for(f"{strip(node)}.querySelector('output').value === '6.50 s'", 5)
    page.run(f"{widget('LoadAudio', 'audio')}.value = 'gone.wav'")
    page.wait_for(f"{strip(node)}.querySelector('output').value === ''", 5)
    assert not page.run(f"return {strip(node)}.querySelector('.picture').children.length")
    page.run(f"{widget(node, 'end')}.value = 0")  # to the end, which nobody knows
    page.wait_for(f"{strip(node)}.querySelector('.chosen').style.width === '80%'", 5)  # 2 to 10 s
    drag(page, node, START, 1, 10)
    assert numbers(page, node, "start", "end") == [pytest.approx(3, abs=0.05), 0]
    assert not [each for each in page.problems[count:] if "gone.wav" not in each or "Uncaught" in each]


NODE_TITLE = """(() => {
    const node = app.graph.nodes.find(n => n.type === '%s')
    const [x, y] = app.canvas.convertOffsetToCanvas([node.pos[0] + 60, node.pos[1] - 12])
    const box = app.canvas.canvas.getBoundingClientRect()
    return [x + box.x, y + box.y]
})()"""


@pytest.mark.parametrize("version", [COMFYUI, OLDEST_COMFYUI])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_help_panel_shows_a_page_and_its_picture(language, version, servers, tmp_path):
    look, server = Look(version, False, "dark"), servers(version)
    page = ROOT / "web" / "docs" / {"en": "AudioXSample.md", "zh": "AudioXSample/zh.md"}[language]
    title = page.read_text("utf-8").splitlines()[0].removeprefix("# ")
    picture = picture_path(language, "AudioXSample").relative_to(ROOT / "web").as_posix()
    try:
        with opened_page(server, look, language) as browser:
            open_workflow(browser, "t2a_turbo")
            browser.run("app.canvas.centerOnNode(app.graph.nodes.find(n => n.type === 'AudioXSample'))")
            browser.click(*settled(browser, NODE_TITLE % "AudioXSample"))
            info = "document.querySelector('[data-testid=info-button]')"
            browser.wait_for(f"Boolean({info})")
            browser.run(f"{info}.click()")
            assert browser.wait_for("document.querySelector('.node-help-content h1')?.textContent") == title
            image = "document.querySelector('.node-help-content img')"
            assert browser.run(f"return {image}.getAttribute('src')") == f"/extensions/{PACK_NAME}/{picture}"
            assert browser.wait_for(f"{image}.naturalWidth") > 600
            show(browser, look, f"help-{language}", tmp_path)
            # English is asked for as AudioXSample/en.md first, then as AudioXSample.md, which serves every language.
            assert not [problem for problem in ours(browser) if "/docs/AudioXSample/en.md" not in problem]
    finally:
        server.post("/settings", {"Comfy.Locale": "en"})


@pytest.fixture(scope="module")
def precision(look) -> str:
    """Another one for each look, so that the server has not loaded the model before."""
    return ("fp32", "bf16", "fp16", "fp8_e4m3fn")[LOOKS.index(look) % 4]


@pytest.fixture(scope="module")
def made(page, server, precision) -> dict:
    """The files of a run of the demo that was queued from the page."""
    open_workflow(page, "t2a_turbo")
    page.run(f"{widget('AudioXLoad', 'checkpoint')}.value = '{NAMES['turbo']}'")
    page.run(f"{widget('AudioXLoad', 'weight_dtype')}.value = '{precision}'")
    page.run(f"{widget('AudioXEncodeText', 'text')}.value = 'a falling siren'")
    before = set(server.get("/history"))
    page.run("await app.extensionManager.command.execute('Comfy.QueuePrompt')")
    page.wait_for("document.querySelector('audio')?.src.includes('audiox_turbo')", 120)
    [new] = set(server.get("/history")) - before
    outputs = server.get(f"/history/{new}")[new]["outputs"]
    return next(items for items in outputs.values() if "audio" in items)


def test_a_run_is_heard_and_seen(page, look, made, tmp_path):
    page.run("app.canvas.centerOnNode(app.graph.nodes.find(n => n.type === 'AudioXSaveSound'))")
    page.wait_for("document.querySelector('audio').duration > 9.9")
    assert page.run("return document.querySelector('audio').duration") == pytest.approx(10, abs=0.01)
    page.run("const player = document.querySelector('audio'); player.currentTime = 0; await player.play()")
    page.wait_for("document.querySelector('audio').currentTime > 0.3")
    page.run("document.querySelector('audio').pause()")
    picture = made["images"][0]["filename"]
    seen = (
        f"[...document.querySelectorAll('img')].find(i => i.src.includes('{picture}'))"
        if look.vue
        else ("app.graph.nodes.find(n => n.type === 'AudioXSaveSound').imgs?.[0]")
    )
    assert page.wait_for(f"{seen}?.naturalWidth") > 100
    show(page, look, "sound", tmp_path)


def test_the_loader_tells_what_it_loaded(page, look, made, precision, tmp_path):
    page.run("app.canvas.centerOnNode(app.graph.nodes.find(n => n.type === 'AudioXLoad'))")
    words = page.wait_for(f"{widget('AudioXLoad', '$$node-text-preview')}?.value", 10)
    assert re.fullmatch(rf"turbo, {precision}, \d+ MB, needs about \d+ MB", words)
    show(page, look, "model", tmp_path)


@pytest.mark.parametrize("kind, mime", [("audio", "audio/flac"), ("images", "image/png")])
def test_dropping_a_file_brings_its_workflow_back(page, server, made, kind, mime):
    content = base64.b64encode(server.output_path(made[kind][0]).read_bytes()).decode()
    page.run("app.graph.clear()")
    page.run(f"""
        const bytes = Uint8Array.from(atob('{content}'), c => c.charCodeAt(0))
        const dropped = new DataTransfer()
        dropped.items.add(new File([bytes], '{made[kind][0]["filename"]}', {{ type: '{mime}' }}))
        document.dispatchEvent(new DragEvent('drop', {{ dataTransfer: dropped, bubbles: true, cancelable: true }}))
    """)
    page.wait_for("app.graph.nodes.length === 7")
    assert page.run(f"return {widget('AudioXEncodeText', 'text')}.value") == "a falling siren"


def test_the_setting_and_the_commands_speak_chinese(page):
    """Last of all: the page keeps some words of a language."""
    words = {
        name: json.loads((ROOT / "locales" / "zh" / f"{name}.json").read_text("utf-8"))
        for name in ("settings", "commands", "main")
    }
    setting, menu = "app.extensionManager.setting", "AudioX: open video-to-audio workflow"
    page.run(f"await {setting}.set('Comfy.Locale', 'zh')")
    try:
        told = "document.getElementById('vue-app').__vue_app__.config.globalProperties.$t"
        label = words["commands"]["AudioX_InsertVideoToAudio"]["label"]
        page.wait_for(f"{told}('commands.AudioX_InsertVideoToAudio.label') === '{label}'", 20)
        assert page.run(f"return {told}('menuLabels.{menu}')") == label
        page.run("await app.extensionManager.command.execute('Comfy.ShowSettingsDialog')")
        leaves = "[...document.querySelectorAll('*')].filter(e => !e.children.length)"
        page.wait_for(f"{leaves}.some(e => e.textContent.trim() === 'AudioX')", 20)
        page.run(f"{leaves}.filter(e => e.textContent.trim() === 'AudioX').at(-1).click()")
        for text in (words["settings"]["AudioX_Precision"]["name"], words["main"]["settingsCategories"]["Load AudioX"]):
            page.wait_for(f"{leaves}.some(e => e.textContent.trim() === '{text}')", 20)
    finally:
        page.run(f"await {setting}.set('Comfy.Locale', 'en')")


def test_the_english_words_are_those_of_the_scripts(page):
    words = json.loads((ROOT / "locales" / "en" / "commands.json").read_text("utf-8"))
    command = "app.extensionManager.command.commands.find(c => c.id === '{}').label"
    for key, value in words.items():
        assert page.run(f"return {command.format(key.replace('_', '.'))}") == value["label"]
