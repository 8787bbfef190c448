"""Latent to sound."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from server import PromptServer

from ..audiox_core.errors import AudioXError
from ..audiox_core.lengths import CLIP_SECONDS
from ..audiox_core.media.levels import finish
from ..audiox_core.media.loudness import GATE, loudness
from .sample import SECONDS


class VAEDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXVAEDecode",
            display_name="AudioX VAE Decode",
            category="audio/AudioX",
            description=(
                "Decodes a latent to 44.1 kHz stereo sound of the length asked for. Loud sound is scaled down just "
                "enough not to clip; nothing is made louder unless normalize is on."
            ),
            search_aliases=["latent to audio", "vae decode audio", "audiox"],
            inputs=[
                io.Vae.Input("vae", tooltip="From Load AudioX."),
                io.Latent.Input("latent", tooltip="From AudioX Sample or KSampler."),
                io.Float.Input(
                    "seconds",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=CLIP_SECONDS,
                    step=0.01,
                    tooltip="Length of the sound; 0 takes the length set in Empty AudioX Latent.",
                ),
                io.Boolean.Input(
                    "normalize",
                    optional=True,
                    default=False,
                    tooltip="Scale each sound to full level, as upstream does; near-silence becomes loud.",
                ),
            ],
            outputs=[
                io.Audio.Output(tooltip="44.1 kHz stereo."),
                io.Float.Output(
                    display_name="loudness",
                    is_output_list=True,
                    tooltip="LUFS of each sound of the batch; -70 for silence and for less than 0.4 s.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, vae, latent, seconds=0.0, normalize=False) -> io.NodeOutput:
        samples = latent["samples"]
        if samples.ndim != 3 or samples.shape[1] != vae.latent_channels or 0 in samples.shape:
            raise AudioXError(
                f"The latent has the shape {list(samples.shape)}, expected [batch, {vae.latent_channels}, length]: "
                "connect the latent of AudioX Sample or of a KSampler with an AudioX model."
            )
        if not torch.isfinite(samples).all():
            raise AudioXError("The latent holds values that are not finite (NaN or infinite): sample it anew.")
        waveform = vae.decode(samples).movedim(-1, 1)  # (B, 2, samples)
        wanted = seconds or latent.get(SECONDS, CLIP_SECONDS)
        waveform = finish(waveform.float(), seconds=wanted, normalize=normalize)
        levels = measured(waveform, vae.audio_sample_rate)
        PromptServer.instance.send_progress_text(", ".join(f"{x:.1f}" for x in levels) + " LUFS", cls.hidden.unique_id)
        return io.NodeOutput({"waveform": waveform, "sample_rate": vae.audio_sample_rate}, levels)


def measured(waveform: torch.Tensor, sample_rate: int) -> list[float]:
    """Loudness of each sound (B, channels, samples), and GATE where there is none: JSON has no infinity."""
    return [max(loudness(sound, sample_rate), GATE) for sound in waveform]
