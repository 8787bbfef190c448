"""Encode Text, Video and Audio Prompt: each starts a conditioning or adds to one."""

from __future__ import annotations

import contextlib
from functools import partial

import comfy.sd
import comfy.utils
import torch
from comfy_api.latest import Input, io

from ..audiox_core.errors import AudioXError
from ..audiox_core.lengths import CLIP_SECONDS
from ..audiox_core.models.encoders import TEXT_TOKENS
from ..audiox_core.prompts import covered_seconds, encode_audio_windows, encode_prompt, encode_windows
from ..audiox_core.release.tasks import TASKS
from .adapters.video_encoder import VideoEncoder
from .audio_input import require_audio
from .conditioning import with_text, with_values
from .inputs import ANY_AUDIO, DAY, require_finite, seconds_input
from .keys import AUDIO, CLIP_TOKENS, STILL, SYNC_FEATURES
from .load import VideoEncoderType
from .messages import warn_on_node
from .video import Footage, image_footage, video_footage

OWN_WORDS = "own words"
"""The task that leaves the text to the user."""


def _conditioning_input() -> io.Conditioning.Input:
    return io.Conditioning.Input(
        "conditioning", optional=True, tooltip="The prompt to add to, from another AudioX encode node."
    )


class EncodeText(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXEncodeText",
            display_name="AudioX Encode Text Prompt",
            category="audio/AudioX",
            description="Encodes a text prompt with T5-base, as AudioX was trained: 128 tokens, no prompt weights.",
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
                io.Clip.Input("clip", tooltip="T5-base, from Load AudioX or a CLIPLoader of type stable_audio."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    default="Typing on a keyboard",
                    tooltip="What to hear. Parentheses are plain text, not weights. For a video alone, use "
                    "'Generate general audio for the video' or 'Generate music for the video'.",
                ),
                _conditioning_input(),
                io.Combo.Input(
                    "task",
                    optional=True,
                    options=[OWN_WORDS, *TASKS],
                    extra_dict={"sentences": TASKS},
                    tooltip="Fills text with an example to edit (for a video alone: the sentence from training). If "
                    "text is empty, this sentence is used.",
                ),
            ],
            outputs=[io.Conditioning.Output(tooltip="The prompt with this text.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, clip: comfy.sd.CLIP | None, text: str, conditioning: list | None = None, task: str = OWN_WORDS
    ) -> io.NodeOutput:
        if clip is None:
            raise AudioXError(
                "There is no text encoder: put t5-base's files into a folder t5-base beside the model, or choose "
                "t5-base as text_encoder in Load AudioX, or connect a CLIPLoader of type stable_audio."
            )
        encoded, lost = encoded_text(clip, text if text.strip() else TASKS.get(task, text))
        prompt = with_text(conditioning, encoded)
        if not lost:
            return io.NodeOutput(prompt)
        return io.NodeOutput(prompt, ui=warn_on_node(cls.hidden.unique_id, cut_sentence(lost)))


def encoded_text(clip: comfy.sd.CLIP, text: str) -> tuple[list, str]:
    """A text's conditioning, encoded as in training, and the words that were cut off."""
    tokens = clip.tokenize(text, disable_weights=True)
    if set(tokens) != {"t5base"}:
        raise AudioXError(
            f"The text encoder is {', '.join(tokens)}, expected T5-base: choose it as text_encoder in Load AudioX, "
            "or in a CLIPLoader of type stable_audio."
        )
    tokens, lost = cut_tokens(tokens, clip)
    bar = comfy.utils.ProgressBar(1)
    bar.update_absolute(0)
    encoded = clip.encode_from_tokens_scheduled(tokens)
    bar.update(1)
    return encoded, lost


def cut_tokens(tokens: dict[str, list], clip: comfy.sd.CLIP) -> tuple[dict[str, list], str]:
    """A tokenised prompt cut to the length used in training, and the words that were cut off."""
    [(key, rows)] = tokens.items()
    row = [token for batch in rows for token in batch]
    if len(row) <= TEXT_TOKENS:
        return {key: [row]}, ""
    lost = row[TEXT_TOKENS - 1 : -1]
    words = "".join(word for _, word in clip.tokenizer.untokenize(lost)).replace("\u2581", " ").strip()
    return {key: [[*row[: TEXT_TOKENS - 1], row[-1]]]}, words


def cut_sentence(words: str) -> str:
    return f"The text is longer than the {TEXT_TOKENS} tokens AudioX takes. Cut off: {words}"


class EncodeVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXEncodeVideo",
            display_name="AudioX Encode Video Prompt",
            category="audio/AudioX",
            description=(
                "Encodes a video (what is seen, and when it happens) for sound that fits it, 10 s or longer. Only the "
                "frames it needs are read. A static image works as a video of any length."
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
                io.Video.Input("video", optional=True, tooltip="Read from its file. Connect either this or images."),
                io.Image.Input(
                    "images", optional=True, tooltip="Frames instead of a video. A single one counts as a static image."
                ),
                _conditioning_input(),
                io.Float.Input(
                    "fps",
                    optional=True,
                    default=24.0,
                    min=0.1,
                    max=1000.0,
                    step=0.001,
                    tooltip="Frame rate of the images; a video has its own.",
                ),
                seconds_input("start", "Where in the video the sound begins, in seconds.", max=DAY),
                io.Combo.Input(
                    "frame_sampling",
                    optional=True,
                    options=["by time", "official stride"],
                    advanced=True,
                    tooltip="by time takes the frame at each moment, right for any frame rate. official stride repeats "
                    "the official code's reader, which drifts unless the video has 25 or 50 fps.",
                ),
                seconds_input(
                    "seconds",
                    "Seconds of video to encode; match the length of the sound. 0 = to the end of the video.",
                    default=CLIP_SECONDS,
                ),
            ],
            outputs=[
                io.Conditioning.Output(tooltip="The prompt with this video."),
                io.Float.Output(
                    display_name="seconds",
                    tooltip="Length of the encoded part: less than seconds if the video ends earlier. For Empty AudioX "
                    "Latent.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        video_encoder: VideoEncoder | None,
        video: Input.Video | None = None,
        images: torch.Tensor | None = None,
        conditioning: list | None = None,
        fps: float = 24.0,
        start: float = 0.0,
        frame_sampling: str = "by time",
        seconds: float = CLIP_SECONDS,
    ) -> io.NodeOutput:
        require_finite(fps=fps, start=start, seconds=seconds)
        if video_encoder is None:
            raise AudioXError(
                "There is no video encoder: connect this to a Load AudioX, which says what its checkpoint lacks. "
                "It takes a CLIP tower, from the model file, and for most models synchformer_state_dict.pth."
            )
        requests, stride = video_encoder.requests(), frame_sampling == "official stride"
        opened: contextlib.AbstractContextManager[Footage]
        if video is not None and images is None:
            opened = video_footage(video, requests, stride)
        elif images is not None and video is None:
            opened = contextlib.nullcontext(image_footage(images, fps, requests, stride))
        else:
            given = "neither" if video is None else "both"
            raise AudioXError(f"Connect exactly one of video and images: {given} given.")
        with opened as footage:
            still = footage.seconds is None
            covered = covered_seconds(footage.seconds, start, seconds)
            tokens, features = encode_windows(
                footage.read, video_encoder.encode, start, CLIP_SECONDS if still else covered
            )
        values = {CLIP_TOKENS: tokens, SYNC_FEATURES: features, STILL: still}
        return io.NodeOutput(with_values(conditioning, values), covered)


class EncodeAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXEncodeAudio",
            display_name="AudioX Encode Audio Prompt",
            category="audio/AudioX",
            description="Encodes 10 s of sound or music as a prompt, for example to continue a melody.",
            search_aliases=["audio to audio", "music continuation", "reference audio", "audiox"],
            inputs=[
                io.Vae.Input("vae", tooltip="From Load AudioX."),
                io.Audio.Input("audio", tooltip=ANY_AUDIO),
                _conditioning_input(),
                seconds_input("start", "Where in the audio the 10 s begin, in seconds.", max=DAY),
                io.Combo.Input(
                    "latent",
                    optional=True,
                    options=["sample", "mean"],
                    advanced=True,
                    tooltip="sample draws from the VAE's posterior, as the official code does; mean adds no noise. No "
                    "effect on AudioX-MAF, which takes a spectrogram.",
                ),
                io.Boolean.Input(
                    "random_mask",
                    optional=True,
                    default=False,
                    advanced=True,
                    tooltip="Silence a random 25 to 75% of the prompt (AudioX-MAF: 70 to 100%), as the official code "
                    "does even when generating. Not for the first AudioX, trained on whole prompts.",
                ),
                io.Int.Input(
                    "seed",
                    optional=True,
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    advanced=True,
                    tooltip="For sample and random_mask. Independent of the sampler's seed, so new seeds don't "
                    "re-encode.",
                ),
                seconds_input(
                    "seconds",
                    "Up to 10: one prompt for the whole sound. Longer: the prompt runs along with the sound, each "
                    "window using its own 10 s. 0 = all of the audio.",
                    default=CLIP_SECONDS,
                    advanced=True,
                ),
            ],
            outputs=[io.Conditioning.Output(tooltip="The prompt with this sound.")],
        )

    @classmethod
    def execute(
        cls,
        vae: comfy.sd.VAE,
        audio: dict,
        conditioning: list | None = None,
        start: float = 0.0,
        latent: str = "sample",
        random_mask: bool = False,
        seed: int = 0,
        seconds: float = CLIP_SECONDS,
    ) -> io.NodeOutput:
        require_finite(start=start, seconds=seconds)
        if not hasattr(vae, "prompt_sizes"):
            raise AudioXError("The VAE is not AudioX's: connect the VAE output of Load AudioX.")
        require_audio(audio)
        rate, waveforms = audio["sample_rate"], audio["waveform"]
        length = seconds or max(waveforms.shape[-1] / rate - start, CLIP_SECONDS)
        generator = torch.Generator().manual_seed(seed)
        encode = partial(
            encode_prompt,
            vae.prompt_sizes,
            statistics=vae.encode_prompt_statistics,
            generator=generator,
            use_mean=latent == "mean",
            random_mask=random_mask,
        )
        encoded = encode_audio_windows(encode, waveforms, rate, start, length)
        return io.NodeOutput(with_values(conditioning, {AUDIO: encoded}))
