"""Encode Text, Video and Audio Prompt: each enriches a conditioning, alone or after one another."""

from __future__ import annotations

import contextlib

import torch
from comfy_api.latest import io

from ..audiox_core.errors import AudioXError
from ..audiox_core.lengths import CLIP_SECONDS, LONGEST_SECONDS, windows_from_seconds
from ..audiox_core.models.encoders import TEXT_TOKENS
from ..audiox_core.prompts import audio_window, concat_windows, covered_seconds, encode_prompt, encode_windows
from ..audiox_core.release.tasks import TASKS
from .adapters.network import AUDIO, CLIP_TOKENS, STILL, SYNC_FEATURES
from .audio_input import require_audio
from .conditioning import with_text, with_values
from .load import VideoEncoderType
from .messages import warn_on_node
from .video import image_footage, video_footage

OWN_WORDS = "own words"
"""The task that leaves the text to the user."""


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
            search_aliases=[
                "text to audio",
                "text to music",
                "text to sound",
                "sound effects",
                "sfx",
                "prompt",
                "audiox",
            ],
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
                    tooltip="Choosing one writes the sentence that the model was trained with, or an example, into "
                    "text, for you to change. What stands in text counts; an empty text takes the task's sentence.",
                ),
            ],
            outputs=[io.Conditioning.Output(tooltip="The prompt with this text.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, clip, text, conditioning=None, task=OWN_WORDS) -> io.NodeOutput:
        if clip is None:
            raise AudioXError(
                "There is no text encoder: choose t5-base as text_encoder in Load AudioX, or connect a CLIPLoader of "
                "type stable_audio."
            )
        encoded, lost = encoded_text(clip, text if text.strip() else TASKS.get(task, text))
        prompt = with_text(conditioning, encoded)
        if not lost:
            return io.NodeOutput(prompt)
        return io.NodeOutput(prompt, ui=warn_on_node(cls.hidden.unique_id, cut_sentence(lost)))


def encoded_text(clip, text: str) -> tuple[list, str]:
    """A text's conditioning as AudioX was trained, and the words of it that were cut off."""
    tokens = clip.tokenize(text, disable_weights=True)
    if set(tokens) != {"t5base"}:
        raise AudioXError(
            f"The text encoder is {', '.join(tokens)}, expected T5-base: choose it as text_encoder in Load AudioX, "
            "or in a CLIPLoader of type stable_audio."
        )
    tokens, lost = cut_tokens(tokens, clip)
    return clip.encode_from_tokens_scheduled(tokens), lost


def cut_tokens(tokens: dict[str, list], clip) -> tuple[dict[str, list], str]:
    """A tokenised prompt cut to the length AudioX was trained with, and the words that were cut off."""
    [(key, rows)] = tokens.items()
    row = [token for batch in rows for token in batch]
    if len(row) <= TEXT_TOKENS:
        return {key: [row]}, ""
    lost = row[TEXT_TOKENS - 1 : -1]
    words = "".join(word for _, word in clip.tokenizer.untokenize(lost)).replace("\u2581", " ").strip()
    return {key: [[*row[: TEXT_TOKENS - 1], row[-1]]]}, words


def cut_sentence(words: str) -> str:
    return f"The text is longer than the {TEXT_TOKENS} tokens that AudioX takes; this was cut off: {words}"


class EncodeVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXEncodeVideo",
            display_name="AudioX Encode Video Prompt",
            category="audio/AudioX",
            description=(
                "Encodes a video (what is seen, and when it happens) for sound that fits it, 10 s of it or more. Only "
                "the frames needed are read. A still image works as a video of any length."
            ),
            search_aliases=[
                "video to audio",
                "video to sound",
                "video to music",
                "foley",
                "soundtrack",
                "image to audio",
                "audiox",
            ],
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
                    tooltip="Second of the video at which the sound begins.",
                ),
                io.Combo.Input(
                    "frame_sampling",
                    optional=True,
                    options=["by time", "official stride"],
                    advanced=True,
                    tooltip="by time takes the frame at each time, right for any rate. official stride repeats "
                    "upstream's reader, which drifts unless the video has 25 or 50 frames a second.",
                ),
                io.Float.Input(
                    "seconds",
                    optional=True,
                    default=CLIP_SECONDS,
                    min=0.0,
                    max=LONGEST_SECONDS,
                    step=0.01,
                    tooltip="How much of the video to look at: as long as the sound shall be. 0 is all of it.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(tooltip="The prompt with this video."),
                io.Float.Output(
                    display_name="seconds",
                    tooltip="Length of the video from start on, at most seconds: for Empty AudioX Latent.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        video_encoder,
        video=None,
        images=None,
        conditioning=None,
        fps=24.0,
        start=0.0,
        frame_sampling="by time",
        seconds=CLIP_SECONDS,
    ) -> io.NodeOutput:
        if video_encoder is None:
            raise AudioXError(
                "There is no video encoder: the checkpoint in Load AudioX has no CLIP tower or no Synchformer. Put "
                "synchformer_state_dict.pth into a folder synchformer beside the model, or use a converted file."
            )
        if (video is None) == (images is None):
            given = "neither" if video is None else "both"
            raise AudioXError(f"A video or images are expected, {given} given: connect exactly one of the two.")
        requests, stride = video_encoder.requests(), frame_sampling == "official stride"
        if video is None:
            opened = contextlib.nullcontext(image_footage(images, fps, requests, stride))
        else:
            opened = video_footage(video, requests, stride)
        with opened as footage:
            still = footage.seconds is None
            covered = covered_seconds(footage.seconds, start, seconds)
            encoded = encode_windows(footage.read, video_encoder.encode, start, CLIP_SECONDS if still else covered)
        values = dict(zip((CLIP_TOKENS, SYNC_FEATURES, STILL), (*encoded, still), strict=True))
        return io.NodeOutput(with_values(conditioning, values), covered)


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
                io.Float.Input(
                    "seconds",
                    optional=True,
                    default=CLIP_SECONDS,
                    min=0.0,
                    max=LONGEST_SECONDS,
                    step=0.01,
                    advanced=True,
                    tooltip="Up to 10: one prompt for the whole sound. Longer: the prompt runs along with a sound of "
                    "that length, each part of which hears its own 10 s. 0 is all of it.",
                ),
            ],
            outputs=[io.Conditioning.Output(tooltip="The prompt with this sound.")],
        )

    @classmethod
    def execute(
        cls, vae, audio, conditioning=None, start=0.0, latent="sample", random_mask=False, seed=0, seconds=CLIP_SECONDS
    ) -> io.NodeOutput:
        if not hasattr(vae, "prompt_sizes"):
            raise AudioXError("The VAE is not AudioX's: connect the VAE output of Load AudioX.")
        require_audio(audio)
        rate, waveforms = audio["sample_rate"], audio["waveform"]
        length = seconds or max(waveforms.shape[-1] / rate - start, CLIP_SECONDS)
        generator = torch.Generator().manual_seed(seed)
        encoded = [
            encode_prompt(
                vae.prompt_sizes,
                torch.stack([audio_window(item, rate, start, i) for item in waveforms]),  # (B, 2, samples)
                vae.encode_statistics,
                generator,
                use_mean=latent == "mean",
                random_mask=random_mask,
            )
            for i in range(windows_from_seconds(length))
        ]
        return io.NodeOutput(with_values(conditioning, {AUDIO: concat_windows(encoded, -1)}))
