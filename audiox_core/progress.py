"""How long work reports its progress."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""progress(stage, done, total); may raise to stop the work.

The stages of a run are "load" (bytes of weights), "text" (prompts), "video" and "audio" (frames), "sample" (steps) and
"decode" (frames); those of a conversion "compare", "hash" and "convert" (bytes). Each stage begins with a call whose
`done` is 0, so that a clock can start there.
"""

Report = Callable[[float], None]
"""report(amount of work done since the last call)."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def no_report(amount: float) -> None:
    """Report nothing."""


class Counter:
    """Adds up the amounts of a stage that its work reports bit by bit; the stage begins when the counter is made."""

    def __init__(self, progress: Progress, stage: str, total: int) -> None:
        self.progress, self.stage, self.total = progress, stage, total
        self.done = 0.0
        progress(stage, 0, total)

    def __call__(self, amount: float) -> None:
        """Add an amount; a `Report`."""
        self.done += amount
        self.progress(self.stage, min(round(self.done), self.total), self.total)
