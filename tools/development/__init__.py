"""The commands of `tools/dev.py`. They run on a bare Python 3.10 and use its standard library alone."""

from .page import chromium_path, frontend_files
from .releases import COMFYUI, OLDEST_COMFYUI, SUPPORTED_COMFYUI, comfyui_tree

__all__ = ["COMFYUI", "OLDEST_COMFYUI", "SUPPORTED_COMFYUI", "chromium_path", "comfyui_tree", "frontend_files"]
