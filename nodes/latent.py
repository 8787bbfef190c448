"""Latents to sample: empty, or of a known sound with room around it and ranges to make anew."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.model_management
import torch
from comfy_api.latest import io

from ..audiox_core.errors import AudioXError
from ..audiox_core.lengths import (
    CLIP_SECONDS,
    LONGEST_SECONDS,
    SAMPLE_RATE,
    SAMPLES_PER_LATENT,
    check_length,
    latent_frames,
    samples_from_seconds,
)
from ..audiox_core.media.audio import whole_sound
from ..audiox_core.media.splice import checked_range, pad_sound, regenerated_frames
from ..audiox_core.models.shapes import LATENT_CHANNELS
from .adapters.network import LOOP
from .audio_input import require_audio

SECONDS = "audiox_seconds"
"""Key of a LATENT that tells VAE Decode how long the sound shall be."""

ORIGINAL = "audiox_original"
"""Key of a LATENT: the sound it was encoded from (B, 2, samples), for what is kept of it."""

RANGES = "audiox_ranges"
"""Key of a LATENT: (first, last) samples of what is made anew; the rest of the original is kept."""


def audio_latent(samples: torch.Tensor, length: int, **values) -> dict:
    """A LATENT for a sound of `length` samples."""
    ratio = {"type": "audio", "downscale_ratio_temporal": SAMPLES_PER_LATENT}
    return {"samples": samples, **ratio, SECONDS: length / SAMPLE_RATE, **values}


class EmptyLatent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXEmptyLatent",
            display_name="Empty AudioX Latent",
            category="audio/AudioX",
            description=(
                "An empty latent for a sound of any length up to 10 minutes. The models make 10 s at a time; longer "
                "sound is made of such windows, cross-faded at every step."
            ),
            search_aliases=["empty latent audio", "audiox", "loop"],
            inputs=[
                io.Float.Input(
                    "seconds",
                    optional=True,
                    default=CLIP_SECONDS,
                    min=0.1,
                    max=LONGEST_SECONDS,
                    step=0.01,
                    tooltip="Length of the sound, to the sample. Up to 10 s take the same time; beyond, every further "
                    "8 s take as long again. Connect the seconds of Encode Video Prompt for the video's length.",
                ),
                io.Int.Input(
                    "batch_size",
                    optional=True,
                    default=1,
                    min=1,
                    max=64,
                    tooltip="Sounds made at once; AudioX Sample gives item i the seed plus i.",
                ),
                io.Boolean.Input(
                    "loop",
                    optional=True,
                    default=False,
                    tooltip="Make a sound whose end meets its beginning without a seam. For AudioX Sample and AudioX "
                    "VAE Decode; not to a video.",
                ),
            ],
            outputs=[io.Latent.Output(tooltip="For AudioX Sample, KSampler or SamplerCustom.")],
        )

    @classmethod
    def execute(cls, seconds=CLIP_SECONDS, batch_size=1, loop=False) -> io.NodeOutput:
        check_length(seconds)
        length, frames = samples_from_seconds(seconds), latent_frames(seconds, loop=loop)
        device = comfy.model_management.intermediate_device()
        samples = torch.zeros(batch_size, LATENT_CHANNELS, frames, device=device)
        return io.NodeOutput(audio_latent(samples, length, **({LOOP: True} if loop else {})))


class VAEEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXVAEEncode",
            display_name="AudioX VAE Encode",
            category="audio/AudioX",
            description=(
                "Encodes a sound to work on: to vary it (AudioX Sample with denoise below 1), to make a range anew "
                "(AudioX Mask Time Range), or to go on after it or lead up to it (room after or before). What is kept "
                "comes out of AudioX VAE Decode as it went in."
            ),
            search_aliases=[
                "audio to latent",
                "inpaint audio",
                "continue music",
                "extend audio",
                "variation",
                "audiox",
            ],
            inputs=[
                io.Vae.Input("vae", tooltip="From Load AudioX."),
                io.Audio.Input("audio", tooltip="Any rate; mono is doubled, of more than two channels two are taken."),
                io.Float.Input(
                    "before",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=LONGEST_SECONDS,
                    step=0.01,
                    tooltip="Seconds to make before the sound.",
                ),
                io.Float.Input(
                    "after",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=LONGEST_SECONDS,
                    step=0.01,
                    tooltip="Seconds to make after the sound.",
                ),
            ],
            outputs=[io.Latent.Output(tooltip="For AudioX Mask Time Range, AudioX Sample or KSampler.")],
        )

    @classmethod
    def execute(cls, vae, audio, before=0.0, after=0.0) -> io.NodeOutput:
        if not hasattr(vae, "encode_statistics"):
            raise AudioXError("The VAE is not AudioX's: connect the VAE output of Load AudioX.")
        require_audio(audio)
        sound = torch.stack([whole_sound(item, audio["sample_rate"]) for item in audio["waveform"]])
        padded = pad_sound(sound, before, after)
        mean, _ = vae.encode_statistics(padded.waveform)
        return io.NodeOutput(
            with_ranges(audio_latent(mean, padded.samples, **{ORIGINAL: padded.original}), padded.ranges)
        )


class MaskRange(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXMaskRange",
            display_name="AudioX Mask Time Range",
            category="audio/AudioX",
            description=(
                "Marks a range of a sound to make anew; the rest is kept to the sample and cross-faded at the range's "
                "edges. Several in a row mark several ranges. KSampler and SamplerCustom respect it too."
            ),
            search_aliases=["inpaint audio", "noise mask", "time mask", "audiox"],
            inputs=[
                io.Latent.Input("latent", tooltip="From AudioX VAE Encode."),
                io.Float.Input(
                    "start", default=2.0, min=0.0, max=LONGEST_SECONDS, step=0.01, tooltip="Second at which it begins."
                ),
                io.Float.Input(
                    "end",
                    default=4.0,
                    min=0.0,
                    max=LONGEST_SECONDS,
                    step=0.01,
                    tooltip="Second at which it ends; 0 is the end of the sound.",
                ),
            ],
            outputs=[io.Latent.Output(tooltip="For AudioX Sample or KSampler.")],
        )

    @classmethod
    def execute(cls, latent, start, end) -> io.NodeOutput:
        if ORIGINAL not in latent:
            raise AudioXError(
                "The latent holds no sound of which a part could be kept: connect AudioX VAE Encode, not an empty or "
                "a sampled latent."
            )
        return io.NodeOutput(with_ranges(latent, [checked_range(start, end, latent[ORIGINAL].shape[-1])]))


def with_ranges(latent: dict, ranges: Sequence[tuple[int, int]]) -> dict:
    """A LATENT with further ranges (first, last) of samples to make anew."""
    ranges = [*latent.get(RANGES, []), *ranges]
    if not ranges:
        return latent
    mask = regenerated_frames(ranges, latent[ORIGINAL].shape[-1], latent["samples"].shape[-1])
    return {**latent, RANGES: ranges, "noise_mask": mask[None, None]}  # (1, 1, frames): core's own masks are pictures
