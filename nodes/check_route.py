"""POST /audiox/check: runs `audiox check` on the server, in a separate process, and answers with the report."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

import comfy.model_management
import folder_paths
from aiohttp import web

from .folders import FOLDER

PATH = "/audiox/check"
TIME_LIMIT = 300.0
"""Seconds after which a check is ended."""

PACK = Path(__file__).absolute().parents[1]
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from audiox_core.cli import main; sys.exit(main())"
"""Starts the command line also where Python ignores the current folder, as in ComfyUI's portable version."""

_running = asyncio.Lock()


def register_check() -> None:
    """Add the route. ComfyUI's own middleware refuses what other web sites ask for."""
    from server import PromptServer  # there is none where the pack is imported without one

    PromptServer.instance.routes.post(PATH)(answer)


async def answer(request: web.Request) -> web.Response:
    """{"text", "report"}; 409 while the server has something to do, 504 when the check takes too long."""
    from server import PromptServer

    if PromptServer.instance.prompt_queue.get_tasks_remaining():
        return _refusal(409, "Wait until the queue is empty: a check beside a running prompt would measure both.")
    if _running.locked():
        return _refusal(409, "A check is running already.")
    async with _running:
        with tempfile.TemporaryDirectory(prefix="audiox-check-") as folder:
            return await _checked(Path(folder, "report.json"))


async def _checked(report: Path) -> web.Response:
    process = await asyncio.create_subprocess_exec(
        *_command(report),
        cwd=report.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        text, errors = await asyncio.wait_for(process.communicate(), TIME_LIMIT)
    except asyncio.TimeoutError:
        return _refusal(504, f"The check did not end within {TIME_LIMIT:g} s; run `python -m audiox_core check`.")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if not report.is_file():
        return _refusal(500, errors.decode("utf-8", "replace")[-2000:])
    values = json.loads(report.read_text("utf-8"))
    return web.json_response({"text": text.decode("utf-8", "replace"), "report": values})


def _command(report: Path) -> list[str]:
    device = comfy.model_management.get_torch_device()
    return [
        *(sys.executable, "-X", "utf8", "-c", START, str(PACK), "check"),
        *("--json", str(report), "--device", str(device)),
        *("--models", str(Path(folder_paths.models_dir, FOLDER)), "--comfyui", str(Path(folder_paths.__file__).parent)),
    ]


def _refusal(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)
