"""The main job from end to end: sound for a video, by a real ComfyUI that runs a shipped workflow.

Run it as `python3 tools/dev.py demo`. It draws a video of a bouncing ball, starts ComfyUI with this pack, queues the
workflow through /prompt with the demo checkpoint, and checks that the result plays and that the sound answers the
bounces. The demo is a toy that knows few sounds. `--model` and `--video` name the real thing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from audiox_core.demo import NAMES
from devtools.comfy_server import ComfyServer, PromptError, ServerError
from devtools.graphs import read_audio, video_packets
from devtools.paths import ROOT
from tools.development import COMFYUI, comfyui_tree
from training.evaluation import events
from training.evaluation.cases import write_film
from training.world import films

WORKFLOW = ROOT / "workflows" / "api" / "v2a_turbo.json"
OUTPUT = ROOT / "output"

FILM = films.film(7, test=True, style="ball", kind="ping")

# Where the workflow takes its files and leaves its result: node class and input.
MODEL_INPUT = ("AudioXLoad", "checkpoint")
VIDEO_INPUT = ("LoadVideo", "file")
RESULT_CLASS = "SaveVideo"


class DemoError(Exception):
    """The demo did not do what it promises, in one sentence."""


def nodes_of(prompt: dict, class_type: str) -> list[str]:
    """Ids of the nodes of a class; there must be one at least."""
    found = [node_id for node_id, node in prompt.items() if node["class_type"] == class_type]
    if not found:
        raise DemoError(f"{WORKFLOW.name} has no node {class_type}.")
    return found


def fill(prompt: dict, place: tuple[str, str], value: str) -> None:
    """Write a file name into every node of a class."""
    class_type, name = place
    for node_id in nodes_of(prompt, class_type):
        prompt[node_id]["inputs"][name] = value


def checkpoint_name(offered: list[str], given: bool) -> str:
    """The demo, or the Turbo model among the names that the loader offers where one was given."""
    if not given:
        return NAMES["turbo"]
    real = [name for name in offered if name not in NAMES.values()]
    turbo = [name for name in real if "turbo" in name.lower()] or real
    if not turbo:
        raise DemoError("The loader offers no model: --model has to be a file or a folder of AudioX-Turbo.")
    return turbo[0]


def check_answers(path: Path) -> str:
    """How the sound answers the film's bounces; DemoError when it does not."""
    sound, _ = read_audio(path)
    found = events.summary([events.align(events.heard_times(sound), FILM.times)])
    if found["onset_within_100ms"] < 0.5:
        raise DemoError(f"{path} does not answer the bounces: {found}.")
    return (
        f"{found['onset_within_100ms']:.0%} of {len(FILM.times)} bounces are answered within 100 ms, by a "
        f"{events.hit_kind(sound)} (a yellow ball pings)"
    )


def check_playable(path: Path, source: Path) -> str:
    """Decode a result from start to end and describe it; DemoError when it is not what was promised."""
    with av.open(str(path)) as container:
        if not container.streams.video or not container.streams.audio:
            raise DemoError(f"{path} holds {[s.type for s in container.streams]}, not pictures and sound.")
        pictures = sum(1 for _ in container.decode(video=0))
        seconds = container.duration / av.time_base
    sound, rate = read_audio(path)
    loudness = float(np.sqrt(np.mean(sound**2)))
    if not np.isfinite(loudness) or loudness < 1e-4:
        raise DemoError(f"{path} is silent (root mean square {loudness:g}).")
    if video_packets(path) != video_packets(source):
        raise DemoError(f"{path} holds other pictures than {source}: they should have been copied.")
    return (
        f"{seconds:.2f} s, {pictures} pictures identical to the source, "
        f"{len(sound)} channels of {rate} Hz sound (root mean square {loudness:.3f})"
    )


def make_sound(model: Path | None, video: Path, name: str) -> Path:
    """Run the workflow in a fresh ComfyUI and return the copied result."""
    prompt = json.loads(WORKFLOW.read_text("utf-8"))
    with ComfyServer(comfyui_tree(COMFYUI), pack=ROOT) as comfy:
        if model is not None:
            comfy.place_model(model)
        fill(prompt, MODEL_INPUT, checkpoint_name(comfy.options(*MODEL_INPUT), model is not None))
        fill(prompt, VIDEO_INPUT, comfy.place_input(video))
        print("ComfyUI is up; the workflow is queued.", flush=True)
        started = time.monotonic()
        run = comfy.run(prompt, timeout=1200)
        print(f"ComfyUI ran {len(run.executed)} nodes in {time.monotonic() - started:.1f} s.", flush=True)
        files = [item for node_id in nodes_of(prompt, RESULT_CLASS) for item in run.files(node_id)]
        if not files:
            raise DemoError(f"{WORKFLOW.name} ended without a file from {RESULT_CLASS}.")
        OUTPUT.mkdir(exist_ok=True)
        return Path(shutil.copyfile(comfy.output_path(files[0]), OUTPUT / name))


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py demo", description="Make sound for a video with ComfyUI.")
    parser.add_argument("--model", type=Path, help="AudioX-Turbo checkpoint (default: the demo checkpoint)")
    parser.add_argument("--video", type=Path, help="video file (default: a generated one of 10 s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="audiox-demo-") as scratch:
        model, video = arguments.model, arguments.video
        if video is None:
            video = Path(scratch) / "bouncing_ball.mp4"
            write_film(video, FILM)
        if model is None:
            print("Model: the demo checkpoint, a toy that knows few sounds.", flush=True)
        try:
            result = make_sound(model, video, f"{video.stem}_with_sound.mp4")
            facts = check_playable(result, video)
            if arguments.model is None and arguments.video is None:
                facts += "\n" + check_answers(result)
        except (DemoError, PromptError, ServerError) as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
    print(f"{result}\n{facts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
