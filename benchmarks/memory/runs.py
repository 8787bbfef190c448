"""Memory of run after run: the demo's Turbo makes one sound after the other, in a real ComfyUI and in the library.

    python -m benchmarks.memory runs [--count 20]

Each run has another text and another seed, so that nothing comes from ComfyUI's cache but the model. Resident memory is
read after each; the growth is that from the end of the warming runs to the end of all, as medians of the last five
readings of each, for memory goes up and down a little. Exits with 1 when it is 1 % or more. ComfyUI is that of
`tools/dev.py setup` or of COMFYUI_PATH. Linux only.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Iterator
from statistics import median

from devtools.paths import ROOT

LIMIT, WARMING, LAST = 0.01, 10, 5

WORDS = ("a bell rings", "rain", "a dog barks", "a low tone, then a high tone", "a drum beats fast")


def in_comfyui(count: int) -> Iterator[int]:
    """Resident bytes of the server after each run of the shipped text-to-sound workflow."""
    from audiox_core.demo import NAMES
    from devtools.comfy_server import ComfyServer
    from tools.development import COMFYUI, comfyui_tree

    prompt = json.loads((ROOT / "workflows" / "api" / "t2a_turbo.json").read_text("utf-8"))
    inputs = {node["class_type"]: node["inputs"] for node in prompt.values()}
    inputs["AudioXLoad"]["checkpoint"] = NAMES["turbo"]
    with ComfyServer(comfyui_tree(COMFYUI), pack=ROOT) as server:
        for run in range(count):
            inputs["AudioXEncodeText"]["text"], inputs["AudioXSample"]["seed"] = WORDS[run % len(WORDS)], run
            server.run(prompt)
            yield server.memory()


def in_library(count: int) -> Iterator[int]:
    """Resident bytes of this process after each run."""
    import psutil

    from audiox_core.checkpoint import open_checkpoint
    from audiox_core.demo import demo_path
    from audiox_core.pipeline import AudioX, Prompt
    from audiox_core.sampling.presets import resolve_settings

    model = AudioX(open_checkpoint(demo_path("turbo")))
    for run in range(count):
        prompt = Prompt(text=model.encode_text(WORDS[run % len(WORDS)])[0])
        model.decode(model.sample(prompt, resolve_settings(model.variant), seeds=[run]), seconds=10.0)
        yield psutil.Process().memory_info().rss


CASES = {"ComfyUI": in_comfyui, "library": in_library}


def readings(name: str, count: int) -> list[int]:
    return list(CASES[name](count))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=20, help=f"runs after {WARMING} warming ones")


def run(options: argparse.Namespace) -> int:
    grown = []
    for name in CASES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seen = pool.apply(readings, (name, WARMING + options.count))
        before, after = median(seen[WARMING - LAST : WARMING]), median(seen[-LAST:])
        grown.append(after / before - 1)
        print(
            f"{name:8} {options.count} runs: {before / 2**20:.1f} MiB, then {after / 2**20:.1f} ({grown[-1]:+.2%}), "
            f"after the first run {seen[0] / 2**20:.1f}",
            flush=True,
        )
    return int(max(grown) >= LIMIT)
