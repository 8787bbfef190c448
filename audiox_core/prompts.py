"""Prompts: what the encoders made of text, video and sound, for one window or several, and how sound is encoded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .errors import AudioXError
from .lengths import CLIP_SECONDS, PROMPT_SAMPLES, WINDOW_HOP_SECONDS, check_length, windows_from_seconds
from .media.audio import prepare_prompt
from .models.conditioners import AudioSizes, FrameAudioSizes, MelAudioSizes
from .models.mel import log_mel
from .models.network import NetworkSizes

LATENT_SHARES = (0.25, 0.75)
"""Least and largest part of a prompt that is masked before the VAE encodes it."""

MEL_SHARES = (0.7, 1.0)
"""The same for a log mel spectrogram."""


@dataclass(frozen=True)
class Prompt:
    """Encoder outputs of one prompt, on the CPU in float32; None for what is absent.

    text (1, 128, W); clip_tokens (1, 2500, W) with sync_features (1, 240, W), the latter None for the first AudioX;
    audio (1, 64, 215), a VAE latent, or (1, 256, 1723), a log mel spectrogram, for AudioX-MAF.

    For a sound longer than 10 s video and audio hold one such tensor per window side by side, so clip_tokens are
    (1, windows * 2500, W) and audio is (1, 64, windows * 215); see `side_by_side`. A window of zeros has no video or
    no sound. Text serves all windows, and so does the audio of a single one. still: nothing moves in the video, so
    that its one window serves all.
    """

    text: Tensor | None = None
    clip_tokens: Tensor | None = None
    sync_features: Tensor | None = None
    audio: Tensor | None = None
    still: bool = False

    def windows(self, sizes: NetworkSizes) -> int:
        """How many windows the video and the audio hold."""
        return max(self._video_windows(sizes), self._audio_windows(sizes))

    def _video_windows(self, sizes: NetworkSizes) -> int:
        return 1 if self.clip_tokens is None else held(self.clip_tokens.shape[1], sizes.video.clip_rows)

    def _audio_windows(self, sizes: NetworkSizes) -> int:
        return 1 if self.audio is None else held(self.audio.shape[-1], sizes.audio.prompt_length)

    def check_fits(self, windows: int, loop: bool, sizes: NetworkSizes) -> None:
        """AudioXError where the video, or an audio prompt of several windows, is shorter than the sound, or a loop."""
        if loop and (self.windows(sizes) > 1 or (self.clip_tokens is not None and not self.still)):
            raise AudioXError(
                "A loop has no place for what begins and ends: use a text, a still image or an audio prompt of 10 s, "
                "or switch the loop off."
            )
        video, audio = self._video_windows(sizes), self._audio_windows(sizes)
        for kind, count, anywhere in (
            ("video", video, self.still or self.clip_tokens is None),
            ("audio", audio, audio == 1),
        ):
            if count < windows and not anywhere:
                covered, needed = (CLIP_SECONDS + (n - 1) * WINDOW_HOP_SECONDS for n in (count, windows))
                raise AudioXError(
                    f"The {kind} prompt was encoded for {covered:.2f} s, but the sound is up to {needed:.2f} s long: "
                    f"encode the {kind} with seconds set to the length of the sound, or make a shorter sound."
                )

    def at(self, window: int, sizes: NetworkSizes) -> Prompt:
        """The prompt of one window."""
        video = 0 if self._video_windows(sizes) == 1 else window
        audio = 0 if self._audio_windows(sizes) == 1 else window
        clip_tokens = part(self.clip_tokens, 1, video, sizes.video.clip_rows)
        sync_features = clip_tokens if clip_tokens is None else self.sync_features
        return replace(
            self,
            clip_tokens=clip_tokens,
            sync_features=part(sync_features, 1, video, sizes.video.sync_rows),
            audio=part(self.audio, -1, audio, sizes.audio.prompt_length),
        )


def held(length: int, window: int) -> int:
    """Windows in a length; one where it is no whole number of them, which the network then refuses by itself."""
    return length // window if length and length % window == 0 else 1


def part(values: Tensor | None, dim: int, window: int, length: int) -> Tensor | None:
    """A window's part of what stands side by side; None for a window of zeros."""
    if values is None or values.shape[dim] <= length:
        return values
    values = values.narrow(dim, window * length, length)
    return values if values.any() else None


def side_by_side(windows: Sequence[Tensor | None], dim: int) -> Tensor | None:
    """Encoder outputs of windows in one tensor, as `Prompt` holds them; None where no window has any."""
    like = next((window for window in windows if window is not None), None)
    if like is None or len(windows) == 1:
        return like
    return torch.cat([torch.zeros_like(like) if window is None else window for window in windows], dim=dim)


