"""Write the pictures of the README and of `docs/`: `python -m tools.make_readme_pictures [NAME ...]`.

Without a name it writes those that have gone stale.

| name | files in docs/ | shows | takes on two cores |
| --- | --- | --- | --- |
| workflow | workflow.jpg | ComfyUI's page after a run of `v2a_turbo` | 1 to 2 minutes |
| ball | bouncing_ball.webp, bouncing_ball.mp4 | a clip, its sound and where it is played | half a minute |
| sounds | sound_check.webp | spectrograms of what the demo generates | about 6 minutes |

`docs/pictures.json` keeps a digest of what each picture depends on, and a test compares it with today's files, so a
picture cannot go stale unnoticed. Everything is generated with the demo checkpoint. `workflow` needs a Chromium and the
page of ComfyUI, which `python3 tools/dev.py browser` fetches.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from audiox_core.cli import main as audiox
from audiox_core.demo import NAMES
from audiox_core.media.audio import read_audio
from audiox_core.media.spectrogram import spectrogram_picture
from devtools.browser import Browser
from devtools.comfy_server import PACK_NAME, ComfyServer
from devtools.paths import ROOT
from tools.page_pictures import SETTINGS, browser_path, page_server, prepare, screenshot
from tools.shipped_workflows import VIDEO
from training.evaluation.cases import write_film
from training.evaluation.cli import main as evaluate
from training.world import films

FOLDER = ROOT / "docs"
DIGESTS = FOLDER / "pictures.json"

FILM = films.film(7, test=True, style="ball", kind="ping")
"""The bouncing ball of `python3 tools/dev.py demo`."""

WORKFLOW = "v2a_turbo"
DEMO_FILES = ("audiox_core/demo/*.safetensors", "audiox_core/demo/t5-base/*")

# workflow.jpg

PAGE = (1840, 800)
"""Width and height of the browser's page, and so of the picture, in pixels."""

QUALITY = 80

OPEN_WITH_DEMO = f"""
    const answer = await fetch(`/api/workflow_templates/{PACK_NAME}/{WORKFLOW}.json`)
    const graph = await answer.json()
    graph.nodes = graph.nodes.filter(n => n.type !== 'MarkdownNote')
    const loader = graph.nodes.find(n => n.type === 'AudioXLoad')
    loader.widgets_values[0] = '{NAMES["turbo"]}'
    delete loader.properties.models
    await app.loadGraphData(graph, true, true, '{WORKFLOW}')
"""
"""Opens the shipped workflow without its note; the page would mark the released model as missing."""

RUN = "await app.extensionManager.command.execute('Comfy.QueuePrompt')"

RESULT = "(v => v.length > 1 && v.every(each => each.readyState > 1))([...document.querySelectorAll('video')])"
"""True once the result can play beside the source."""

# Nodes grow with what they show, and the groups with them.
LAY_OUT = """
    const canvas = app.canvas, [width, height] = [%d, %d], title = LiteGraph.NODE_TITLE_HEIGHT
    const videos = [...document.querySelectorAll('video')]
    await new Promise(r => setTimeout(r, 1500))  // nodes grow with their previews
    await Promise.all(videos.map(video => new Promise(done => {
        video.pause(); video.muted = true
        video.addEventListener('seeked', done, {once: true}); video.currentTime = 3.1
    })))
    for (const group of app.graph.groups) {
        const [start, , wide] = group.boundingRect
        const nodes = app.graph.nodes.filter(node => node.pos[0] >= start && node.pos[0] < start + wide)
        nodes.sort((a, b) => a.pos[1] - b.pos[1])
        nodes.slice(1).forEach((node, i) => {
            const above = nodes[i], low = above.pos[1] + above.size[1] + title + 20
            if (node.pos[1] < low) node.pos = [node.pos[0], low]
        })
        group.resizeTo(nodes, 14)
    }
    const boxes = [...app.graph.groups, ...app.graph.nodes].map(each => each.boundingRect)
    const left = Math.min(...boxes.map(b => b[0])), top = Math.min(...boxes.map(b => b[1]))
    const wide = Math.max(...boxes.map(b => b[0] + b[2])) - left, high = Math.max(...boxes.map(b => b[1] + b[3])) - top
    const scale = 0.97 * Math.min(width / wide, height / high)
    canvas.deselectAll()
    canvas.ds.scale = scale
    canvas.ds.offset = [width / scale / 2 - left - wide / 2, height / scale / 2 - top - high / 2]
    canvas.setDirty(true, true)
    await new Promise(r => setTimeout(r, 1500))
"""


