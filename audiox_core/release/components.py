"""The components of a checkpoint, each under the one name that the library has for it. Nothing here needs torch."""

NETWORK, VAE, CLIP_VISION, SYNCHFORMER, T5, TOKENIZER = COMPONENTS = (
    "network",
    "vae",
    "clip_vision",
    "synchformer",
    "t5",
    "tokenizer",
)

COMPONENT_TITLES = {
    NETWORK: "diffusion model",
    VAE: "VAE",
    CLIP_VISION: "CLIP vision tower",
    SYNCHFORMER: "Synchformer",
    T5: "T5 text encoder",
    TOKENIZER: "tokenizer",
}
