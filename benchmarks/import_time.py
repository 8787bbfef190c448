"""How long the pack takes to import on top of what torch and ComfyUI have loaded already.

    python -m benchmarks.import_time [--tree PATH] [--runs 5]

Each run is a fresh interpreter that imports what ComfyUI has imported before its custom nodes, and then
the pack as ComfyUI does. The fastest counts, because other work on the machine can only add; the exit code
is 1 when it is over the budget.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from devtools.paths import ROOT

BUDGET = 0.3

MEASURE = """
import asyncio, importlib.util, sys, time
tree, pack = sys.argv[1:3]
sys.argv = sys.argv[:1]
sys.path.insert(0, tree)
from comfy.cli_args import args
args.cpu = True
import nodes, server, comfy_api.latest
asyncio.run(nodes.init_builtin_extra_nodes())
start = time.perf_counter()
spec = importlib.util.spec_from_file_location("pack", pack + "/__init__.py")
module = importlib.util.module_from_spec(spec)
sys.modules["pack"] = module
spec.loader.exec_module(module)
async def load():
    extension = await module.comfy_entrypoint()
    await extension.on_load()
    return [node.GET_SCHEMA() for node in await extension.get_node_list()]
schemas = asyncio.run(load())
print("seconds", time.perf_counter() - start, len(schemas))
"""


def measure(tree: Path) -> tuple[float, int]:
    """Seconds and number of nodes of one import in a fresh interpreter."""
    command = [sys.executable, "-c", MEASURE, str(tree), str(ROOT)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300)
    lines = [line.split() for line in answer.stdout.splitlines() if line.startswith("seconds ")]
    if answer.returncode or not lines:
        sys.exit(f"import_time: the pack does not import in {tree}:\n{answer.stderr[-4000:]}")
    return float(lines[-1][1]), int(lines[-1][2])


def main() -> int:
    from tools.development import COMFYUI, comfyui_tree

    parser = argparse.ArgumentParser(description="Time the import of the pack in ComfyUI.")
    parser.add_argument("--tree", type=Path, default=comfyui_tree(COMFYUI), help="root of a ComfyUI checkout")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    measure(arguments.tree)  # writes the byte code, so that the runs below do not
    runs = [measure(arguments.tree) for _ in range(arguments.runs)]
    best = min(seconds for seconds, _ in runs)
    times = " ".join(f"{seconds:.3f}" for seconds, _ in runs)
    print(f"pack import: {best:.3f} s (runs {times}; {runs[0][1]} nodes; budget {BUDGET} s)")
    return int(best > BUDGET)


if __name__ == "__main__":
    sys.exit(main())
