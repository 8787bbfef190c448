"""Opening, checking and converting the files of the AudioX models."""

from ..variants import VARIANTS
from .open import open_checkpoint
from .opened import Checkpoint

__all__ = ["VARIANTS", "Checkpoint", "open_checkpoint"]
