"""Sound onto a video, without encoding the pictures again."""

from __future__ import annotations

import logging
import os
import uuid
from typing import get_args

import folder_paths
from comfy_api.latest import InputImpl, io

from ..audiox_core.media.mix import Mode
from ..audiox_core.media.mux import MP4_FAMILY, Cut, SoundPlacement, mux_video
from .audio_input import require_audio
from .video import interruptible, untrimmed_file


class MuxVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXMuxVideo",
            display_name="AudioX Mux Video",
            category="audio/AudioX",
            description=(
                "Puts sound onto a video. The video's pictures are copied as they are: no loss, no waiting. A trimmed "
                "video, or one made from images, is encoded once by ComfyUI first."
            ),
            search_aliases=["add audio to video", "combine audio video", "soundtrack", "merge", "audiox"],
            inputs=[
                io.Video.Input("video", tooltip="The video to put the sound on."),
                io.Audio.Input("audio", tooltip="The sound; of a batch the first."),
                io.Combo.Input(
                    "mode",
                    optional=True,
                    options=list(get_args(Mode)),
                    tooltip="replace the video's own sound, mix both, or duck: lower its own while the new one plays.",
                ),
                io.Float.Input(
                    "gain_db",
                    optional=True,
                    default=0.0,
                    min=-60.0,
                    max=24.0,
                    step=0.1,
                    tooltip="Level of the new sound in decibels.",
                ),
                io.Float.Input(
                    "offset",
                    optional=True,
                    default=0.0,
                    min=-86400.0,
                    max=86400.0,
                    step=0.01,
                    tooltip="Second of the video at which the sound starts; negative cuts the sound's beginning.",
                ),
                io.Float.Input(
                    "start",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=86400.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Second of the video at which the result begins.",
                ),
                io.Float.Input(
                    "duration",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=86400.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Length of the result in seconds; 0 keeps the video's.",
                ),
                io.Float.Input(
                    "loudness",
                    optional=True,
                    default=0.0,
                    min=-70.0,
                    max=0.0,
                    step=0.1,
                    tooltip="LUFS to bring the new sound to, as far as peaks allow: -23 broadcast, -14 stream; 0: off.",
                ),
            ],
            outputs=[io.Video.Output(tooltip="The video with the sound, for Save Video.")],
        )

    @classmethod
    def execute(
        cls, video, audio, mode="replace", gain_db=0.0, offset=0.0, start=0.0, duration=0.0, loudness=0.0
    ) -> io.NodeOutput:
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
    """Path of a new mp4, as Save Video writes, in the temp folder, which ComfyUI empties when it starts and stops."""
    return os.path.join(folder_paths.get_temp_directory(), f"audiox_{uuid.uuid4().hex}.mp4")


def keeps_subtitles(source) -> bool:
    """Whether the subtitles of a video can go into an mp4 as they are: those of the mp4 family can."""
    fits = not isinstance(source, str) or os.path.splitext(source)[1].lower() in MP4_FAMILY
    if not fits:
        logging.info("AudioX Mux Video writes mp4; subtitles of %s, if any, are left out.", os.path.basename(source))
    return fits
