"""Checks of an AUDIO input."""

from __future__ import annotations

from ..audiox_core.errors import AudioXError


def require_audio(audio: dict | None) -> None:
    """AudioXError for None, as a video without an audio track gives it, and for an empty batch."""
    if audio is None:
        raise AudioXError(
            "There is no sound: the audio input is empty, as for a video without an audio track. Connect another one."
        )
    if len(audio["waveform"]) == 0:
        raise AudioXError("The audio is an empty batch, expected at least one sound: connect another one.")
