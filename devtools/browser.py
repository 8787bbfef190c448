"""A real Chromium without a window, driven by its DevTools protocol.

with Browser(tools.development.chromium_path()) as page:
    page.open("http://127.0.0.1:8188")
    page.wait_for("document.title")
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import aiohttp

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--no-proxy-server",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
    "--window-size=1700,1000",
)


class BrowserError(RuntimeError):
    """The browser did not start or answer, or the page threw."""


class Browser:
    """One Chromium with one page; a context manager. `problems` are the page's errors so far: console and network."""

    def __init__(self, executable: str):
        self.executable = executable
        self.problems: list[str] = []
        self._answers: dict[int, asyncio.Future] = {}
        self._loop = asyncio.new_event_loop()
        self._count, self._session = 0, None

    def __enter__(self) -> Browser:
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        command = [self.executable, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        try:
            self._do(self._connect(self._port()), 30)
            for domain in ("Page", "Runtime", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self._do(self._disconnect(), 20)
        self._process.terminate()
        self._process.wait(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._profile.cleanup()

    def _port(self) -> int:
        place, deadline = Path(self._profile.name, "DevToolsActivePort"), time.monotonic() + 60
        while not place.exists() or not place.read_text().count("\n"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BrowserError(f"{self.executable} did not start.")
            time.sleep(0.05)
        return int(place.read_text().splitlines()[0])

    def _do(self, coroutine, timeout: float):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    async def _disconnect(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _connect(self, port: int) -> None:
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json") as answer:
            [page] = [each for each in await answer.json() if each["type"] == "page"]
        self._socket = await self._session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            data = json.loads(message.data)
            if "id" in data:
                self._answers.pop(data["id"]).set_result(data)
            else:
                self._note(data["method"], data["params"])

    def _note(self, method: str, params: dict) -> None:
        if method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(params["exceptionDetails"]))
        elif (method == "Runtime.consoleAPICalled" and params["type"] == "error") or (
            method == "Log.entryAdded" and params["entry"]["level"] == "error"
        ):
            self.problems.append(json.dumps(params))

    async def _send(self, method: str, params: dict) -> dict:
        self._count += 1
        answer = self._answers[self._count] = self._loop.create_future()
        await self._socket.send_json({"id": self._count, "method": method, "params": params})
        return await answer

    def call(self, method: str, timeout: float = 60, **params) -> dict:
        """Result of a DevTools command."""
        answer = self._do(self._send(method, params), timeout)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, url: str) -> None:
        """Go to a page. A page of ComfyUI asks before it is left, so take another browser for the next one."""
        self.call("Page.navigate", url=url)

    def run(self, script: str, timeout: float = 60):
        """Value of the body of an async function that the page runs; BrowserError when it throws."""
        answer = self.call(
            "Runtime.evaluate",
            timeout,
            expression=f"(async () => {{ {script} }})()",
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in answer:
            raise BrowserError(answer["exceptionDetails"]["exception"].get("description", "the page threw"))
        return answer["result"].get("value")

    def wait_for(self, expression: str, timeout: float = 60):
        """Value of an expression as soon as it is truthy."""
        deadline = time.monotonic() + timeout
        while not (value := self.run(f"return {expression}")):
            if time.monotonic() > deadline:
                raise BrowserError(f"{expression} was not there in {timeout:g} s; problems: {self.problems[-3:]}")
            time.sleep(0.1)
        return value

    def click(self, x: float, y: float) -> None:
        """Press and release the left button at a place of the page."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            pressed = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the left button at a place of the page, move to another and release it there."""
        held = {"button": "left", "buttons": 1, "clickCount": 1}
        middle = [(a + b) / 2 for a, b in zip(start, end, strict=True)]
        steps = (
            ("mouseMoved", start, {}),
            ("mousePressed", start, held),
            ("mouseMoved", middle, held),
            ("mouseMoved", end, held),
            ("mouseReleased", end, held),
        )
        for kind, (x, y), pressed in steps:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)

    def press(self, key: str) -> None:
        """Press and release a key that writes no text, as ArrowLeft."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def picture(self, x: float, y: float, width: float, height: float) -> bytes:
        """A part of the page as it looks, a PNG."""
        clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        return base64.b64decode(self.call("Page.captureScreenshot", format="png", clip=clip)["data"])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
