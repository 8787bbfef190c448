"""Add sound to a video without re-encoding its video stream."""

from __future__ import annotations

import logging
import os
import uuid
from io import BytesIO
from typing import get_args

import folder_paths
from comfy_api.latest import Input, InputImpl, io

from ..audiox_core.media.mux import MP4_FAMILY, Cut, SoundPlacement, mux_video
from ..audiox_core.request import MixMode
from .audio_input import require_audio
from .inputs import DAY, require_finite, seconds_input
from .video import interruptible, untrimmed_file


class MuxVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXMuxVideo",
            display_name="AudioX Mux Video",
            category="audio/AudioX",
            description=(
                "Adds sound to a video. The video stream is copied, not re-encoded: no loss, no waiting. A trimmed "
                "video, or one built from images, is first encoded once by ComfyUI."
            ),
            search_aliases=["add audio to video", "combine audio video", "soundtrack", "merge", "audiox"],
            inputs=[
                io.Video.Input("video", tooltip="The video to add the sound to."),
                io.Audio.Input("audio", tooltip="The sound to add; only the first item of a batch is used."),
                io.Combo.Input(
                    "mode",
                    optional=True,
                    options=list(get_args(MixMode)),
                    tooltip="replace the video's sound, mix both, or duck: lower the old one while the new one plays.",
                ),
                io.Float.Input(
                    "gain_db",
                    optional=True,
                    default=0.0,
                    min=-60.0,
                    max=24.0,
                    step=0.1,
                    tooltip="Gain of the new sound in decibels.",
                ),
                seconds_input(
                    "offset",
                    "Where in the video the sound starts, in seconds. Negative values cut off its beginning.",
                    min=-DAY,
                    max=DAY,
                ),
                seconds_input("start", "Where in the video the result begins, in seconds.", max=DAY, advanced=True),
                seconds_input(
                    "duration",
                    "Length of the result in seconds; 0 = to the end of the video.",
                    max=DAY,
                    advanced=True,
                ),
                io.Float.Input(
                    "loudness",
                    optional=True,
                    default=0.0,
                    min=-70.0,
                    max=0.0,
                    step=0.1,
                    tooltip="Target loudness of the new sound in LUFS, as far as peaks allow: -23 for broadcast, -14 "
                    "for streaming; 0 = off.",
                ),
            ],
            outputs=[io.Video.Output(tooltip="The video with the new sound, for Save Video.")],
        )

    @classmethod
    def execute(
        cls,
        video: Input.Video,
        audio: dict,
        mode: MixMode = "replace",
        gain_db: float = 0.0,
        offset: float = 0.0,
        start: float = 0.0,
        duration: float = 0.0,
        loudness: float = 0.0,
    ) -> io.NodeOutput:
        require_finite(gain_db=gain_db, offset=offset, start=start, duration=duration, loudness=loudness)
        require_audio(audio)
        os.makedirs(folder_paths.get_temp_directory(), exist_ok=True)
        with untrimmed_file(video) as source:
            path = temporary_path()
            mux_video(
                source,
                audio["waveform"][0],
                audio["sample_rate"],
                path,
                mode=mode,
                placement=SoundPlacement(offset, gain_db, loudness or None),
                cut=Cut(start, duration or None),
                subtitles=keeps_subtitles(source),
                progress=interruptible,
            )
        return io.NodeOutput(InputImpl.VideoFromFile(path))


def temporary_path() -> str:
    """Path of a new mp4, the format of Save Video, in the temp folder, which ComfyUI empties on start and stop."""
    return os.path.join(folder_paths.get_temp_directory(), f"audiox_{uuid.uuid4().hex}.mp4")


def keeps_subtitles(source: str | BytesIO) -> bool:
    """Whether an mp4 can take the video's subtitles unchanged: those of the mp4 family it can."""
    if not isinstance(source, str) or os.path.splitext(source)[1].lower() in MP4_FAMILY:
        return True
    logging.info("AudioX Mux Video writes mp4: any subtitles of %s are left out.", os.path.basename(source))
    return False
