"""The ComfyUI side: node schemas, and adapters between audiox_core and ComfyUI."""

from comfy_api.latest import ComfyExtension, io

from .check_route import register_check
from .decode import VAEDecode
from .encode import EncodeAudio, EncodeText, EncodeVideo
from .folders import register_folders
from .latent import EmptyLatent, MaskRange, VAEEncode
from .load import Load
from .mux import MuxVideo
from .sample import Sample
from .save import SaveSound


class AudioXExtension(ComfyExtension):
    async def on_load(self) -> None:
        register_folders()
        register_check()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            Load,
            EncodeText,
            EncodeVideo,
            EncodeAudio,
            EmptyLatent,
            VAEEncode,
            MaskRange,
            Sample,
            VAEDecode,
            MuxVideo,
            SaveSound,
        ]
