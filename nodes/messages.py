"""Messages about a run that are not errors."""

from __future__ import annotations

import logging

from comfy_api.latest import ui


def show_on_node(node_id: str, text: str) -> None:
    """Write a line on a node, in the page that queued the prompt."""
    from server import PromptServer  # absent where the pack is imported without a server

    PromptServer.instance.send_progress_text(text, node_id, PromptServer.instance.client_id)


def warn_on_node(node_id: str, text: str) -> ui.PreviewText:
    """Write a sentence to the log and onto the node; returns it for the run's outputs."""
    logging.warning("%s", text)
    show_on_node(node_id, text)
    return ui.PreviewText(text)