def make_workflow() -> None:
    """The page of ComfyUI after a run of the shipped workflow."""

    def place_clip(server: ComfyServer, folder: Path) -> None:
        write_video(folder / VIDEO, np.pad(films.draw(FILM, 288), ((0, 0), (0, 0), (112, 112), (0, 0)), "edge"))
        server.place_input(folder / VIDEO)

    with page_server(place_clip) as server, Browser(browser_path()) as page:
        server.post("/settings", {**SETTINGS, "Comfy.VueNodes.Enabled": False, "Comfy.Canvas.SelectionToolbox": False})
        prepare(page, server.address, PAGE)
        page.run(OPEN_WITH_DEMO)
        page.run(LAY_OUT % PAGE)  # what is not seen gets no preview
        page.run(RUN)
        page.wait_for(RESULT, 300)
        for _ in range(2):  # the result's node grows once it is in view
            page.run(LAY_OUT % PAGE)
        (FOLDER / "workflow.jpg").write_bytes(screenshot(page, PAGE, QUALITY))


def workflow_inputs() -> Iterator[tuple[str, bytes]]:
    """The graph, the names that its nodes show, and the scripts that add to the page."""
    graph = json.loads((ROOT / "workflows" / f"{WORKFLOW}.json").read_text("utf-8"))
    nodes = [node for node in graph["nodes"] if node["type"] != "MarkdownNote"]
    texts = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text("utf-8"))
    shown = [named(texts[node["type"]]) for node in nodes if node["type"] in texts]
    yield "graph", json.dumps([nodes, graph["links"], graph["groups"], shown], sort_keys=True).encode()
    yield from contents("web/js/*.js")


def named(texts: dict) -> dict:
    """A node's texts without its description and tooltips, which no picture shows."""
    kept = {key: named(text) if isinstance(text, dict) else text for key, text in texts.items()}
    return {key: text for key, text in kept.items() if key not in ("description", "tooltip")}


# bouncing_ball

HEIGHT, SPECTROGRAM_WIDTH, GAP = 240, 552, 8
GROUND, CURSOR, TICK = (14, 10, 30), (255, 255, 255), (120, 240, 255)
UNPLAYED = 0.45
"""Brightness of what the cursor has not reached."""

WEBP_FPS, WEBP_QUALITY = Fraction(25, 2), 60


def make_ball() -> None:
    """The film beside its spectrogram and a moving cursor: silent as WebP, with its sound as mp4."""
    with tempfile.TemporaryDirectory() as folder:
        silent, result = Path(folder, "ball.mp4"), Path(folder, "sound.wav")
        write_film(silent, FILM)
        command = ["generate", "--video", str(silent), "--seconds", "0", "--out", str(result), "--dtype", "fp32"]
        if audiox(command) != 0:
            raise SystemExit("The sound for the film could not be generated.")
        sound, rate = read_audio(str(result))
    pictures = composed(np.asarray(sound), rate)
    step = int(films.FPS / WEBP_FPS)
    frames = [Image.fromarray(picture) for picture in pictures[::step]]
    frames[0].save(
        FOLDER / "bouncing_ball.webp",
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 / WEBP_FPS),
        loop=0,
        quality=WEBP_QUALITY,
        method=4,
    )
    write_video(FOLDER / "bouncing_ball.mp4", pictures, np.asarray(sound), rate)


def composed(sound: np.ndarray, rate: int) -> np.ndarray:
    """Pictures uint8 (250, H, W, 3) of the film and the spectrogram, with the cursor at the picture's time."""
    drawn = films.draw(FILM, HEIGHT)
    spectrogram = spectrogram_picture(sound, SPECTROGRAM_WIDTH, HEIGHT, rate)
    for time in FILM.times:
        x = round(time / films.SECONDS * (SPECTROGRAM_WIDTH - 1))
        spectrogram[:14, max(0, x - 1) : x + 1] = TICK
    width = HEIGHT + GAP + SPECTROGRAM_WIDTH
    pictures = np.full((len(drawn), HEIGHT, width, 3), GROUND, np.uint8)
    pictures[:, :, :HEIGHT] = drawn
    dark = (spectrogram * UNPLAYED).astype(np.uint8)
    for number, picture in enumerate(pictures):
        x = round(number / films.FPS / films.SECONDS * (SPECTROGRAM_WIDTH - 2))
        right = picture[:, HEIGHT + GAP :]
        right[:, :x], right[:, x:] = spectrogram[:, :x], dark[:, x:]
        right[:, x : x + 2] = CURSOR
    return pictures


