"""AudioX for ComfyUI: text, video, images and sound in, sound and music out."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


async def comfy_entrypoint() -> "ComfyExtension":
    """The extension. Importing the pack alone loads no ComfyUI, which looks for a device: a scan may have none."""
    try:
        from .nodes import AudioXExtension
    except (ImportError, AttributeError):  # ComfyUI logs the last line alone, which does not tell where
        logging.getLogger(__name__).exception("AudioX Native could not be loaded. It needs ComfyUI 0.16.3 or newer.")
        raise
    return AudioXExtension()
