"""The core under the interfaces that ComfyUI expects: MODEL, CLIP, VAE and previews."""
