"""The components of a checkpoint, each under the one name that the library has for it. Nothing here needs torch."""

NETWORK, VAE, CLIP_VISION, SYNCHFORMER, T5, TOKENIZER = COMPONENTS = (
    "network",
    "vae",
    "clip_vision",
    "synchformer",
    "t5",
    "tokenizer",
)

PROMPT_ENCODER = "prompt_encoder"
"""The encoder of a second VAE, for audio prompts: only where a checkpoint's two copies of the VAE differ."""

COMPONENT_TITLES = {
    NETWORK: "diffusion model",
    VAE: "VAE",
    CLIP_VISION: "CLIP vision tower",
    SYNCHFORMER: "Synchformer",
    T5: "T5 text encoder",
    TOKENIZER: "tokenizer",
    PROMPT_ENCODER: "VAE encoder for audio prompts",
}
