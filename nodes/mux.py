"""Add sound to a video without re-encoding its video stream."""

from __future__ import annotations

import logging
from io import BytesIO
from typing import get_args

from comfy_api.latest import Input, io

from ..audiox_core.media.extent import video_extent
from ..audiox_core.media.files import open_media, source_name
from ..audiox_core.media.mix_modes import MixMode
from ..audiox_core.media.mux import Cut, SoundPlacement, mux_video
from .audio_input import require_audio
from .inputs import DAY, require_finite, seconds_input
from .messages import show_on_node
from .temporary import content_key, count_losses, temporary_video
from .video import edited_file, interruptible


class MuxVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXMuxVideo",
            display_name="AudioX Mux Video",
            category="audio/AudioX",
            description=(
                "Adds sound to a video. The video stream is copied, not re-encoded: no loss, no waiting. A trimmed, "
                "cropped or resized video, or one built from images, is first encoded once by ComfyUI."
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
            hidden=[io.Hidden.unique_id],
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
        waveform, rate = audio["waveform"][0], audio["sample_rate"]
        placement, cut = SoundPlacement(offset, gain_db, loudness or None), Cut(start, duration or None)

        def write(path: str) -> None:
            mux_video(
                source,
                waveform,
                rate,
                path,
                mode=mode,
                placement=placement,
                cut=cut,
                subtitles=keeps_subtitles(source),
                progress=interruptible,
            )

        with edited_file(video) as source:
            result = temporary_video(content_key(source, waveform, rate, mode, placement, cut), write)
            shortfall = video_extent(source).shortfall(source)
        if shortfall is not None:
            show_on_node(cls.hidden.unique_id, shortfall)
        return io.NodeOutput(result)

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> int:
        """Another number after the temp folder was emptied, so that a cached result is written again."""
        return count_losses()


def keeps_subtitles(source: str | BytesIO) -> bool:
    """Whether an mp4 can take the video's subtitles unchanged: those of the mp4 family it can."""
    with open_media(source) as container:
        if "mp4" in container.format.name.split(",") or not container.streams.subtitles:
            return True
    logging.info("AudioX Mux Video writes mp4: the subtitles of %s are left out.", source_name(source))
    return False
