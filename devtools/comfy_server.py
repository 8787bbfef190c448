"""A real ComfyUI, headless on the CPU, for tests and for the demo.

with ComfyServer(tree, pack=ROOT) as comfy:
    comfy.place_input("clip.mp4")
    run = comfy.run(prompt)
    comfy.output_path(run.files("9")[0])
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import aiohttp

from devtools.comfy_prompt import PromptError, Run, raise_on_failure, refusal

__all__ = ["PACK_NAME", "ComfyServer", "PromptError", "Run", "ServerError"]

PACK_NAME = "audiox-native"
"""Folder of the pack under custom_nodes."""

PREVIEW = (1).to_bytes(4, "big")
"""How a websocket message begins that holds a picture; others hold text."""

END_EVENTS = ("execution_success", "execution_error", "execution_interrupted")
ANSI = re.compile(r"\x1b\[[0-9;]*m")
LOAD_FAILURE = re.compile("IMPORT FAILED|Error while calling|did not return|is not callable|Skip ")


class ServerError(RuntimeError):
    """ComfyUI did not start, died or did not answer; the message ends with the tail of its log."""


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def link_or_copy(source: Path, target: Path) -> None:
    """Show a folder or a file at another place, by a link where the system allows one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.symlink_to(source, target_is_directory=source.is_dir())
    except OSError:
        if source.is_dir():
            ignore = shutil.ignore_patterns(".git", ".venv", ".cache", "output")
            shutil.copytree(source, target, ignore=ignore)
        else:
            shutil.copyfile(source, target)


