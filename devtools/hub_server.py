"""A hub on this machine: the few answers of huggingface.co that a download needs, and the ways it can fail.

with HubServer() as hub:
    hub.add("owner/name", "weights.ckpt", b"...")
    hub.cut["weights.ckpt"] = [1 << 20]
    subprocess.run(command, env=hub.environment)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
"""What every revision of every repository resolves to."""


class HubServer:
    """A context manager that serves while it is open.

    files: (repository, path) -> bytes; small: paths that the hub keeps in git, without a sha256. requests: (path,
    Range or None) of every request. Ways to fail: cut: file -> bytes after which to break off, one for each request;
    refuse: status of every answer, or a file -> status; corrupt: files with a wrong byte; ignore_range: answers every
    request for a rest with the whole file; page: file -> what is answered in its place; only_in_main: files that other
    revisions lack; listings: the answer to every request for one; lfs: file -> what a listing says of it instead.
    """

    def __init__(self):
        self.files: dict[tuple[str, str], bytes] = {}
        self.small: set[str] = set()
        self.requests: list[tuple[str, str | None]] = []
        self.cut: dict[str, list[int]] = {}
        self.refuse: dict[str, int] = {}
        self.corrupt: set[str] = set()
        self.ignore_range = False
        self.page: dict[str, bytes] = {}
        self.only_in_main: set[str] = set()
        self.listings: bytes | None = None
        self.lfs: dict[str, dict] = {}

    def add(self, repository: str, path: str, content: bytes) -> None:
        self.files[repository, path] = content

    def __enter__(self) -> HubServer:
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that asks this hub and no other."""
        kept = {key: value for key, value in os.environ.items() if not key.upper().startswith("HF_")}
        local = {"HF_ENDPOINT": self.endpoint, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        return {**kept, **local, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}

    def fetched(self, name: str) -> list[str | None]:
        """The Range of each request for a file."""
        return [wanted for path, wanted in self.requests if path.endswith(f"/{name}")]

    def listing(self, repository: str, revision: str) -> dict | None:
        siblings = []
        for (owner, path), content in self.files.items():
            if owner == repository and (revision == "main" or path not in self.only_in_main):
                entry = {"rfilename": path, "size": len(content), "blobId": git_blob(content)}
                if path not in self.small:
                    digest = hashlib.sha256(content).hexdigest()
                    entry["lfs"] = {
                        "sha256": digest,
                        "size": len(content),
                        "pointerSize": 134,
                        **self.lfs.get(path, {}),
                    }
                siblings.append(entry)
        return {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings} if siblings else None


def git_blob(content: bytes) -> str:
    """The name that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        wanted = self.headers.get("Range")
        self.hub.requests.append((path, wanted))
        if status := self.hub.refuse.get("*"):
            self.answer(status, b'{"error": "as the test wants it"}')
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", path):
            listing = self.hub.listing(match[1], match[2])
            if self.hub.listings is not None:
                self.answer(200, self.hub.listings)
                return
            self.answer(200 if listing else 404, json.dumps(listing or {"error": "Repository not found"}).encode())
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self.resolve(match[1], match[3], wanted)
        else:
            self.answer(404, b"{}")

    def resolve(self, repository: str, name: str, wanted: str | None) -> None:
        if status := self.hub.refuse.get(name):
            self.answer(status, b'{"error": "as the test wants it"}')
            return
        if page := self.hub.page.get(name):
            self.answer(200, page)
            return
        content = bytearray(self.hub.files[repository, name])
        if name in self.hub.corrupt:
            content[len(content) // 2] ^= 1
        start = 0
        if wanted and not self.hub.ignore_range:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        cuts = self.hub.cut.get(name)
        self.answer(206 if start else 200, bytes(content[start:]), headers, cuts.pop(0) if cuts else None)

    def answer(self, status: int, body: bytes, headers: dict | None = None, cut: int | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True

    def log_message(self, *_):
        pass
