"""The core behind the interfaces that ComfyUI expects: MODEL, CLIP, VAE, video encoders and previews."""
