"""Encode Text, Video and Audio Prompt: each enriches a conditioning, alone or after one another."""

from __future__ import annotations

import logging

import torch
from comfy_api.latest import io

from ..audiox_core.errors import AudioXError
from ..audiox_core.media.audio import prepare_prompt
from ..audiox_core.media.frames import frames_from_images
from ..audiox_core.model.encoders import TEXT_TOKENS
from ..audiox_core.prompts import encode_prompt
from ..audiox_core.tasks import TASKS
from .comfy_network import AUDIO, CLIP_TOKENS, SYNC_FEATURES
from .conditioning import with_text, with_values
from .load import VideoEncoderType
from .sound import require_sound
from .video import frames_of_video

OWN_WORDS = "own words"
"""The task that leaves the text as it is."""


def _conditioning_input() -> io.Conditioning.Input:
    return io.Conditioning.Input(
        "conditioning", optional=True, tooltip="A prompt to add to, from another AudioX encode node."
    )


class EncodeText(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXEncodeText",
            display_name="AudioX Encode Text Prompt",
            category="audio/AudioX",
            description="Encodes a text prompt with T5-base, as AudioX was trained: 128 tokens, no weights.",
            search_aliases=["text to audio", "text to music", "sound effects", "prompt", "audiox"],
            inputs=[
                io.Clip.Input("clip", tooltip="T5-base from Load AudioX, or from CLIPLoader of type stable_audio."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    default="Typing on a keyboard",
                    tooltip="What should be heard. Parentheses are text here, not weights. For a video alone use "
                    "'Generate general audio for the video' or 'Generate music for the video'.",
                ),
                _conditioning_input(),
                io.Combo.Input(
                    "task",
                    optional=True,
                    options=[OWN_WORDS, *TASKS],
                    extra_dict={"sentences": TASKS},
                    tooltip="Choosing one writes its sentence into text, for you to change. Only text counts.",
                ),
            ],
            outputs=[io.Conditioning.Output(tooltip="The prompt with this text.")],
        )

    @classmethod
    def execute(cls, clip, text, conditioning=None, task=OWN_WORDS) -> io.NodeOutput:
        if clip is None:
            raise AudioXError(
                "There is no text encoder: choose t5-base as text_encoder in Load AudioX, or connect a CLIPLoader of "
                "type stable_audio."
            )
        tokens = clip.tokenize(text, disable_weights=True)
        if set(tokens) != {"t5base"}:
            raise AudioXError(
                f"The text encoder is {', '.join(tokens)}, expected T5-base: choose it as text_encoder in Load AudioX, "
                "or in a CLIPLoader of type stable_audio."
            )
        tokens = cut_tokens(tokens, clip)
        return io.NodeOutput(with_text(conditioning, clip.encode_from_tokens_scheduled(tokens)))


def cut_tokens(tokens: dict[str, list], clip) -> dict[str, list]:
    """Cut a tokenised prompt to the length AudioX was trained with, and say what was cut."""
    out = {}
    for key, rows in tokens.items():
        row = [token for batch in rows for token in batch]
        if len(row) > TEXT_TOKENS:
            lost = row[TEXT_TOKENS - 1 : -1]
            words = "".join(word for _, word in clip.tokenizer.untokenize(lost)).replace("▁", " ").strip()
            logging.warning("AudioX prompts have %d tokens; %d were cut off: %s", TEXT_TOKENS, len(lost), words)
            row = [*row[: TEXT_TOKENS - 1], row[-1]]
        out[key] = [row]
    return out


class EncodeVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXEncodeVideo",
            display_name="AudioX Encode Video Prompt",
            category="audio/AudioX",
            description=(
                "Encodes 10 s of a video (what is seen, and when it happens) for sound that fits it. Only the "
                "frames needed are read. A still image works as a video."
            ),
            search_aliases=["video to audio", "video to sound", "foley", "soundtrack", "image to audio", "audiox"],
            inputs=[
                VideoEncoderType.Input("video_encoder", tooltip="From Load AudioX."),
                io.Video.Input("video", optional=True, tooltip="The video, read from its file. Connect it or images."),
                io.Image.Input("images", optional=True, tooltip="Frames instead of a video; one image is a still."),
                _conditioning_input(),
                io.Float.Input(
                    "fps",
                    optional=True,
                    default=24.0,
                    min=0.1,
                    max=1000.0,
                    step=0.001,
                    tooltip="Frames a second of the images; a video knows its own rate.",
                ),
                io.Float.Input(
                    "start",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=86400.0,
                    step=0.01,
                    tooltip="Second of the video at which the 10 s begin.",
                ),
                io.Combo.Input(
                    "frame_sampling",
                    optional=True,
                    options=["by time", "official stride"],
                    advanced=True,
                    tooltip="by time takes the frame at each time, right for any rate. official stride repeats "
                    "upstream's reader, which drifts unless the video has 25 or 50 frames a second.",
                ),
            ],
            outputs=[io.Conditioning.Output(tooltip="The prompt with this video.")],
        )

    @classmethod
    def execute(
        cls, video_encoder, video=None, images=None, conditioning=None, fps=24.0, start=0.0, frame_sampling="by time"
    ) -> io.NodeOutput:
        if video_encoder is None:
            raise AudioXError(
                "There is no video encoder: the checkpoint in Load AudioX has no CLIP tower or no Synchformer. Put "
                "synchformer_state_dict.pth into a folder synchformer beside the model, or use a converted file."
            )
        if (video is None) == (images is None):
            given = "neither" if video is None else "both"
            raise AudioXError(f"A video or images are expected, {given} given: connect exactly one of the two.")
        stride = frame_sampling == "official stride"
        requests = video_encoder.requests()
        if video is not None:
            frames = frames_of_video(video, requests, start, stride)
        else:
            frames = frames_from_images(
                images[..., :3], fps, requests, start=start, stride_sampling=stride
            )
        values = {CLIP_TOKENS: None, SYNC_FEATURES: None}
        if frames[0].any():  # upstream takes an all-black video as none at all, and the weights know it so
            values = dict(zip(values, video_encoder.encode(*frames), strict=True))
        return io.NodeOutput(with_values(conditioning, values))


class EncodeAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXEncodeAudio",
            display_name="AudioX Encode Audio Prompt",
            category="audio/AudioX",
            description="Encodes 10 s of sound or music as a prompt, for instance to continue a melody.",
            search_aliases=["audio to audio", "music continuation", "reference audio", "audiox"],
            inputs=[
                io.Vae.Input("vae", tooltip="From Load AudioX."),
                io.Audio.Input("audio", tooltip="Any rate; mono is doubled, of more than two channels two are taken."),
                _conditioning_input(),
                io.Float.Input(
                    "start",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=86400.0,
                    step=0.01,
                    tooltip="Second of the sound at which the 10 s begin.",
                ),
                io.Combo.Input(
                    "latent",
                    optional=True,
                    options=["sample", "mean"],
                    advanced=True,
                    tooltip="sample draws from the VAE's posterior as upstream does; mean leaves the noise out. "
                    "AudioX-MAF hears a spectrogram, not a latent, and is the same with both.",
                ),
                io.Boolean.Input(
                    "random_mask",
                    optional=True,
                    default=False,
                    advanced=True,
                    tooltip="Silence a random 25 to 75 % of the prompt (AudioX-MAF: 70 to 100 %), as upstream does "
                    "even when generating. Not for the first AudioX, which was trained with whole prompts.",
                ),
                io.Int.Input(
                    "seed",
                    optional=True,
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    advanced=True,
                    tooltip="For sample and random_mask; apart from the sampler's seed, so re-rolling encodes nothing.",
                ),
            ],
            outputs=[io.Conditioning.Output(tooltip="The prompt with this sound.")],
        )

    @classmethod
    def execute(
        cls, vae, audio, conditioning=None, start=0.0, latent="sample", random_mask=False, seed=0
    ) -> io.NodeOutput:
        if not hasattr(vae, "prompt_sizes"):
            raise AudioXError("The VAE is not AudioX's: connect the VAE output of Load AudioX.")
        require_sound(audio)
        prompts = torch.stack(
            [prepare_prompt(item, audio["sample_rate"], start=start) for item in audio["waveform"]]
        )  # (B, 2, samples)
        encoded = encode_prompt(
            vae.prompt_sizes,
            prompts,
            vae.encode_statistics,
            torch.Generator().manual_seed(seed),
            use_mean=latent == "mean",
            random_mask=random_mask,
        )
        return io.NodeOutput(with_values(conditioning, {AUDIO: encoded}))
