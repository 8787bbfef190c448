"""AudioX for ComfyUI: text, video, images and sound in, sound and music out."""

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


async def comfy_entrypoint():
    """The extension. Importing the pack alone loads no ComfyUI, which looks for a device: a scan may have none."""
    from .nodes import AudioXExtension

    return AudioXExtension()
