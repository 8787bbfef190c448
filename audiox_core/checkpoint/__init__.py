"""Opening, checking and converting the files of AudioX-Turbo and its teacher."""

from .open import VARIANTS, open_checkpoint
from .opened import Checkpoint

__all__ = ["VARIANTS", "Checkpoint", "open_checkpoint"]
