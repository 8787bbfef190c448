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

ITEMS = "audiox_items"
"""What its rows are, as `batch_items.BatchItem`, where its `batch_index` does not say so."""

# Of more than one

LOOP = "audiox_loop"
"""Whether the sound's end meets its beginning: of the conditionings of a run and of its transformer_options."""

TOOK = "audiox_took"
"""Seconds that sampling, and then decoding, took: of a LATENT and of an AUDIO."""
