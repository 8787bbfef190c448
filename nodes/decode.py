"""Decode a latent to sound."""

from __future__ import annotations

import time

import comfy.sd
import torch
from comfy_api.latest import io

from ..audiox_core.errors import AudioXError
from ..audiox_core.measure.loudness import GATE, loudness
from ..audiox_core.media.decoding import decode_loop, decode_part
from ..audiox_core.media.peak_limit import limit_peak
from .batch_items import check_mask, items_of, length_of, loop_of
from .inputs import require_finite, seconds_input
from .keys import TOOK
from .messages import show_on_node


class VAEDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXVAEDecode",
            display_name="AudioX VAE Decode",
            category="audio/AudioX",
            description=(
                "Decodes a latent to 44.1 kHz stereo audio of the requested length. Loud sound is lowered just enough "
                "not to clip; nothing is raised unless normalize is on. Outside the ranges of AudioX Mask Time Range, "
                "the source comes out sample for sample."
            ),
            search_aliases=["latent to audio", "vae decode audio", "audiox"],
            inputs=[
                io.Vae.Input("vae", tooltip="From Load AudioX."),
                io.Latent.Input("latent", tooltip="From AudioX Sample or KSampler."),
                seconds_input("seconds", "Length of the sound; 0 = the length set in Empty AudioX Latent."),
                io.Boolean.Input(
                    "normalize",
                    optional=True,
                    default=False,
                    tooltip="Scale each sound to full level, as the official code does; near-silence becomes loud.",
                ),
            ],
            outputs=[
                io.Audio.Output(tooltip="44.1 kHz stereo audio."),
                io.Float.Output(
                    display_name="loudness",
                    is_output_list=True,
                    tooltip="Loudness of each sound of the batch in LUFS; -70 for silence or less than 0.4 s.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, vae: comfy.sd.VAE, latent: dict, seconds: float = 0.0, normalize: bool = False) -> io.NodeOutput:
        require_finite(seconds=seconds)
        samples = latent["samples"]
        if (
            not isinstance(samples, torch.Tensor)
            or samples.ndim != 3
            or samples.shape[1] != vae.latent_channels
            or 0 in samples.shape
        ):
            raise AudioXError(
                f"The latent has the shape {list(samples.shape)}, expected [batch, {vae.latent_channels}, length]: "
                "connect the latent of AudioX Sample or of a KSampler with an AudioX model."
            )
        if not torch.isfinite(samples).all():
            raise AudioXError("The latent holds values that are not finite (NaN or infinite): sample it again.")
        started = time.perf_counter()
        check_mask(latent)
        items = items_of(latent)
        length = length_of(items, samples.shape[-1], seconds)

        def decoded(part: torch.Tensor) -> torch.Tensor:
            return vae.decode(part).movedim(-1, 1).float()  # (B, 2, samples)

        waveform = (decode_loop if loop_of(items) else decode_part)(decoded, samples, length)
        if any(item.ranges for item in items):
            waveform = torch.cat([item.spliced(sound) for item, sound in zip(items, waveform.split(1), strict=True)])
        waveform = limit_peak(waveform, normalize=normalize)
        levels = measured(waveform, vae.audio_sample_rate)
        show_on_node(cls.hidden.unique_id, ", ".join(f"{level:.1f}" for level in levels) + " LUFS")
        took = latent.get(TOOK, 0.0) + time.perf_counter() - started
        return io.NodeOutput({"waveform": waveform, "sample_rate": vae.audio_sample_rate, TOOK: took}, levels)


def measured(waveform: torch.Tensor, sample_rate: int) -> list[float]:
    """Loudness of each sound (B, channels, samples), and GATE where there is none: JSON has no infinity."""
    return [max(loudness(sound, sample_rate), GATE) for sound in waveform]
