"""Prompts: the encoders' outputs for text, video and sound, in one window or several, fused for the transformer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from .errors import AudioXError
from .lengths import CLIP_SECONDS, PROMPT_SAMPLES, WINDOW_HOP_SECONDS, check_length, windows_from_seconds
from .media.audio import prepare_prompt
from .models.attention import sdpa
from .models.conditioners import AudioSizes, FrameAudioSizes, MelAudioSizes
from .models.mel import log_mel
from .models.network import AudioXNetwork, NetworkSizes

T = TypeVar("T")

LATENT_SHARES = (0.25, 0.75)
"""Smallest and largest share of a prompt that is masked before the VAE encodes it."""

MEL_SHARES = (0.7, 1.0)
"""The same for a log mel spectrogram."""


@dataclass(frozen=True)
class Prompt:
    """Encoder outputs of one prompt, on the CPU in float32; None for what is absent.

    text (1, 128, W); clip_tokens (1, 2500, W) with sync_features (1, 240, W), the latter None for the first AudioX;
    audio (1, 64, 215), a VAE latent, or (1, 256, 1723), a log mel spectrogram, for AudioX-MAF. negative: the prompt
    that guidance steers away from, None for no prompt at all.

    For a sound longer than 10 s video and audio hold one such tensor per window, concatenated, so clip_tokens are
    (1, windows * 2500, W) and audio is (1, 64, windows * 215); see `concat_windows`. A window of zeros has no video
    or no sound. Text serves all windows, and so does the audio of a single one. still: the video is a static image,
    so that its one window serves all.
    """

    text: Tensor | None = None
    clip_tokens: Tensor | None = None
    sync_features: Tensor | None = None
    audio: Tensor | None = None
    still: bool = False
    negative: Prompt | None = None

    def windows(self, sizes: NetworkSizes) -> int:
        """How many windows the video and the audio hold."""
        return max(self._video_windows(sizes), self._audio_windows(sizes))

    def _video_windows(self, sizes: NetworkSizes) -> int:
        return 1 if self.clip_tokens is None else count_windows(self.clip_tokens.shape[1], sizes.video.clip_rows)

    def _audio_windows(self, sizes: NetworkSizes) -> int:
        return 1 if self.audio is None else count_windows(self.audio.shape[-1], sizes.audio.prompt_length)

    def check_fits(self, windows: int, loop: bool, sizes: NetworkSizes) -> None:
        """AudioXError where the video, or an audio prompt of several windows, is shorter than the sound, or a loop."""
        has_video = self.clip_tokens is not None
        if loop and (self.windows(sizes) > 1 or (has_video and not self.still)):
            raise AudioXError(
                "Use a text, a static image or an audio prompt of 10 s, or switch the loop off: a loop can't use a "
                "video or a longer audio prompt, because these begin and end."
            )
        video, audio = self._video_windows(sizes), self._audio_windows(sizes)
        if has_video and not self.still:
            check_covers("video", video, windows)
        if audio > 1:
            check_covers("audio", audio, windows)

    def at(self, window: int, sizes: NetworkSizes) -> Prompt:
        """The prompt of one window."""
        video = 0 if self._video_windows(sizes) == 1 else window
        audio = 0 if self._audio_windows(sizes) == 1 else window
        clip_tokens = slice_window(self.clip_tokens, 1, video, sizes.video.clip_rows)
        sync_features = None if clip_tokens is None else self.sync_features
        return replace(
            self,
            clip_tokens=clip_tokens,
            sync_features=slice_window(sync_features, 1, video, sizes.video.sync_rows),
            audio=slice_window(self.audio, -1, audio, sizes.audio.prompt_length),
        )


def check_covers(kind: str, windows: int, needed: int) -> None:
    """AudioXError for a prompt of fewer windows than the sound has."""
    if windows >= needed:
        return
    covered, length = (CLIP_SECONDS + (count - 1) * WINDOW_HOP_SECONDS for count in (windows, needed))
    raise AudioXError(
        f"The {kind} prompt was encoded for {covered:.2f} s, but the sound is up to {length:.2f} s long: encode the "
        f"{kind} with seconds set to the length of the sound, or make a shorter sound."
    )


def count_windows(length: int, window: int) -> int:
    """Windows in a length; one where it isn't a whole number of them, which the network then refuses by itself."""
    return length // window if length and length % window == 0 else 1


def slice_window(values: Tensor | None, dim: int, window: int, length: int) -> Tensor | None:
    """One window's slice of concatenated encoder outputs; None for a window of zeros."""
    if values is None or values.shape[dim] <= length:
        return values
    values = values.narrow(dim, window * length, length)
    return values if values.any() else None


def concat_windows(windows: Sequence[Tensor | None], dim: int) -> Tensor | None:
    """Encoder outputs of windows in one tensor, as `Prompt` holds them; None where no window has any."""
    like = next((window for window in windows if window is not None), None)
    if like is None or len(windows) == 1:
        return like
    return torch.cat([torch.zeros_like(like) if window is None else window for window in windows], dim=dim)


def fuse(
    network: AudioXNetwork,
    prompt: Prompt,
    windows: int,
    *,
    loop: bool = False,
    device: torch.device,
    dtype: torch.dtype,
    attention: Callable[..., Tensor] = sdpa,
) -> list[Tensor]:
    """Fused prompts (B, tokens, width) of a sound's windows: one for each, or a single one that serves all.

    Raises:
        AudioXError: the prompt doesn't cover the windows, or doesn't fit a loop.
    """
    sizes = network.sizes
    prompt.check_fits(windows, loop, sizes)

    def placed(values: Tensor | None) -> Tensor | None:
        return None if values is None else values.to(device, dtype)

    text = placed(prompt.text)
    if text is None:
        text = torch.zeros(1, 1, sizes.transformer.context_width, device=device, dtype=dtype)
    contexts = []
    for i in range(min(prompt.windows(sizes), windows)):
        part = prompt.at(i, sizes)
        encoded = placed(part.clip_tokens), placed(part.sync_features), placed(part.audio)
        contexts.append(network.context(text, *encoded, attention=attention))
    return contexts