def encode_windows(
    read: Callable[[float], Sequence[Tensor]],
    encode: Callable[..., tuple[Tensor, Tensor | None]],
    start: float,
    seconds: float,
) -> tuple[Tensor | None, Tensor | None]:
    """CLIP tokens and Synchformer features of a video for a sound of a length, as `Prompt` holds them.

    read(time): the frames of the 10 s from a time on. encode(*frames): what the encoders make of them. An all-black
    window is no video, as upstream takes an all-black video and the weights know it. Of several windows the results
    are kept in float16: ten minutes of CLIP tokens are 288 MB then.
    """
    count = windows_from_seconds(seconds)

    def window(i: int) -> list[Tensor | None]:
        frames = read(start + i * WINDOW_HOP_SECONDS)
        encoded = encode(*frames) if frames[0].any() else (None, None)
        return [values if values is None or count == 1 else values.half() for values in encoded]

    clip_tokens, sync_features = zip(*(window(i) for i in range(count)), strict=True)
    return side_by_side(clip_tokens, 1), side_by_side(sync_features, 1)


def covered_seconds(length: float | None, start: float, seconds: float) -> float:
    """Seconds of a video from `start` on, at most `seconds`, or all of it for 0.

    length: the video's, None for a still, which is 10 s long unless asked for longer.

    Raises:
        AudioXError: the start lies beyond the end, or the sound would be too long.
    """
    if length is None:
        return seconds or CLIP_SECONDS
    if start >= length:
        raise AudioXError(
            f"The start time {start:g} s lies beyond the end of the video, which is {length:.2f} s long; start earlier."
        )
    covered = min(length - start, seconds or math.inf)
    check_length(covered)
    return covered


def window_of_sound(waveform: Tensor, sample_rate: int, start: float, window: int) -> Tensor:
    """What a window hears of a sound (channels, samples) that is a prompt from `start` on: (2, 441000) at 44.1 kHz.

    As upstream has it, a prompt shorter than 10 s gets silence in front of it; a later window gets it at its end.
    """
    if window == 0:
        return prepare_prompt(waveform, sample_rate, start=start)
    start += window * WINDOW_HOP_SECONDS
    if start >= waveform.shape[-1] / sample_rate:
        return torch.zeros(2, PROMPT_SAMPLES)
    return prepare_prompt(waveform, sample_rate, start=start, pad="end")


def draw_masks(
    count: int, length: int, generator: torch.Generator, shares: tuple[float, float] = LATENT_SHARES
) -> list[tuple[int, int]]:
    """(first, length) of a span for each item of a batch, in upstream's order of draws and rounding."""
    least, most = shares
    ratios = least + (most - least) * torch.rand(count, generator=generator)
    spans = []
    for ratio in ratios:
        span = int((length * ratio).item())
        first = int(torch.randint(0, length - span + 1, (1,), generator=generator).item())
        spans.append((first, span))
    return spans


def mask_prompt(prompts: Tensor, generator: torch.Generator, shares: tuple[float, float] = LATENT_SHARES) -> Tensor:
    """Set one random span of each prompt (B, channels, length) to zero, as upstream does even when it generates.

    Upstream trained on masked prompts, so that the model learns to fill gaps; a masked prompt is never heard whole.
    The prompts are sound, with LATENT_SHARES, or log mel spectrograms, with MEL_SHARES.
    """
    out = prompts.clone()
    for item, (first, span) in zip(out, draw_masks(len(out), out.shape[-1], generator, shares), strict=True):
        item[:, first : first + span] = 0
    return out


def posterior_sample(mean: Tensor, std: Tensor, generator: torch.Generator) -> Tensor:
    """mean + std * noise, the noise from a CPU generator."""
    return mean + std * torch.randn(mean.shape, generator=generator).to(mean)


def encode_prompt(
    sizes: AudioSizes | FrameAudioSizes | MelAudioSizes,
    prompts: Tensor,
    statistics: Callable[[Tensor], tuple[Tensor, Tensor]],
    generator: torch.Generator,
    *,
    use_mean: bool = False,
    random_mask: bool = False,
) -> Tensor:
    """What a model's audio conditioner takes of prompts (B, 2, samples) at 44.1 kHz.

    sizes: the conditioner's. statistics: the VAE's mean and deviation of sound; not asked where the model hears a
    spectrogram. use_mean: the mean in place of a draw. random_mask: see `mask_prompt`.

    Raises:
        AudioXError: a mask for a model that was trained without.
    """
    if isinstance(sizes, MelAudioSizes):
        mel = log_mel(prompts, sizes.mels)
        return mask_prompt(mel, generator, MEL_SHARES) if random_mask else mel
    if random_mask and isinstance(sizes, FrameAudioSizes):
        raise AudioXError("The first AudioX was not trained with masked audio prompts: leave random_mask off.")
    mean, std = statistics(mask_prompt(prompts, generator) if random_mask else prompts)
    return mean if use_mean else posterior_sample(mean, std, generator)
