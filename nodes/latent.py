"""Latents to sample: empty, or of a source sound with padding around it and ranges to regenerate."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.model_management
import comfy.sd
import torch
from comfy_api.latest import io

from ..audiox_core.errors import AudioXError
from ..audiox_core.lengths import (
    CLIP_SECONDS,
    SAMPLES_PER_LATENT,
    check_length,
    latent_frames,
    samples_from_seconds,
)
from ..audiox_core.media.audio import whole_sound
from ..audiox_core.media.splice import pad_sound
from ..audiox_core.models.shapes import LATENT_CHANNELS
from .audio_input import require_audio
from .batch_items import BatchItem, described, items_of, noise_mask
from .inputs import ANY_AUDIO, require_finite, seconds_input


def audio_latent(samples: torch.Tensor, items: Sequence[BatchItem]) -> dict:
    """A LATENT of these items."""
    ratio = {"type": "audio", "downscale_ratio_temporal": SAMPLES_PER_LATENT}
    return masked({"samples": samples, **ratio, **described(items)}, items)


def masked(latent: dict, items: Sequence[BatchItem]) -> dict:
    """The LATENT with the noise mask of its items."""
    mask = noise_mask(items, latent["samples"].shape[-1])
    return latent if mask is None else {**latent, "noise_mask": mask}


class EmptyLatent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXEmptyLatent",
            display_name="Empty AudioX Latent",
            category="audio/AudioX",
            description=(
                "An empty latent for a sound of up to 10 minutes. The models generate 10 s at a time; longer sounds "
                "are built from overlapping windows, cross-faded at every step."
            ),
            search_aliases=["empty latent audio", "audiox", "loop"],
            inputs=[
                seconds_input(
                    "seconds",
                    "Exact length of the sound. Anything up to 10 s takes equally long; each further 8 s adds as much "
                    "again. For a video's length, connect seconds of Encode Video Prompt.",
                    default=CLIP_SECONDS,
                    min=0.1,
                ),
                io.Int.Input(
                    "batch_size",
                    optional=True,
                    default=1,
                    min=1,
                    max=64,
                    tooltip="Number of sounds to generate together. AudioX Sample gives item i (from 0) seed + i.",
                ),
                io.Boolean.Input(
                    "loop",
                    optional=True,
                    default=False,
                    tooltip="Generate a sound whose end runs seamlessly into its beginning. Needs AudioX Sample and "
                    "AudioX VAE Decode; not for video prompts.",
                ),
            ],
            outputs=[io.Latent.Output(tooltip="For AudioX Sample, KSampler or SamplerCustom.")],
        )

    @classmethod
    def execute(cls, seconds: float = CLIP_SECONDS, batch_size: int = 1, loop: bool = False) -> io.NodeOutput:
        require_finite(seconds=seconds)
        check_length(seconds)
        length, frames = samples_from_seconds(seconds), latent_frames(seconds, loop=loop)
        device = comfy.model_management.intermediate_device()
        samples = torch.zeros(batch_size, LATENT_CHANNELS, frames, device=device)
        return io.NodeOutput(audio_latent(samples, [BatchItem(length, frames, loop)] * batch_size))


class VAEEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXVAEEncode",
            display_name="AudioX VAE Encode",
            category="audio/AudioX",
            description=(
                "Encodes a sound to edit: vary it (AudioX Sample with denoise below 1), regenerate a range (AudioX "
                "Mask Time Range), continue it (after) or add a lead-in (before). What you keep comes out of AudioX "
                "VAE Decode sample for sample."
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
                io.Audio.Input("audio", tooltip=ANY_AUDIO),
                seconds_input("before", "Seconds to generate before the sound."),
                seconds_input("after", "Seconds to generate after the sound."),
            ],
            outputs=[io.Latent.Output(tooltip="For AudioX Mask Time Range, AudioX Sample or KSampler.")],
        )

    @classmethod
    def execute(cls, vae: comfy.sd.VAE, audio: dict, before: float = 0.0, after: float = 0.0) -> io.NodeOutput:
        require_finite(before=before, after=after)
        if not hasattr(vae, "encode_statistics"):
            raise AudioXError("The VAE is not AudioX's: connect the VAE output of Load AudioX.")
        require_audio(audio)
        sound = torch.stack([whole_sound(item, audio["sample_rate"]) for item in audio["waveform"]])
        padded = pad_sound(sound, before, after)
        mean, _ = vae.encode_statistics(padded.waveform)
        items = [
            BatchItem(padded.samples, mean.shape[-1], source=source, encoded=encoded, ranges=padded.ranges)
            for source, encoded in zip(padded.original, mean, strict=True)
        ]
        return io.NodeOutput(audio_latent(mean, items))


class MaskRange(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXMaskRange",
            display_name="AudioX Mask Time Range",
            category="audio/AudioX",
            description=(
                "Marks a range of a sound to regenerate. The rest is kept sample for sample and cross-faded at the "
                "range's edges. Chain several nodes for several ranges. KSampler and SamplerCustom respect them too."
            ),
            search_aliases=["inpaint audio", "noise mask", "time mask", "audiox"],
            inputs=[
                io.Latent.Input("latent", tooltip="From AudioX VAE Encode."),
                seconds_input("start", "Where the range begins, in seconds.", default=2.0, optional=False),
                seconds_input(
                    "end", "Where the range ends, in seconds; 0 = the end of the sound.", default=4.0, optional=False
                ),
            ],
            outputs=[io.Latent.Output(tooltip="For AudioX Sample or KSampler.")],
        )

    @classmethod
    def execute(cls, latent: dict, start: float, end: float) -> io.NodeOutput:
        require_finite(start=start, end=end)
        items = [item.with_range(start, end) for item in items_of(latent)]
        changed = masked({**latent, **described(items, latent.get("batch_index"))}, items)
        items_of(changed)
        return io.NodeOutput(changed)
