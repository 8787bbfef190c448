"""The demo checkpoints that come with the library: two very small models for trying things out.

They only know a toy world of tones, sweeps, ticks, noise, chords and beats; `training/` trained them from scratch on
synthetic sounds. Licence: Apache-2.0, like the code.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = {"turbo": "demo_turbo.safetensors", "base": "demo_base.safetensors"}
DEFAULT = "turbo"


def demo_path(variant: str = DEFAULT) -> Path:
    """File of a demo checkpoint, "turbo" or "base"; its VAE and encoders are beside it."""
    return FOLDER / NAMES[variant]
