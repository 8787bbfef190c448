"""What an AUDIO input has to hold before a node can use it."""

from __future__ import annotations

from ..audiox_core.errors import AudioXError

TOOK = "audiox_took"
"""Key of a LATENT and of an AUDIO: the seconds that sampling, and then decoding, took."""


def require_audio(audio: dict | None) -> None:
    """AudioXError for the AUDIO of a video without a sound track, which is None, and for an empty batch."""
    if audio is None:
        raise AudioXError(
            "There is no sound: the audio input carries none, as of a video without a track; connect another one."
        )
    if len(audio["waveform"]) == 0:
        raise AudioXError("The audio is an empty batch, expected at least one sound: connect another one.")
