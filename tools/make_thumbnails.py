"""Write the pictures of the shipped workflows: `workflows/NAME.jpg`, which ComfyUI's template browser shows.

Run it after a change of a graph: `python -m tools.make_thumbnails [NAME ...]`. Each graph is opened in the real page of
ComfyUI in a Chromium, so the picture is what a user sees. `python3 tools/dev.py browser` fetches the page.
"""

from __future__ import annotations

import sys

from devtools.browser import Browser
from devtools.comfy_server import PACK_NAME
from devtools.paths import ROOT
from tools.page_pictures import OPEN, SETTINGS, browser_path, check_names, page_server, place_files, prepare, screenshot
from tools.shipped_workflows import WORKFLOWS

FOLDER = ROOT / "workflows"

SIZE = (640, 360)
"""Width and height of a picture in pixels. The template browser shows it in a square card, whole."""

FACTOR = 3
"""The page is this much larger than its picture: nodes leave out their words where they are drawn small."""

PAGE = (FACTOR * SIZE[0], FACTOR * SIZE[1])
"""Width and height of the browser's page in pixels."""

QUALITY = 70


# The note is left out: a picture that holds it has no room for the graph.
FIT = """
    const canvas = app.canvas, [width, height] = [%d, %d]
    const boxes = app.graph.groups.map(group => group.boundingRect)
    const left = Math.min(...boxes.map(b => b[0])), top = Math.min(...boxes.map(b => b[1]))
    const wide = Math.max(...boxes.map(b => b[0] + b[2])) - left, high = Math.max(...boxes.map(b => b[1] + b[3])) - top
    const scale = 0.97 * Math.min(width / wide, height / high)
    app.graph.remove(app.graph.nodes.find(node => node.type === 'MarkdownNote'))
    canvas.ds.scale = scale
    canvas.ds.offset = [width / scale / 2 - left - wide / 2, height / scale / 2 - top - high / 2]
    canvas.setDirty(true, true)
"""


def picture(page: Browser, name: str) -> bytes:
    """A JPEG of a template."""
    page.run(OPEN % (PACK_NAME, name, name))
    page.run(FIT % PAGE)
    page.run("await new Promise(r => setTimeout(r, 1500))")  # previews come from the server
    return screenshot(page, PAGE, QUALITY, 1 / FACTOR)


def main(names: list[str]) -> int:
    check_names(names, WORKFLOWS, "workflow")
    with page_server(place_files) as server, Browser(browser_path()) as page:
        server.post("/settings", SETTINGS)
        prepare(page, server.address, PAGE)
        for name in names or WORKFLOWS:
            content = picture(page, name)
            (FOLDER / f"{name}.jpg").write_bytes(content)
            print(f"{name}.jpg, {len(content) / 1000:.1f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
