"""Inputs that several nodes share.

Widgets are optional with a default, although core requires them: a workflow saved before a widget was added has no
value for it, and must keep running.
"""

from __future__ import annotations

import math

from comfy_api.latest import io

from ..audiox_core.errors import AudioXError
from ..audiox_core.lengths import LONGEST_SECONDS

DAY = 86400.0
"""Latest time in a media file that a node accepts, in seconds."""

ANY_AUDIO = "Any sample rate. Mono is duplicated; only the first two channels are used."
"""Tooltip of audio that the VAE encodes."""


def seconds_input(
    name: str,
    tooltip: str,
    *,
    default: float = 0.0,
    min: float = 0.0,
    max: float = LONGEST_SECONDS,
    optional: bool = True,
    advanced: bool | None = None,
) -> io.Float.Input:
    """A time or a length in seconds."""
    return io.Float.Input(
        name, optional=optional, default=default, min=min, max=max, step=0.01, advanced=advanced, tooltip=tooltip
    )


def require_finite(**values: float) -> None:
    """AudioXError for an input that is NaN or infinite: core's limits let NaN through and do not hold for links."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise AudioXError(f"Set {name} to a number: it is {value:g}.")
