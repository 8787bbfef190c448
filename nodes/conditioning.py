"""Conditionings that carry AudioX prompts, built up by one encode node after another."""

from __future__ import annotations

import node_helpers
import torch

from ..audiox_core.models.shapes import TOKEN_WIDTH
from .keys import PRESENT


def without_text() -> list:
    """A prompt without text: one zero token, which a model of any width takes as no text."""
    return [[torch.zeros(1, 1, TOKEN_WIDTH), {PRESENT: torch.ones(1, 1)}]]


def with_text(conditioning: list | None, text: list) -> list:
    """The text of `text`, as ComfyUI's CLIP encoded it, added to what `conditioning` carries."""
    out = []
    for tokens, values in text:
        for _, carried in conditioning or [[None, {}]]:
            out.append([tokens, {**values, **carried, PRESENT: torch.ones(1, 1)}])
    return out


def with_values(conditioning: list | None, values: dict) -> list:
    """A conditioning that also carries `values`; without one to add to, a prompt without text."""
    return node_helpers.conditioning_set_values(conditioning or without_text(), {**values, PRESENT: torch.ones(1, 1)})
