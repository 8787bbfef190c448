"""Saying something about a run that is no error."""

from __future__ import annotations

import logging

from comfy_api.latest import ui
from server import PromptServer


def show(node_id: str, text: str) -> None:
    """Write onto a node in the editor."""
    PromptServer.instance.send_progress_text(text, node_id)


def notice(node_id: str, text: str) -> ui.PreviewText:
    """Write a sentence to the log and onto the node; returns it for the run's outputs."""
    logging.warning("%s", text)
    show(node_id, text)
    return ui.PreviewText(text)
