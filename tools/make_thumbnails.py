"""Write the pictures of the shipped workflows: `workflows/NAME.jpg`, which ComfyUI's template browser shows.

Run it after a change of a graph: `python -m tools.make_thumbnails [NAME ...]`. Each graph is opened in the real page of
ComfyUI in a Chromium, so the picture is what a user sees. `python3 tools/dev.py browser` fetches the page.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import av

from devtools.browser import Browser, chromium_path
from devtools.comfy_server import PACK_NAME, ComfyServer
from devtools.paths import ROOT
from tools.development import COMFYUI, comfyui_tree, frontend_files
from tools.shipped_workflows import PICTURE, SOUND, VIDEO, WORKFLOWS

FOLDER = ROOT / "workflows"

SIZE = (640, 360)
"""Width and height of a picture in pixels. The template browser shows it in a square card, whole."""

FACTOR = 3
"""The page is this much larger than its picture: nodes leave out their words where they are drawn small."""

PAGE = (FACTOR * SIZE[0], FACTOR * SIZE[1])
"""Width and height of the browser's page in pixels."""

QUALITY = 70

SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Graph.CanvasMenu": False,
}
"""Nothing stands before the graph."""

OPEN = """
    const answer = await fetch(`/api/workflow_templates/%s/%s.json`)
    await app.loadGraphData(await answer.json(), true, true, '%s')
"""

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


def place_files(server: ComfyServer, folder: Path) -> None:
    """What the workflows name: small models, and a video, a sound and a picture to see."""
    from audiox_core.media.audio import write_audio
    from devtools.media_maker import make_demo_video, make_image, tone
    from devtools.small_family import FOLDERS, make_family_model
    from devtools.small_model import make_small_model

    server.place_model(make_small_model(folder / "AudioX-Turbo", both=True))
    for variant, name in FOLDERS.items():
        server.place_model(make_family_model(folder / name, variant))
    write_audio(folder / SOUND, tone(5.0), 44100)
    server.place_input(folder / SOUND)
    server.place_input(make_demo_video(folder / VIDEO))
    with av.open(str(folder / VIDEO)) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    server.place_input(make_image(folder / PICTURE, frame))


def prepare(page: Browser, address: str, size: Sequence[int]) -> None:
    """Open the page as large as the pictures need it (width, height), with nothing but the canvas in it."""
    width, height = size
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    page.open(f"http://{address}")
    page.wait_for("window.app?.extensionManager && app.graph && document.querySelector('canvas')?.width")
    page.wait_for("app.graph.nodes.length")
    page.run("await app.extensionManager.command.execute('Workspace.ToggleFocusMode')")


def screenshot(page: Browser, size: Sequence[int], quality: int, scale: float = 1) -> bytes:
    """A JPEG of the upper left part of the page, so large (width, height)."""
    width, height = size
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": scale}
    return base64.b64decode(page.call("Page.captureScreenshot", format="jpeg", quality=quality, clip=clip)["data"])


def picture(page: Browser, name: str) -> bytes:
    """A JPEG of a template."""
    page.run(OPEN % (PACK_NAME, name, name))
    page.run(FIT % PAGE)
    page.run("await new Promise(r => setTimeout(r, 1500))")  # previews come from the server
    return screenshot(page, PAGE, QUALITY, 1 / FACTOR)


def main(names: list[str]) -> int:
    executable = chromium_path()
    if executable is None:
        print("There is no Chromium: install it, or name it in AUDIOX_CHROMIUM.", file=sys.stderr)
        return 1
    unknown = set(names) - set(WORKFLOWS)
    if unknown:
        print(f"There is no workflow {', '.join(sorted(unknown))}; there are {', '.join(WORKFLOWS)}.", file=sys.stderr)
        return 1
    with (
        tempfile.TemporaryDirectory() as folder,
        ComfyServer(comfyui_tree(COMFYUI), pack=ROOT, frontend=frontend_files(COMFYUI)) as server,
        Browser(executable) as page,
    ):
        place_files(server, Path(folder))
        server.post("/settings", SETTINGS)
        prepare(page, server.address, PAGE)
        for name in names or WORKFLOWS:
            content = picture(page, name)
            (FOLDER / f"{name}.jpg").write_bytes(content)
            print(f"{name}.jpg, {len(content) / 1000:.1f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
