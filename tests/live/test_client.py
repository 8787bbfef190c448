"""The client that the README shows, against a real ComfyUI with the demo checkpoint."""

import asyncio
import subprocess
import sys

import av
import numpy as np
import pytest
from aiohttp import test_utils, web

from devtools.comfy_server import free_port
from devtools.graphs import read_audio, video_packets
from devtools.media_maker import make_demo_video
from devtools.paths import ROOT
from tools.client_example import video_to_audio


def client(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "tools" / "client_example.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A video whose name needs escaping on its way."""
    return make_demo_video(tmp_path_factory.mktemp("clip") / "my clip 1.mp4", seconds=2.0)


def test_a_video_comes_back_with_sound(comfy, clip, tmp_path):
    target = tmp_path / "with sound.mp4"
    answer = client(clip, target, "--server", f"http://{comfy.address}", "--seed", 3)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == str(target)
    assert "4 of 4" in answer.stdout  # the steps of Turbo
    with av.open(str(target)) as container:
        assert container.duration / av.time_base == pytest.approx(2.0, abs=1e-3)
    sound, rate = read_audio(target)
    assert rate == 44100
    assert np.sqrt(np.mean(sound**2)) > 1e-3
    assert video_packets(target) == video_packets(clip)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_a_refusal_is_told_and_leaves_no_file(comfy, clip, tmp_path):
    answer = client(clip, tmp_path / "out.mp4", "--server", f"http://{comfy.address}", "--checkpoint", "none.ckpt")
    assert answer.returncode == 1
    assert "none.ckpt" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not list(tmp_path.iterdir())


def test_a_failure_is_told_and_leaves_no_file(comfy, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    answer = client(broken, tmp_path / "out.mp4", "--server", f"http://{comfy.address}")
    assert answer.returncode == 1
    assert answer.stderr.startswith("client_example.py: ")
    assert "Traceback" not in answer.stderr
    assert list(tmp_path.iterdir()) == [broken]


def test_a_server_that_is_not_there_is_told(clip, tmp_path):
    answer = client(clip, tmp_path / "out.mp4", "--server", f"http://127.0.0.1:{free_port()}")
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr


def slow_server() -> web.Application:
    """As ComfyUI behaves on a busy machine: a prompt has succeeded some time before its history is written."""
    history, sockets, runs = {}, [], []

    async def events(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sockets.append(socket)
        async for _ in socket:
            pass
        return socket

    async def run():
        await sockets[0].send_json({"type": "execution_success", "data": {"prompt_id": "1"}})
        await asyncio.sleep(0.2)
        saved = {"filename": "a.mp4", "subfolder": "", "type": "output"}
        history["1"] = {"outputs": {"9": {"images": [saved], "animated": [True]}}}
        await sockets[0].send_json({"type": "executing", "data": {"prompt_id": "1", "node": None}})

    async def answer(request):
        if request.path == "/prompt":
            runs.append(asyncio.create_task(run()))
        content = {"/prompt": {"prompt_id": "1"}, "/history/1": history}
        return web.json_response(content.get(request.path, {"name": "clip.mp4", "subfolder": ""}))

    async def view(_):
        return web.Response(body=b"the film")

    app = web.Application()
    app.add_routes(
        [
            web.get("/ws", events),
            web.get("/view", view),
            web.get("/history/1", answer),
            web.post("/prompt", answer),
            web.post("/upload/image", answer),
        ]
    )
    return app


def test_the_history_is_waited_for(tmp_path):
    clip, target = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    clip.write_bytes(b"a clip")

    async def ask():
        async with test_utils.TestServer(slow_server()) as server:
            await video_to_audio(str(server.make_url("")), clip, target, checkpoint="a", text="", seed=0)

    asyncio.run(asyncio.wait_for(ask(), 60))
    assert target.read_bytes() == b"the film"