def one_or_each(values: T | Sequence[T], count: int, kind: type[T]) -> Sequence[T]:
    """A prompt that serves all of a number of sounds, or one for each; AudioXError for another number of them."""
    if isinstance(values, kind):
        return [values]
    prompts: Sequence[T] = values  # type: ignore[assignment]
    if len(prompts) != count:
        raise AudioXError(f"There are {len(prompts)} prompts for {count} seeds, expected one for each, or one for all.")
    return prompts


def encode_windows(
    read: Callable[[float], Sequence[Tensor]],
    encode: Callable[..., tuple[Tensor | None, Tensor | None]],
    start: float,
    seconds: float,
) -> tuple[Tensor | None, Tensor | None]:
    """CLIP tokens and Synchformer features of a video for a sound of a length, as `Prompt` holds them.

    read(time): the frames of the 10 s from a time on. encode(*frames): their encoder outputs. An all-black window
    counts as no video, as in training. The results of several windows are kept in float16: ten minutes of CLIP tokens
    are 288 MB then.
    """
    count = windows_from_seconds(seconds)

    def window(i: int) -> list[Tensor | None]:
        frames = read(start + i * WINDOW_HOP_SECONDS)
        encoded = encode(*frames) if frames[0].any() else (None, None)
        return [values if values is None or count == 1 else values.half() for values in encoded]

    clip_tokens, sync_features = zip(*(window(i) for i in range(count)), strict=True)
    return concat_windows(clip_tokens, 1), concat_windows(sync_features, 1)


def covered_seconds(length: float | None, start: float, seconds: float) -> float:
    """Seconds of a video from `start` on, at most `seconds`, or all of it for 0.

    length: the video's, None for a static image, which lasts 10 s unless a longer sound is requested.

    Raises:
        AudioXError: the start lies beyond the end, or the sound would be too long.
    """
    if length is None:
        return seconds or CLIP_SECONDS
    if start >= length:
        raise AudioXError(
            f"Start earlier: the start time {start:g} s lies beyond the end of the video, which is {length:.2f} s long."
        )
    covered = min(length - start, seconds or math.inf)
    check_length(covered)
    return covered


def audio_window(waveform: Tensor, sample_rate: int, start: float, window: int) -> Tensor:
    """The slice (2, 441000) at 44.1 kHz of an audio prompt (channels, samples) that belongs to one window.

    The prompt begins at `start` seconds. As in the official code, one shorter than 10 s gets silence in front; a later
    window gets it at its end.
    """
    if window == 0:
        return prepare_prompt(waveform, sample_rate, start=start)
    start += window * WINDOW_HOP_SECONDS
    if start >= waveform.shape[-1] / sample_rate:
        return torch.zeros(2, PROMPT_SAMPLES)
    return prepare_prompt(waveform, sample_rate, start=start, pad="end")


def encode_audio_windows(
    encode: Callable[[Tensor], Tensor], waveforms: Sequence[Tensor], sample_rate: int, start: float, seconds: float
) -> Tensor | None:
    """Audio prompts (channels, samples) of a batch for a sound of a length, as `Prompt` holds them.

    encode: the network's input for one window of the prompts (B, 2, 441000).
    """
    windows = [
        encode(torch.stack([audio_window(waveform, sample_rate, start, i) for waveform in waveforms]))
        for i in range(windows_from_seconds(seconds))
    ]
    return concat_windows(windows, -1)


def draw_masks(
    count: int, length: int, generator: torch.Generator, shares: tuple[float, float] = LATENT_SHARES
) -> list[tuple[int, int]]:
    """(first, length) of a span for each item of a batch, in the official code's order of draws and rounding."""
    smallest, largest = shares
    ratios = smallest + (largest - smallest) * torch.rand(count, generator=generator)
    spans = []
    for ratio in ratios:
        span = int((length * ratio).item())
        first = int(torch.randint(0, length - span + 1, (1,), generator=generator).item())
        spans.append((first, span))
    return spans


def mask_prompt(prompts: Tensor, generator: torch.Generator, shares: tuple[float, float] = LATENT_SHARES) -> Tensor:
    """Set one random span of each prompt (B, channels, length) to zero, as the official code does even when generating.

    It trained on masked prompts, so that the model learns to fill gaps; a masked prompt is never heard whole. The
    prompts are sound, with LATENT_SHARES, or log mel spectrograms, with MEL_SHARES.
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
    """The input of a model's audio conditioner for prompts (B, 2, samples) at 44.1 kHz.

    sizes: the conditioner's. statistics: the VAE's mean and standard deviation of sound; not called where the model
    takes a spectrogram. use_mean: the mean in place of a draw. random_mask: see `mask_prompt`.

    Raises:
        AudioXError: a mask for a model that was trained without.
    """
    if isinstance(sizes, MelAudioSizes):
        mel = log_mel(prompts, sizes.mels)
        return mask_prompt(mel, generator, MEL_SHARES) if random_mask else mel
    if random_mask and isinstance(sizes, FrameAudioSizes):
        raise AudioXError("Leave random_mask off: the first AudioX was not trained with masked audio prompts.")
    mean, std = statistics(mask_prompt(prompts, generator) if random_mask else prompts)
    return mean if use_mean else posterior_sample(mean, std, generator)
