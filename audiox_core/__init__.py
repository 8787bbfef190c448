"""AudioX without ComfyUI: models, checkpoints, samplers and media. `AudioX` is the way in; see `pipeline`."""

from typing import TYPE_CHECKING, Any

from .errors import AudioXError
from .request import Request

if TYPE_CHECKING:
    from .pipeline import AudioX
    from .prompts import Prompt

__all__ = ["AudioX", "AudioXError", "Prompt", "Request"]


def __getattr__(name: str) -> Any:
    """Import what needs torch and PyAV only when it is used: both take seconds."""
    if name == "AudioX":
        from .pipeline import AudioX

        return AudioX
    if name == "Prompt":
        from .prompts import Prompt

        return Prompt
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