class ComfyServer:
    """A ComfyUI process with its own base folder; a context manager that starts and ends it.

    `tree` is a ComfyUI checkout; `pack` the folder shown as custom_nodes/audiox-native, None for a
    bare ComfyUI; `base` the folder of models, input, output and custom_nodes, a temporary one by default; `frontend`
    the page's static files, none by default;
    `arguments` and `environment` add to ComfyUI's own; `start_timeout` is in seconds.
    """

    def __init__(
        self, tree, *, pack=None, base=None, frontend=None, arguments=(), environment=None, start_timeout=600.0
    ):
        self.tree = Path(tree).absolute()
        self.pack = None if pack is None else Path(pack).absolute()
        self.base = None if base is None else Path(base).absolute()
        self.frontend = frontend
        self.arguments = tuple(arguments)
        self.environment = dict(environment or {})
        self.start_timeout = start_timeout
        self.client_id = uuid.uuid4().hex
        self.process = None
        self.previews: list[bytes] = []
        """Pictures that samplers have sent so far, as files."""
        self._events: list[tuple[str, dict]] = []
        self._temporary = None
        # A proxy of the environment must not see calls to this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    # Life

    def __enter__(self) -> ComfyServer:
        if not (self.tree / "main.py").is_file():
            raise ServerError(f"{self.tree} holds no ComfyUI: run tools/dev.py setup or set COMFYUI_PATH.")
        if self.base is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="comfyui-", ignore_cleanup_errors=True)
            self.base = Path(self._temporary.name)
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = self.base = None

    def _start(self) -> None:
        for folder in ("custom_nodes", "models", "input", "output", "no-frontend"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        shown = self.base / "custom_nodes" / PACK_NAME
        if self.pack is not None and not shown.exists():
            link_or_copy(self.pack, shown)
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        page = self.frontend or self.base / "no-frontend"
        command = [
            sys.executable,
            "main.py",
            "--cpu",
            "--listen",
            "127.0.0.1",
            "--port",
            str(port),
            "--base-directory",
            str(self.base),
            "--front-end-root",
            str(page),
            "--disable-auto-launch",
            "--disable-api-nodes",
            "--database-url",
            "sqlite:///:memory:",
            "--use-pytorch-cross-attention",
            *self.arguments,
        ]
        offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
        with open(self.base / "server.log", "wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.tree,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **offline, **self.environment},
            )
        self._wait_until_ready()
        self._listen()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.start_timeout
        while True:
            try:
                self.get("/system_stats")
                break
            except (ServerError, OSError):
                self._check_alive()
                if time.monotonic() > deadline:
                    late = f"ComfyUI did not answer in {self.start_timeout:g} s."
                    raise ServerError(f"{late}\n{self._tail()}") from None
                time.sleep(0.2)
        lines = self.log().splitlines()
        for number, line in enumerate(lines):
            if PACK_NAME in line and LOAD_FAILURE.search(line):
                words = lines[max(0, number - 20) : number + 1]
                raise ServerError("\n".join(["The pack failed to load.", *words]))

    def _check_alive(self) -> None:
        if not self.alive():
            raise ServerError(f"ComfyUI ended with code {self.process.returncode}.\n{self._tail()}")

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def log(self) -> str:
        """Everything the server has printed so far, without colours."""
        return ANSI.sub("", (self.base / "server.log").read_text("utf-8", errors="replace"))

    def _tail(self) -> str:
        return "\n".join(self.log().splitlines()[-40:])

    def memory(self) -> int:
        """Resident bytes of the server process."""
        import psutil

        return psutil.Process(self.process.pid).memory_info().rss

    # HTTP

    def _request(self, path: str, body: bytes | None = None, content_type: str = "application/json"):
        headers = {"Content-Type": content_type} if body is not None else {}
        request = urllib.request.Request(f"http://{self.address}{path}", data=body, headers=headers)
        try:
            with self._opener.open(request, timeout=60) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", "replace")
            if path == "/prompt" and error.code == 400 and text.startswith("{"):
                raise refusal(json.loads(text)) from None
            raise ServerError(f"{path} answered {error.code}: {text[:2000]}\n{self._tail()}") from None
        return json.loads(content) if content else None

    def get(self, path: str):
        """JSON of a GET."""
        return self._request(path)

    def post(self, path: str, data: dict):
        """JSON of a POST with a JSON body."""
        return self._request(path, json.dumps(data).encode())

    def object_info(self, node: str | None = None) -> dict:
        """What the server tells a front end about its nodes, or about one of them."""
        return self.get("/object_info" if node is None else f"/object_info/{node}")

    def options(self, node: str, name: str) -> list[str]:
        """What a combo input of a node offers now."""
        inputs = self.object_info(node)[node]["input"]
        kind, *more = {**inputs.get("required", {}), **inputs.get("optional", {})}[name]
        return kind if isinstance(kind, list) else more[0]["options"]

    def interrupt(self) -> None:
        """Stop the running prompt."""
        self.post("/interrupt", {})

    def free(self) -> None:
        """Ask for models and caches to be dropped; the server does so once its queue is idle."""
        self.post("/free", {"unload_models": True, "free_memory": True})

    # Files

    def place_input(self, path, name: str | None = None) -> str:
        """Copy a file into the input folder and return the name that loaders take."""
        name = name or Path(path).name
        shutil.copyfile(path, self.base / "input" / name)
        return name

    def place_model(self, path, folder: str = "audiox", name: str | None = None) -> str:
        """Show a model file or folder under models/<folder> and return its name there."""
        name = name or Path(path).name
        link_or_copy(Path(path).absolute(), self.base / "models" / folder / name)
        return name

    def upload(self, path) -> str:
        """Send a file through /upload/image, as a browser does, and return the name that loaders take."""
        boundary = uuid.uuid4().hex
        name = Path(path).name
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + Path(path).read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        answer = self._request("/upload/image", body, f"multipart/form-data; boundary={boundary}")
        return "/".join(filter(None, (answer["subfolder"], answer["name"])))

    def output_path(self, item: dict) -> Path:
        """Path of an output item (`filename`, `subfolder`, `type`)."""
        return self.base / item.get("type", "output") / item.get("subfolder", "") / item["filename"]

    # Prompts

    def run(self, prompt: dict, timeout: float = 300.0) -> Run:
        """Queue an API prompt and wait for its history entry.

        Raises PromptError, or ServerError when the server died or took longer than `timeout` seconds.
        """
        return self.wait(self.queue(prompt), timeout)

    def queue(self, prompt: dict) -> str:
        """Queue an API prompt and return its id; raises PromptError when the server refuses it."""
        answer = self.post("/prompt", {"prompt": prompt, "client_id": self.client_id})
        if answer.get("node_errors"):
            # The server runs what it can when only some of the outputs are wrong; a test wants all of them.
            self.post("/queue", {"delete": [answer["prompt_id"]]})
            raise refusal({"error": {"message": "part of the prompt was refused"}, **answer})
        return answer["prompt_id"]

    def wait(self, prompt_id: str, timeout: float = 300.0) -> Run:
        """Wait for a queued prompt; the same errors as `run`."""
        deadline = time.monotonic() + timeout
        while not (history := self.get(f"/history/{prompt_id}").get(prompt_id)):
            self._check_alive()
            if time.monotonic() > deadline:
                self.interrupt()
                raise ServerError(f"Prompt {prompt_id} did not end in {timeout:g} s.\n{self._tail()}")
            time.sleep(0.05)
        # The last event is sent before the history is written, but it may be read after it.
        self._wait_for_any(prompt_id, lambda kind, _: kind in END_EVENTS, "an end", 30.0)
        run = Run(prompt_id, history, self.events(prompt_id))
        raise_on_failure(run)
        return run

    def events(self, prompt_id: str) -> list[tuple[str, dict]]:
        """Websocket events of a prompt so far, in order of arrival."""
        return [(kind, data) for kind, data in self._events if data.get("prompt_id") == prompt_id]

    def wait_for_event(self, prompt_id: str, kind: str, timeout: float = 120.0, **fields) -> dict:
        """Wait until a prompt has sent an event with these fields, as in `kind="progress", node="5"`."""

        def wanted(seen: str, data: dict) -> bool:
            return seen == kind and all(data.get(name) == value for name, value in fields.items())

        return self._wait_for_any(prompt_id, wanted, f"{kind} {fields}", timeout)

    def _wait_for_any(self, prompt_id: str, wanted, words: str, timeout: float) -> dict:
        deadline = time.monotonic() + timeout
        while True:
            for kind, data in self.events(prompt_id):
                if wanted(kind, data):
                    return data
            self._check_alive()
            if time.monotonic() > deadline:
                raise ServerError(f"The event {words} did not come in {timeout:g} s.\n{self._tail()}")
            time.sleep(0.01)

    def _listen(self) -> None:
        connected = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._collect(connected)), daemon=True).start()
        if not connected.wait(30):
            raise ServerError(f"ComfyUI refused the websocket.\n{self._tail()}")

    async def _collect(self, connected: threading.Event) -> None:
        url = f"http://{self.address}/ws?clientId={self.client_id}"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket_:
            connected.set()
            async for message in socket_:
                if message.type == aiohttp.WSMsgType.TEXT:
                    event = json.loads(message.data)
                    self._events.append((event["type"], event.get("data") or {}))
                elif message.type == aiohttp.WSMsgType.BINARY and message.data[:4] == PREVIEW:
                    self.previews.append(message.data[8:])  # after the kind of event and the kind of picture
