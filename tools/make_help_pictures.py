"""Write the pictures of the help pages: `web/docs/pictures/NODE.jpg`, in `pictures/zh` for the Chinese ones.

Run it after a change in a node's inputs or words: `python -m tools.make_help_pictures [NODE ...]`. Each picture is a
node between its direct neighbours, cut out of a shipped workflow and seen in the real page of ComfyUI in a Chromium.
`python3 tools/dev.py browser` fetches the page; the Chinese pictures need a font with Chinese letters.
"""

from __future__ import annotations

import sys
from pathlib import Path

from audiox_core.demo import NAMES
from devtools.browser import Browser
from devtools.comfy_server import PACK_NAME
from devtools.paths import ROOT
from tools.page_pictures import OPEN, SETTINGS, browser_path, check_names, page_server, place_files, prepare, screenshot

FOLDER = ROOT / "web" / "docs" / "pictures"

LANGUAGES = ("en", "zh")

SHOWN_IN = {
    "AudioXLoad": "v2a_turbo",
    "AudioXEncodeText": "t2a_turbo",
    "AudioXEncodeVideo": "v2a_turbo",
    "AudioXEncodeAudio": "a2m_turbo",
    "AudioXEmptyLatent": "long_v2a_turbo",
    "AudioXVAEEncode": "continue_turbo",
    "AudioXMaskRange": "inpaint_turbo",
    "AudioXSample": "t2a_turbo",
    "AudioXVAEDecode": "t2a_turbo",
    "AudioXMuxVideo": "v2a_turbo",
    "AudioXSaveSound": "t2a_turbo",
}
"""Node -> the workflow that it is cut out of."""

PAGE = (1000, 1400)
"""Width and height of the browser's page in pixels: room for the widest and the highest picture."""

NODE_WIDTH, GAP, MARGIN = 270, 50, 12

QUALITY = 70

QUIET = {
    **SETTINGS,
    "Comfy.VueNodes.Enabled": False,
    "Comfy.Canvas.SelectionToolbox": False,
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
}
"""Nothing stands before the graph or beside its nodes."""

CUT = """
    const [type, nodeWidth, gap, margin] = ['%s', %d, %d, %d]
    const graph = app.graph, node = graph.nodes.find(n => n.type === type)
    const columns = [new Set(), new Set([node]), new Set()]
    for (const link of graph.links.values()) {
        if (link.target_id === node.id) columns[0].add(graph.getNodeById(link.origin_id))
        if (link.origin_id === node.id) columns[2].add(graph.getNodeById(link.target_id))
    }
    const kept = columns.flatMap(column => [...column])
    for (const other of [...graph.nodes]) if (!kept.includes(other)) graph.remove(other)
    for (const link of [...graph.links.values()])
        if (link.origin_id !== node.id && link.target_id !== node.id) graph.removeLink(link.id)
    graph.groups.slice().forEach(group => graph.remove(group))
    for (const each of kept) each.setSize([nodeWidth, each.computeSize()[1]])
    await new Promise(r => setTimeout(r, 1500))  // previews come from the server, and nodes grow with them
    const title = LiteGraph.NODE_TITLE_HEIGHT
    const shown = columns.map(column => [...column]).filter(column => column.length)
    const heights = shown.map(column => column.reduce((sum, n) => sum + n.size[1] + title + gap / 2, -gap / 2))
    const highest = Math.max(...heights)
    shown.forEach((column, index) => {
        let y = margin + (highest - heights[index]) / 2
        for (const each of column) {
            each.pos = [margin + index * (nodeWidth + gap), y + title]
            y += each.size[1] + title + gap / 2
        }
    })
    app.canvas.background_image = ''  // the grid
    app.canvas.deselectAll()
    app.canvas.select(node)
    app.canvas.highlighted_links = {}  // they keep the colours of their types
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [0, 0]
    app.canvas.setDirty(true, true)
    await new Promise(r => setTimeout(r, 300))
    return [2 * margin + shown.length * (nodeWidth + gap) - gap, 2 * margin + Math.ceil(highest)]
"""
"""Leaves a node and its direct neighbours, from left to right as the sound goes; gives the size of the picture."""

RUN = f"""
    const find = type => app.graph.nodes.find(n => n.type === type)
    const widget = (type, name) => find(type).widgets.find(w => w.name === name)
    widget('AudioXLoad', 'checkpoint').value = '{NAMES["turbo"]}'
    widget('AudioXEncodeText', 'text').value = 'first a rising siren, then slow ticking'
    app.canvas.centerOnNode(find('AudioXSaveSound'))  // what is not seen gets no picture
    await app.extensionManager.command.execute('Comfy.QueuePrompt')
"""
"""Makes a sound with the demo, for the node that shows one."""


def picture_path(language: str, node: str) -> Path:
    """Where the picture of a node lies."""
    return (FOLDER if language == "en" else FOLDER / language) / f"{node}.jpg"


def picture(page: Browser, node: str) -> bytes:
    """A JPEG of a node between its neighbours."""
    workflow = SHOWN_IN[node]
    page.run(OPEN % (PACK_NAME, workflow, workflow))
    if node == "AudioXSaveSound":
        page.run(RUN)
        page.wait_for(f"app.graph.nodes.find(n => n.type === '{node}').imgs?.[0]?.naturalWidth", 180)
    return screenshot(page, page.run(CUT % (node, NODE_WIDTH, GAP, MARGIN)), QUALITY)


def main(names: list[str]) -> int:
    check_names(names, SHOWN_IN, "node")
    with page_server(place_files) as server:
        for language in LANGUAGES:
            server.post("/settings", {**QUIET, "Comfy.Locale": language})
            with Browser(browser_path()) as page:
                prepare(page, server.address, PAGE)
                for name in names or SHOWN_IN:
                    content, path = picture(page, name), picture_path(language, name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                    print(f"{path.relative_to(FOLDER)}, {len(content) / 1000:.1f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
