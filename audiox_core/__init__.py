"""AudioX without ComfyUI: models, checkpoints, samplers and media."""
