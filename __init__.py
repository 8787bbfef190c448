"""AudioX for ComfyUI: text, video, images and sound in, sound and music out."""

from .nodes import comfy_entrypoint

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
