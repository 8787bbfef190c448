"""Keys under which the nodes pass values on to one another: in a CONDITIONING, a LATENT or an AUDIO."""

# Of a conditioning's dictionary

CLIP_TOKENS = "audiox_clip_tokens"
"""CLIP tokens of a video, as `prompts.Prompt` holds them."""

SYNC_FEATURES = "audiox_sync_features"
"""Synchformer features of the same video."""

AUDIO = "audiox_audio"
"""An encoded audio prompt."""

STILL = "audiox_still"
"""Whether the video is a static image, so that one window of it serves a sound of any length."""

PRESENT = "pooled_output"
"""One for a prompt, zero for one that ConditioningZeroOut made unconditional."""

# Of a LATENT

SECONDS = "audiox_seconds"
"""Length that AudioX VAE Decode gives the sound."""

ORIGINAL = "audiox_original"
"""The source sound (B, 2, samples) of an encoded latent, for the parts that are kept."""

RANGES = "audiox_ranges"
"""(first, last) samples to regenerate; everything else comes from the source."""

# Of more than one

LOOP = "audiox_loop"
"""Whether the sound's end meets its beginning: of a LATENT, of its conditionings and of transformer_options."""

TOOK = "audiox_took"
"""Seconds that sampling, and then decoding, took: of a LATENT and of an AUDIO."""
