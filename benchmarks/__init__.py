"""Speed and memory of audiox_core, beside the official code when a checkout of it is named."""
