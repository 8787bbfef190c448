"""AudioX without ComfyUI: prompts in, sound out.

    model = AudioX.open("models/audiox/AudioX-Turbo", device="cuda")  # no path: the demo that comes with the library
    prompt = model.prompt("waves on a beach", video="clip.mp4", seconds=12)
    sounds = model.generate(prompt, seconds=12, seeds=[0, 1])  # (2, 2, 529200)
    sounds = model.edit("street.wav", prompt, ranges=[(2, 4)], after=3)  # what is kept is kept to the sample

The stages below it are public too: `encode_text`, `encode_video`, `encode_audio`, `sample`, `decode`.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from . import lengths
from .checkpoint import Checkpoint, open_checkpoint
from .demo import DEFAULT, demo_path
from .errors import AudioXError
from .media.audio import read_audio, whole_sound
from .media.extent import video_seconds
from .media.files import Source
from .media.frames import frames_from_images, read_clip, read_image
from .media.splice import checked_range, pad_sound, regenerated_frames, splice
from .memory.devices import check_device, default_device
from .memory.dtypes import default_dtype
from .progress import Progress, no_progress
from .prompts import Prompt, covered_seconds, encode_audio_windows, encode_windows
from .request import Request, TimeRange
from .sampling.presets import RunSettings, resolve_settings
from .stages import Stages

Sound = Source | tuple[Tensor, int]
"""A sound: a file, or samples (channels, samples) and their rate."""

_log = logging.getLogger(__name__)


class AudioX(Stages):
    """A model, ready to make sound. `AudioX.open` opens one; the constructor takes an opened checkpoint."""

    stage: Callable[[str], AbstractContextManager[None]] = staticmethod(lambda name: contextlib.nullcontext())
    """stage(name) is entered around "encode", "sample" and "decode"; assign `memory.report.MemoryWatch.stage`."""

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        device: str | None = None,
        dtype: torch.dtype | None = None,
        vae_dtype: torch.dtype = torch.float32,
        variant: str | None = None,
        vae: str | Path | None = None,
        synchformer: str | Path | None = None,
        text_encoder: str | Path | None = None,
        cuda_graphs: bool = False,
    ) -> AudioX:
        """Open a model.

        Args:
            path: a checkpoint file, or a folder in the released layout; None for the demo.
            device: "cpu", "cuda", "cuda:1", "mps", ...; None for a GPU where there is one.
            dtype: type of the network and the encoders; None for the device's best.
            vae_dtype: the VAE's; the official code decodes in float32.
            variant: a key of `release.variants.VARIANTS` where the files don't tell.
            vae, synchformer, text_encoder: files to use in place of those found.
            cuda_graphs: see `models.cuda_graph`.

        Raises:
            AudioXError: one sentence on what is wrong with the files or the device.
        """
        device = device or default_device()
        check_device(device)
        checkpoint = open_checkpoint(
            demo_path(variant or DEFAULT) if path is None else Path(path),
            variant=variant,
            vae=vae,
            synchformer=synchformer,
            text_encoder=text_encoder,
        )
        return cls(checkpoint, device, dtype or default_dtype(device), vae_dtype=vae_dtype, cuda_graphs=cuda_graphs)

    def prompt(
        self,
        text: str = "",
        *,
        negative: str | None = None,
        video: Source | None = None,
        image: str | os.PathLike[str] | None = None,
        audio: Sound | None = None,
        seconds: float = lengths.CLIP_SECONDS,
        video_start: float = 0.0,
        audio_start: float = 0.0,
        stride_sampling: bool = False,
        random_mask: bool = False,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Prompt:
        """Encode what should be heard; everything is optional.

        Args:
            text, negative: words; what guidance steers towards, and away from.
            video, image: what the sound should fit. Only the frames that are needed are read.
            audio: a sound to follow or continue. One longer than 10 s runs along with the sound.
            seconds: length of the sound that the prompt is for; 0 for all of the video.
            video_start, audio_start: seconds to skip.
            stride_sampling: pick frames as the official code does.
            random_mask, seed: see `encode_audio`.

        Raises:
            AudioXError: a file that cannot be read, a start beyond its end, or a video and an image at once.
        """
        if video is not None and image is not None:
            raise AudioXError("Give a video or an image, not both.")
        with self.stage("encode"):
            if video is not None:
                seconds = covered_seconds(video_seconds(video), video_start, seconds) if seconds == 0 else seconds
            clip_tokens, sync_features = self._look(video, image, video_start, seconds, stride_sampling, progress)
            prompt = Prompt(
                self._read(text, progress),
                clip_tokens,
                sync_features,
                None if audio is None else self._listen(audio, audio_start, seconds, seed, random_mask, progress),
                still=image is not None,
            )
            if negative is None:
                return prompt
            return replace(prompt, negative=replace(prompt, text=self._read(negative, progress)))

    def generate(
        self,
        prompt: Prompt | str = "",
        *,
        seconds: float = lengths.CLIP_SECONDS,
        seeds: Sequence[int] = (0,),
        settings: RunSettings | None = None,
        loop: bool = False,
        normalize: bool = False,
        progress: Progress = no_progress,
    ) -> Tensor:
        """New sounds (len(seeds), 2, samples) at 44.1 kHz, float32 within -1..1, one for each seed.

        Args:
            prompt: from `prompt`, or just a text.
            seconds: length, up to 600.
            settings: from `settings(steps=..., cfg=...)`; None for the model's defaults.
            loop: the end meets the beginning without a seam; not with a video.
            normalize: scale each sound to full level, as the official code does.

        Raises:
            AudioXError: a prompt encoded for less than `seconds`, a length that cannot be generated, or a negative
                prompt without guidance.
        """
        prompt, settings = self._checked(prompt, settings, seconds, progress)
        with self.stage("sample"):
            latent = self.sample(prompt, settings, seeds, seconds=seconds, loop=loop, progress=progress)
        with self.stage("decode"):
            return self.decode(latent, seconds=seconds, loop=loop, normalize=normalize, progress=progress)

    def edit(
        self,
        sound: Sound,
        prompt: Prompt | str = "",
        *,
        ranges: Sequence[TimeRange] = (),
        before: float = 0.0,
        after: float = 0.0,
        denoise: float = 1.0,
        seeds: Sequence[int] = (0,),
        settings: RunSettings | None = None,
        normalize: bool = False,
        progress: Progress = no_progress,
    ) -> Tensor:
        """Edited sounds (len(seeds), 2, samples) at 44.1 kHz; what is kept is kept to the sample.

        Args:
            sound: a file, or (samples, rate).
            ranges: (start, end) in seconds of the result to regenerate; an end of 0 is the end of the sound.
            before, after: seconds to generate around the sound.
            denoise: below 1 varies the sound: how far the result may move away from it.
            prompt, seeds, settings, normalize: see `generate`.

        Without ranges, before and after the whole sound is regenerated, or varied with denoise.

        Raises:
            AudioXError: a range outside the sound, or a result that is too long.
        """
        waveform, rate = read_audio(sound) if not isinstance(sound, tuple) else sound
        source = pad_sound(whole_sound(waveform, rate)[None], before, after)
        spans = [*source.ranges, *(checked_range(start, end, source.samples) for start, end in ranges)]
        seconds = source.samples / lengths.SAMPLE_RATE
        prompt, settings = self._checked(prompt, settings, seconds, progress)
        with self.stage("encode"):
            latent, _ = self.encode_statistics(source.waveform, progress)
        mask = regenerated_frames(spans, source.samples, latent.shape[-1]) if spans else None
        with self.stage("sample"):
            latent = self.sample(prompt, settings, seeds, source=latent, mask=mask, denoise=denoise, progress=progress)
        with self.stage("decode"):
            edited = self.decode(latent, seconds=seconds, normalize=normalize, progress=progress)
        return splice(edited, source.original, spans) if spans else edited

    def run(self, request: Request, progress: Progress = no_progress) -> Tensor:
        """The sounds (batch, 2, samples) of a request; its `loudness` and `mode` count when they are written."""
        request = request.with_length()
        settings = request_settings(self.checkpoint, request)
        prompt = self.request_prompt(request, progress)
        if request.edit:
            return self.edit(
                request.edit,
                prompt,
                ranges=request.ranges,
                before=request.before,
                after=request.after,
                denoise=request.denoise,
                seeds=request.seeds,
                settings=settings,
                normalize=request.normalize,
                progress=progress,
            )
        return self.generate(
            prompt,
            seconds=request.seconds,
            seeds=request.seeds,
            settings=settings,
            loop=request.loop,
            normalize=request.normalize,
            progress=progress,
        )

    def request_prompt(self, request: Request, progress: Progress = no_progress) -> Prompt:
        """The encoded prompt of a request whose length is known; see `Request.with_length`."""
        return self.prompt(
            request.prompt,
            negative=request.negative,
            video=request.video,
            image=request.image,
            audio=request.audio,
            seconds=request.seconds,
            video_start=request.video_start,
            audio_start=request.audio_start,
            stride_sampling=request.stride_sampling,
            random_mask=request.random_mask,
            seed=request.seed,
            progress=progress,
        )

    def _checked(
        self, prompt: Prompt | str, settings: RunSettings | None, seconds: float, progress: Progress
    ) -> tuple[Prompt, RunSettings]:
        """The inputs that `generate` and `edit` share."""
        prompt = self.prompt(prompt, seconds=seconds, progress=progress) if isinstance(prompt, str) else prompt
        settings = settings or self.settings()
        if prompt.negative is not None:
            check_guided(settings)
        return prompt, settings

    def _read(self, text: str, progress: Progress) -> Tensor:
        tokens, cut_off = self.encode_text(text, progress)
        if cut_off:
            _log.warning("The prompt is too long; this was cut off: %s", cut_off)
        return tokens

    def _look(
        self,
        video: Source | None,
        image: str | os.PathLike[str] | None,
        start: float,
        seconds: float,
        stride_sampling: bool,
        progress: Progress,
    ) -> tuple[Tensor | None, Tensor | None]:
        """CLIP tokens and Synchformer features of a video or a static image."""
        if video is None and image is None:
            return None, None
        windows = lengths.windows_from_seconds(seconds) if image is None else 1
        indices = itertools.count()

        def encode(clip_frames: Tensor, sync_frames: Tensor | None = None) -> tuple[Tensor | None, Tensor | None]:
            return self.encode_video(clip_frames, sync_frames, of_windows(progress, next(indices), windows))

        requests = self.frame_requests()
        if image is not None:
            pixels = read_image(image)
            return encode_windows(
                lambda start: frames_from_images(pixels, 1, requests), encode, 0.0, lengths.CLIP_SECONDS
            )
        source = cast(Source, video)
        return encode_windows(
            lambda start: read_clip(source, requests, start=start, stride_sampling=stride_sampling),
            encode,
            start,
            seconds,
        )

    def _listen(
        self, audio: Sound, start: float, seconds: float, seed: int, random_mask: bool, progress: Progress
    ) -> Tensor | None:
        """An audio prompt, in as many windows as a sound of a length has where it is longer than 10 s."""
        if isinstance(audio, tuple):
            waveform, rate = audio
        else:
            waveform, rate = read_audio(audio, start=start)
            start = 0.0
        remaining = waveform.shape[1] / rate - start
        along = seconds if remaining > lengths.CLIP_SECONDS else lengths.CLIP_SECONDS

        def encode(window: Tensor) -> Tensor:
            return self.encode_audio(window[0], seed=seed, random_mask=random_mask, progress=progress)

        return encode_audio_windows(encode, [waveform], rate, start, along)


def request_settings(checkpoint: Checkpoint, request: Request) -> RunSettings:
    """The settings of a request's run; AudioXError for what doesn't work with the model."""
    settings = resolve_settings(
        checkpoint.variant,
        steps=request.steps,
        cfg=request.cfg,
        sampler=request.sampler,
        rescale=request.cfg_rescale,
        video_cfg=request.video_cfg,
        guidance=checkpoint.guidance,
    )
    if request.negative is not None:
        check_guided(settings)
    return settings


def of_windows(progress: Progress, index: int, count: int) -> Progress:
    """A progress through one of a video's windows, reported as that through all of them."""

    def report(stage: str, done: int, total: int) -> None:
        if stage == "video":
            done, total = index * total + done, count * total
        progress(stage, done, total)

    return report


def check_guided(settings: RunSettings) -> None:
    """AudioXError for a negative prompt in a run without guidance."""
    if settings.cfg == 1:
        raise AudioXError(
            "Leave the negative prompt (--negative) out, or set cfg (--cfg) to a value other than 1: a negative prompt "
            "has no effect without guidance, and Turbo has none."
        )
