"""Opening, checking and converting the files of the AudioX models."""

from ..release.variants import VARIANTS
from .checkpoint import Checkpoint
from .loading import open_checkpoint

__all__ = ["VARIANTS", "Checkpoint", "open_checkpoint"]
