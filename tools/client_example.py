"""Sound for a video through a ComfyUI server, from a program: upload, queue, follow, fetch.

    python client_example.py clip.mp4 clip_with_sound.mp4 --checkpoint AudioX-Turbo/audiox_turbo/audiox_turbo.ckpt

A starting point for your own client. It needs aiohttp, which every ComfyUI has, and a workflow in ComfyUI's API format;
the pack's `workflows/api/` has one for every task. Without --checkpoint it uses the demo model.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import uuid
from pathlib import Path

import aiohttp

WORKFLOW = Path(__file__).resolve().parent.parent / "workflows" / "api" / "v2a_turbo.json"


class RunError(Exception):
    """The server's message about a prompt that it refused or that failed."""


def fill(prompt: dict, class_type: str, **inputs) -> None:
    """Set inputs of every node of a class in an API prompt."""
    for node in prompt.values():
        if node["class_type"] == class_type:
            node["inputs"].update(inputs)


async def upload(session: aiohttp.ClientSession, path: Path) -> str:
    """Send a file of any kind, despite the route's name; returns the name that LoadVideo and LoadAudio take."""
    with open(path, "rb") as file:
        form = aiohttp.FormData()
        form.add_field("image", file, filename=path.name)
        async with session.post("/upload/image", data=form, raise_for_status=True) as response:
            answer = await response.json()
    return "/".join(filter(None, (answer["subfolder"], answer["name"])))


async def queue(session: aiohttp.ClientSession, prompt: dict, client: str) -> str:
    """Queue a prompt and return its id."""
    async with session.post("/prompt", json={"prompt": prompt, "client_id": client}) as response:
        answer = await response.json()
    if response.status != 200 or answer.get("node_errors"):
        raise RunError(f"The server refused the prompt: {json.dumps(answer, ensure_ascii=False)}")
    return answer["prompt_id"]


async def follow(socket: aiohttp.ClientWebSocketResponse, prompt_id: str) -> None:
    """Print the progress of a prompt until it has ended and its history is written."""
    async for message in socket:
        if message.type != aiohttp.WSMsgType.TEXT:  # previews come as bytes
            continue
        event = json.loads(message.data)
        data = event.get("data") or {}
        if data.get("prompt_id") != prompt_id:
            continue
        if event["type"] == "progress":
            print(f"node {data['node']}: {data['value']} of {data['max']}")
        elif event["type"] == "executing" and data["node"] is None:
            return  # comes after the history is written, which execution_success does not
        elif event["type"] == "execution_error":
            raise RunError(f"{data['node_type']}: {data['exception_message'].strip()}")
        elif event["type"] == "execution_interrupted":
            raise RunError("The prompt was interrupted.")
    raise RunError("The server closed the connection.")


async def fetch(session: aiohttp.ClientSession, prompt_id: str, target: Path) -> None:
    """Download the first file that a prompt saved, completely or not at all."""
    async with session.get(f"/history/{prompt_id}", raise_for_status=True) as response:
        outputs = (await response.json())[prompt_id]["outputs"]
    items = [item for output in outputs.values() for kind in output.values() if isinstance(kind, list) for item in kind]
    saved = [item for item in items if isinstance(item, dict) and item.get("type") == "output"]
    if not saved:
        raise RunError(f"The prompt saved no file: {outputs}")
    location = {name: saved[0][name] for name in ("filename", "subfolder", "type")}
    part = target.with_name(target.name + ".part")
    async with session.get("/view", params=location, raise_for_status=True) as response:
        with open(part, "wb") as file:
            async for block in response.content.iter_chunked(1 << 20):
                file.write(block)
    os.replace(part, target)


async def video_to_audio(server: str, video: Path, target: Path, checkpoint: str, text: str, seed: int) -> None:
    """Add sound to a video with the workflow v2a_turbo."""
    prompt, client = json.loads(WORKFLOW.read_text("utf-8")), uuid.uuid4().hex
    async with aiohttp.ClientSession(server, timeout=aiohttp.ClientTimeout(total=None)) as session:
        fill(prompt, "LoadVideo", file=await upload(session, video))
        fill(prompt, "AudioXLoad", checkpoint=checkpoint)
        fill(prompt, "AudioXSample", seed=seed)
        if text:
            fill(prompt, "AudioXEncodeText", text=text)
        # Connected before the prompt is queued, so that no event is missed.
        async with session.ws_connect("/ws", params={"clientId": client}, max_msg_size=0) as socket:
            prompt_id = await queue(session, prompt, client)
            await follow(socket, prompt_id)
        await fetch(session, prompt_id, target)


def main() -> int:
    parser = argparse.ArgumentParser(description="Add sound to a video through a ComfyUI server with AudioX Native.")
    parser.add_argument("video", type=Path)
    parser.add_argument("target", type=Path, help="the mp4 to write")
    parser.add_argument("--server", default="http://127.0.0.1:8188")
    parser.add_argument("--checkpoint", default="demo_turbo.safetensors", help="a name that Load AudioX offers")
    parser.add_argument("--text", default="", help="what to hear; without it the video alone decides")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        asyncio.run(video_to_audio(**vars(arguments)))
    except (RunError, aiohttp.ClientError, OSError) as error:
        print(f"client_example.py: {error}", file=sys.stderr)
        return 1
    print(arguments.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
