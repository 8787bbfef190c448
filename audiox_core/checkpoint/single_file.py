"""Names in a single converted file: one prefix for each component, followed by native names."""

from __future__ import annotations

from collections.abc import Iterable

from ..release.components import CLIP_VISION, COMPONENTS, NETWORK, PROMPT_ENCODER, SYNCHFORMER, T5, TOKENIZER, VAE

PREFIXES = {
    NETWORK: "model.diffusion_model.",
    VAE: "vae.",
    CLIP_VISION: "clip_vision.",
    SYNCHFORMER: "synchformer.",
    T5: "text_encoders.t5base.transformer.",
    TOKENIZER: "text_encoders.t5base.",
    PROMPT_ENCODER: "prompt_encoder.",
}
"""Component -> prefix in our files; ComfyUI's ModelSave writes the network's too."""

TOKENIZER_NAME = "tokenizer_json"
"""The tokenizer's only tensor: the bytes of tokenizer.json."""


def split_key(name: str) -> tuple[str, str] | None:
    """(component, native name) of a name in a single file, None for one without our prefixes."""
    for part in (*COMPONENTS, PROMPT_ENCODER):
        prefix = PREFIXES[part]
        if name.startswith(prefix) and (part != TOKENIZER or name == prefix + TOKENIZER_NAME):
            return part, name[len(prefix) :]
    return None


def is_single_file(names: Iterable[str]) -> bool:
    """Are these our names? Released files have `model.model.` where ours have `model.diffusion_model.`."""
    names = list(names)
    if any(".transformer.layers.0." in name and not name.startswith(PREFIXES[NETWORK]) for name in names):
        return False
    return any(split_key(name) for name in names)
