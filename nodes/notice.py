"""Saying something about a run that is no error."""

from __future__ import annotations

import logging

from comfy_api.latest import ui
from server import PromptServer


def notice(node_id: str, text: str) -> ui.PreviewText:
    """Write a sentence to the log and onto the node in the editor; returns it for the run's outputs."""
    logging.warning("%s", text)
    PromptServer.instance.send_progress_text(text, node_id)
    return ui.PreviewText(text)
