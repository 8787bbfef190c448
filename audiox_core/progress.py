"""How long work reports its progress."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""progress(stage, done, total); may raise to stop the work."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""
