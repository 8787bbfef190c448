"""Names in a single converted file: one prefix for each part, native names behind it."""

from __future__ import annotations

from .key_mapping import CLIP_VISION, NETWORK, PARTS, SYNCHFORMER, T5, TOKENIZER, VAE

PREFIXES = {
    NETWORK: "model.diffusion_model.",
    VAE: "vae.",
    CLIP_VISION: "clip_vision.",
    SYNCHFORMER: "synchformer.",
    T5: "text_encoders.t5base.transformer.",
    TOKENIZER: "text_encoders.t5base.",
}
"""Part -> prefix in our files; the network's is the one that ComfyUI's ModelSave writes as well."""

TOKENIZER_NAME = "tokenizer_json"
"""The tokenizer part's only tensor: the bytes of tokenizer.json."""


def split_key(name: str) -> tuple[str, str] | None:
    """(part, native name) of a name in a single file, None for one without a prefix of ours."""
    for part in PARTS:
        prefix = PREFIXES[part]
        if name.startswith(prefix) and (part != TOKENIZER or name == prefix + TOKENIZER_NAME):
            return part, name[len(prefix) :]
    return None


def is_single_file(names) -> bool:
    """Does a file speak our names? Its released twin has `model.model.` and no `model.diffusion_model.`."""
    return any(split_key(name) for name in names)
