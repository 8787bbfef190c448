"""The most memory that this process holds while something runs. Linux only."""

from __future__ import annotations

import threading
import time
from pathlib import Path


def resident() -> dict[str, int]:
    """RssAnon and RssFile of this process in bytes."""
    fields = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(("RssAnon", "RssFile")):
            name, value, _ = line.split()
            fields[name.rstrip(":")] = int(value) * 1024
    return fields


class Peak:
    """Largest resident memory above the start, sampled by a thread."""

    def __enter__(self) -> Peak:
        self.start, self.most, self.anonymous = resident(), 0, 0
        self.running = True
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self) -> None:
        while self.running:
            self.sample()
            time.sleep(0.002)

    def sample(self) -> None:
        now = resident()
        self.most = max(self.most, sum(now.values()) - sum(self.start.values()))
        self.anonymous = max(self.anonymous, now["RssAnon"] - self.start["RssAnon"])

    def __exit__(self, *_) -> None:
        self.running = False
        self.thread.join()
        self.sample()
