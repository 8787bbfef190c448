"""Our progress as the bar of the node that is running."""

from __future__ import annotations

import comfy.model_management
import comfy.utils

from ...audiox_core.progress import Progress


def node_progress(total: int = 0) -> Progress:
    """Shows progress on the running node, and stops where the user has interrupted the run.

    total: of all stages together, which then share one bar; without it each stage has a bar of its own.
    """
    bar = comfy.utils.ProgressBar(total)
    ended, last = 0, 0  # units of the stages that have ended, and of the one that runs

    def show(stage: str, done: int, of: int) -> None:
        nonlocal ended, last
        comfy.model_management.throw_exception_if_processing_interrupted()
        if total == 0:
            bar.update_absolute(done, of)
            return
        if done < last:  # the next stage begins
            ended += last
        last = done
        bar.update_absolute(ended + done)

    return show