def write_video(path: Path, pictures: np.ndarray, sound: np.ndarray | None = None, rate: int = 44100) -> None:
    """An mp4 of pictures (N, H, W, 3) at 25 a second, with a stereo sound (2, samples) if there is one."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as output:
        video = output.add_stream("libx264", rate=films.FPS, options={"crf": "23", "preset": "slow"})
        video.height, video.width, video.pix_fmt = *pictures.shape[1:3], "yuv420p"
        audio = None if sound is None else output.add_stream("aac", rate=rate, options={"b": "128k"}, layout="stereo")
        for picture in pictures:
            output.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        output.mux(video.encode())
        if audio is not None:
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound, np.float32), "fltp", "stereo")
            block.sample_rate, block.pts, block.time_base = rate, 0, Fraction(1, rate)
            output.mux(audio.encode(block))
            output.mux(audio.encode())


# sound_check.webp

SEED = 1
"""Neither training nor the choice of the checkpoints has seen the captions and films of this seed."""


def make_sounds() -> None:
    """Spectrograms of the demo's answers, and what was heard in them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sounds.png")
        command = ["--quick", "--sections", "prompts,films", "--seed", str(SEED), "--picture", str(path)]
        if evaluate(command) != 0:
            raise SystemExit("The demo could not be evaluated.")
        with Image.open(path) as picture:
            picture.save(FOLDER / "sound_check.webp", quality=70)


# Digests


def contents(*patterns: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files that patterns name; line ends are the same on every system."""
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            yield path.relative_to(ROOT).as_posix(), path.read_bytes().replace(b"\r\n", b"\n")


def ball_inputs() -> Iterator[tuple[str, bytes]]:
    """The demo, and the film."""
    yield from contents(*DEMO_FILES)
    yield "film", repr((FILM, films.COLOURS)).encode()


def sounds_inputs() -> Iterator[tuple[str, bytes]]:
    """The demo, and what it is asked for."""
    yield from contents(*DEMO_FILES)
    yield "seed", str(SEED).encode()


PICTURES: dict[str, tuple[Callable[[], None], Callable[[], Iterator[tuple[str, bytes]]]]] = {
    "workflow": (make_workflow, workflow_inputs),
    "ball": (make_ball, ball_inputs),
    "sounds": (make_sounds, sounds_inputs),
}
"""Name -> what makes it, and what it depends on."""

FILES = {
    "workflow": ("workflow.jpg",),
    "ball": ("bouncing_ball.webp", "bouncing_ball.mp4"),
    "sounds": ("sound_check.webp",),
}
"""Name -> its files in `docs/`."""


def digest(name: str) -> str:
    """The digest of what a picture depends on, as the files are now."""
    result = hashlib.sha256()
    for title, content in PICTURES[name][1]():
        result.update(f"{title} {len(content)}\n".encode())
        result.update(content)
    return result.hexdigest()


def stored_digests() -> dict[str, str]:
    """Name -> digest when the picture was made."""
    return json.loads(DIGESTS.read_text("utf-8")) if DIGESTS.exists() else {}


def main(names: list[str]) -> int:
    unknown = set(names) - set(PICTURES)
    if unknown:
        print(f"There is no picture {', '.join(sorted(unknown))}; there are {', '.join(PICTURES)}.", file=sys.stderr)
        return 1
    stale = [name for name in PICTURES if stored_digests().get(name) != digest(name)]
    for name in names or stale:
        PICTURES[name][0]()
        digests = {**stored_digests(), name: digest(name)}
        DIGESTS.write_text(json.dumps(digests, indent=2, sort_keys=True) + "\n", "utf-8")
        for file in FILES[name]:
            print(f"docs/{file}, {(FOLDER / file).stat().st_size / 1000:.1f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
