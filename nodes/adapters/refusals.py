"""What nodes can ask of a model of ComfyUI but AudioX cannot do: each is refused where it would have no effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ...audiox_core.errors import AudioXError

SETTERS = {
    "attn1": "Perturbed-Attention Guidance or Self-Attention Guidance",
    "attn1_patch": "Token Merging (ToMe), HyperTile or a hypernetwork",
    "attn1_output_patch": "Normalized Attention Guidance, ToMe or HyperTile",
    "dit": "Skip Layer Guidance",
    "input_block_patch": "PatchModelAddDownscale (Kohya Deep Shrink)",
    "input_block_patch_after_skip": "PatchModelAddDownscale (Kohya Deep Shrink)",
    "output_block_patch": "FreeU",
    "middle_patch": "GLIGEN",
}
"""Kinds of patches of a network's inside -> the nodes of core that set them."""


def check_patches(transformer_options: Mapping[str, Any], control: object = None) -> None:
    """AudioXError for a patch of the network's inside, which AudioX's transformer does not call."""
    kinds = [kind for name in ("patches", "patches_replace") for kind, set_ in _of(transformer_options, name) if set_]
    if kinds:
        node = SETTERS.get(kinds[0], "one that patches attention or blocks")
        raise AudioXError(
            f"Remove the node that sets the patch {kinds[0]!r} on the model, such as {node}: it is made for other "
            "networks, and AudioX's layers would ignore it."
        )
    if transformer_options.get("rope_options"):
        raise AudioXError(
            "Remove ScaleROPE: it rescales positions of image and video models, and AudioX's layers would ignore it."
        )
    if transformer_options.get("context_window") is not None:
        raise AudioXError(
            "Remove the Context Windows node: AudioX splits a long sound into windows by itself, each with its own "
            "part of the prompt. Set the length in Empty AudioX Latent."
        )
    if control is not None:
        raise AudioXError("Remove the ControlNet from the conditioning: there is none for AudioX.")


def _of(transformer_options: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    return list((transformer_options.get(name) or {}).items())


def check_conditioning(cond: Mapping[str, Any]) -> None:
    """AudioXError for a conditioning that is limited to a part of an image."""
    kind = next((name for name in ("mask", "area") if cond.get(name) is not None), None)
    if kind:
        raise AudioXError(
            f"Remove Conditioning (Set {kind.title()}): it limits a prompt to a part of an image; a sound has none. "
            "For a part in time, regenerate a range with AudioX Mask Time Range."
        )


def check_joined_text(text: torch.Tensor, limit: int) -> None:
    """AudioXError for text tokens (C, tokens, width) with more words behind the padding of the first text.

    A single long text has no padding; its end is cut off, as in training.
    """
    if text.shape[1] > limit and not text[:, limit - 1].any() and text[:, limit:].any():
        raise AudioXError(
            f"The text embedding has {text.shape[1]} tokens, as Conditioning (Concat) joins two texts, and AudioX "
            f"takes {limit}: write both into one text, or use Conditioning (Combine)."
        )


class NoUNet(dict):
    """The network's configuration, which has none of a U-Net's entries: nodes such as FreeU ask for them."""

    def __missing__(self, key: str) -> None:
        raise AudioXError(
            f"Remove FreeU, or another node for U-Nets: it asks for the model's {key!r}, and AudioX is a transformer."
        )
