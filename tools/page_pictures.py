"""Pictures of ComfyUI's page, for the tools that show nodes and workflows.

`python3 tools/dev.py browser` fetches the page.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av

from audiox_core.media.audio import write_audio
from devtools.browser import Browser
from devtools.comfy_server import ComfyServer
from devtools.media_maker import make_demo_video, make_image, tone
from devtools.paths import ROOT
from devtools.small_family import FOLDERS, make_family_model
from devtools.small_model import make_small_model
from tools.development import COMFYUI, chromium_path, comfyui_tree, frontend_files
from tools.shipped_workflows import PICTURE, SOUND, VIDEO

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


def browser_path() -> str:
    """The browser to take pictures with; ends the program where there is none."""
    return chromium_path() or sys.exit("There is no Chromium: install it, or name it in AUDIOX_CHROMIUM.")


def check_names(names: Collection[str], known: Collection[str], kind: str) -> None:
    """End the program where a picture is asked for that nobody knows."""
    if unknown := sorted(set(names) - set(known)):
        sys.exit(f"There is no {kind} {', '.join(unknown)}; there are {', '.join(known)}.")


@contextmanager
def page_server(place: Callable[[ComfyServer, Path], None]) -> Iterator[ComfyServer]:
    """A ComfyUI with its page; `place` gives it files that it may write into a temporary folder first."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ComfyServer(comfyui_tree(COMFYUI), pack=ROOT, frontend=frontend_files(COMFYUI)) as server,
    ):
        place(server, Path(folder))
        yield server


def place_files(server: ComfyServer, folder: Path) -> None:
    """What the workflows name: small models, and a video, a sound and a picture to see."""
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
