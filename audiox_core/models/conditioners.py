"""The conditioners: what AudioX trained to turn the outputs of CLIP, Synchformer and the VAE into prompt tokens.

Every model has one video conditioner (the first AudioX's does without Synchformer) and one of three kinds of audio
conditioner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import AudioXError
from ..lengths import PROMPT_SAMPLES
from .attention import Attention, sdpa, split_heads
from .learned_tables import rows_of, table
from .mel import SILENCE, mel_frames
from .operations import Device, FactoryKwargs, Operations
from .shapes import LATENT_CHANNELS, TOKEN_WIDTH, layer_count

TEMPORAL_HEAD_WIDTH = 64


@dataclass(frozen=True)
class VideoSizes:
    """Sizes of the video conditioner; the defaults are the released models'."""

    width: int = TOKEN_WIDTH
    depth: int = 4
    attention_width: int = 1024
    ffn_width: int = 3072
    frames: int = 50
    tokens_per_frame: int = 50
    sync_rows: int = 240
    """Rows of Synchformer features; 0 in the first AudioX, which has none."""
    tokens: int = 128

    def __post_init__(self) -> None:
        if self.attention_width % TEMPORAL_HEAD_WIDTH:
            raise AudioXError(
                f"The video conditioner's attention has width {self.attention_width}, expected a multiple of "
                f"{TEMPORAL_HEAD_WIDTH}."
            )

    @property
    def heads(self) -> int:
        return self.attention_width // TEMPORAL_HEAD_WIDTH

    @property
    def clip_rows(self) -> int:
        """CLIP tokens of 10 s of video: 2500."""
        return self.frames * self.tokens_per_frame

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> VideoSizes:
        """Sizes from native names and shapes, names relative to the conditioner."""
        frames, width = shapes["position_embedding.weight"]
        tokens, rows = shapes["proj.weight"]
        return cls(
            width=width,
            depth=layer_count(shapes, "layers."),
            attention_width=shapes["layers.0.to_qkv.weight"][0] // 3,
            ffn_width=shapes["layers.0.ffn_in.weight"][0],
            frames=frames,
            tokens_per_frame=rows // frames,
            sync_rows=shapes["proj_sync.weight"][1] if "proj_sync.weight" in shapes else 0,
            tokens=tokens,
        )


class TemporalLayer(nn.Module):
    """Pre-norm transformer layer over the frames of one CLIP token."""

    def __init__(self, sizes: VideoSizes, *, operations: Operations, dtype: torch.dtype | None, device: Device) -> None:
        super().__init__()
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        self.heads = sizes.heads
        self.attn_norm = operations.LayerNorm(sizes.width, **factory)
        self.to_qkv = operations.Linear(sizes.width, 3 * sizes.attention_width, bias=False, **factory)
        self.to_out = operations.Linear(sizes.attention_width, sizes.width, **factory)
        self.ffn_norm = operations.LayerNorm(sizes.width, **factory)
        self.ffn_in = operations.Linear(sizes.width, sizes.ffn_width, **factory)
        self.ffn_out = operations.Linear(sizes.ffn_width, sizes.width, **factory)

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        q, k, v = (split_heads(part, self.heads) for part in self.to_qkv(self.attn_norm(x)).chunk(3, dim=-1))
        x = x + self.to_out(attention(q, k, v, self.heads))
        return x + self.ffn_out(F.gelu(self.ffn_in(self.ffn_norm(x))))


def project_rows(x: Tensor, proj: nn.Module) -> Tensor:
    """(B, rows, width) -> (B, tokens, width) through a map of rows to tokens.

    Both reshapes take the elements in memory order where a transposition was meant; the weights were trained with it.
    """
    batch, rows, width = x.shape
    return proj(x.reshape(batch, width, rows)).reshape(batch, -1, width)


class VideoConditioner(nn.Module):
    """Turns CLIP tokens of 50 frames, and Synchformer features of 10 s where the model has them, into 128 tokens."""

    def __init__(
        self, sizes: VideoSizes, operations: Operations = nn, dtype: torch.dtype | None = None, device: Device = None
    ) -> None:
        super().__init__()
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        self.sizes = sizes
        self.empty_tokens = table(sizes.tokens, sizes.width, operations=operations, device=device)
        self.position_embedding = table(sizes.frames, sizes.width, operations=operations, device=device)
        self.proj = operations.Linear(sizes.clip_rows, sizes.tokens, **factory)
        if sizes.sync_rows:
            self.sync_weight = table(1, 1, operations=operations, device=device)
            self.proj_sync = operations.Linear(sizes.sync_rows, sizes.tokens, **factory)
        self.layers = nn.ModuleList(TemporalLayer(sizes, operations=operations, **factory) for _ in range(sizes.depth))
        self.norm = operations.LayerNorm(sizes.width, **factory)

    def temporal(self, clip_tokens: Tensor, attention: Attention = sdpa) -> Tensor:
        """Mix each of a frame's tokens over the frames: (B, frames * tokens, width), frame-major, same out."""
        batch, _, width = clip_tokens.shape
        x = clip_tokens.unflatten(1, (self.sizes.frames, -1)).transpose(1, 2)  # (B, tokens, frames, width)
        x = x.flatten(0, 1) + rows_of(self.position_embedding, x)  # (B * tokens, frames, width)
        for layer in self.layers:
            x = layer(x, attention)
        return self.norm(x).unflatten(0, (batch, -1)).transpose(1, 2).reshape(batch, -1, width)

    def checked(self, name: str, features: Tensor | None, rows: int) -> Tensor:
        """The features of an encoder, if they are there and have the shape (B, rows, width)."""
        expected = (rows, self.sizes.width)
        if features is None:
            raise AudioXError(f"The video prompt has no {name}, which this model needs: encode the video for it.")
        if tuple(features.shape[1:]) != expected:
            raise AudioXError(
                f"The {name} have the shape {list(features.shape)}, expected [batch, {expected[0]}, {expected[1]}]: "
                "encode the video with this checkpoint's encoders."
            )
        return features

    def forward(self, clip_tokens: Tensor, sync_features: Tensor | None = None, attention: Attention = sdpa) -> Tensor:
        """clip_tokens (B, frames * tokens, width), sync_features (B, sync_rows, width) -> (B, tokens, width).

        A model without Synchformer ignores sync_features.
        """
        clip_tokens = self.checked("CLIP tokens", clip_tokens, self.sizes.clip_rows)
        tokens = project_rows(self.temporal(clip_tokens, attention), self.proj)
        if not self.sizes.sync_rows:
            return tokens
        sync = self.checked("synchronisation features", sync_features, self.sizes.sync_rows).to(tokens)
        return tokens + rows_of(self.sync_weight, tokens) * project_rows(sync, self.proj_sync)

    def absent(self, like: Tensor) -> Tensor:
        """Learned tokens (1, tokens, width) that stand for no video, in the type of a tensor."""
        return rows_of(self.empty_tokens, like)[None]


@dataclass(frozen=True)
class AudioSizes:
    """Sizes of the audio conditioner; the defaults are the released models'."""

    width: int = TOKEN_WIDTH
    latent_channels: int = LATENT_CHANNELS
    latent_length: int = 215
    tokens: int = 128

    @property
    def prompt_length(self) -> int:
        """Length of the last dimension of an encoded 10 s prompt."""
        return self.latent_length

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> AudioSizes:
        """Sizes from native names and shapes, names relative to the conditioner."""
        tokens, latent_length = shapes["proj_time.weight"]
        width, latent_channels = shapes["proj_out.weight"]
        return cls(width=width, latent_channels=latent_channels, latent_length=latent_length, tokens=tokens)


class AudioConditioner(nn.Module):
    """Turns the VAE latent of a 10 s prompt into 128 tokens: AudioX-MAF-MMDiT and Turbo.

    An absent prompt is encoded silence, not zeros. Its VAE mean and deviation are constants of the checkpoint and
    are kept beside the weights, so that the VAE need not run for them.
    """

    def __init__(
        self, sizes: AudioSizes, operations: Operations = nn, dtype: torch.dtype | None = None, device: Device = None
    ) -> None:
        super().__init__()
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        shape = (sizes.latent_channels, sizes.latent_length)
        self.sizes = sizes
        self.silence_mean = nn.Parameter(torch.empty(shape, dtype=torch.float32, device=device))
        self.silence_std = nn.Parameter(torch.empty(shape, dtype=torch.float32, device=device))
        self.proj_time = operations.Linear(sizes.latent_length, sizes.tokens, **factory)
        self.proj_out = operations.Linear(sizes.latent_channels, sizes.width, **factory)

    def silence(self) -> Tensor:
        """Latent of an absent prompt (1, latent_channels, latent_length), in float32.

        The official code draws new VAE noise for it in every run. Here the draw is fixed, so that a seed gives the
        same sound whatever else the batch holds.
        """
        shape = (1, self.sizes.latent_channels, self.sizes.latent_length)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        return self.silence_mean + self.silence_std * noise.to(self.silence_std)

    def absent(self, like: Tensor) -> Tensor:
        """Tokens (1, tokens, width) that stand for no sound, in the type of a tensor: those of silence."""
        return self(self.silence().to(like))

    def forward(self, latent: Tensor) -> Tensor:
        """latent (B, latent_channels, latent_length) -> (B, tokens, width)."""
        check_latent(latent, self.sizes.latent_channels, self.sizes.latent_length)
        return self.proj_out(self.proj_time(latent).transpose(1, 2))


def check_latent(latent: Tensor, channels: int, length: int) -> None:
    """AudioXError for an audio prompt that isn't a VAE latent of 10 s."""
    if tuple(latent.shape[1:]) != (channels, length):
        raise AudioXError(
            f"The audio prompt has the shape {list(latent.shape)}, expected a VAE latent [batch, {channels}, "
            f"{length}]: encode 10 s of sound with this checkpoint's VAE."
        )


@dataclass(frozen=True)
class FrameAudioSizes:
    """Sizes of the first AudioX's audio conditioner; the defaults are the released model's."""

    width: int = TOKEN_WIDTH
    latent_channels: int = LATENT_CHANNELS
    tokens: int = 215

    @property
    def prompt_length(self) -> int:
        """Length of the last dimension of an encoded 10 s prompt."""
        return self.tokens

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> FrameAudioSizes:
        """Sizes from native names and shapes, names relative to the conditioner."""
        tokens, width = shapes["empty_tokens.weight"]
        return cls(width=width, latent_channels=shapes["proj_out.weight"][1], tokens=tokens)


class FrameAudioConditioner(nn.Module):
    """Turns each latent frame of a 10 s prompt into one token; an absent prompt has learned ones: the first AudioX."""

    def __init__(
        self,
        sizes: FrameAudioSizes,
        operations: Operations = nn,
        dtype: torch.dtype | None = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        self.sizes = sizes
        self.empty_tokens = table(sizes.tokens, sizes.width, operations=operations, device=device)
        self.proj_out = operations.Linear(sizes.latent_channels, sizes.width, dtype=dtype, device=device)

    def absent(self, like: Tensor) -> Tensor:
        """Learned tokens (1, tokens, width) that stand for no sound, in the type of a tensor."""
        return rows_of(self.empty_tokens, like)[None]

    def forward(self, latent: Tensor) -> Tensor:
        """latent (B, latent_channels, tokens) -> (B, tokens, width)."""
        check_latent(latent, self.sizes.latent_channels, self.sizes.tokens)
        return self.proj_out(latent.transpose(1, 2))


@dataclass(frozen=True)
class MelAudioSizes:
    """Sizes of AudioX-MAF's audio conditioner; the defaults are the released model's."""

    width: int = TOKEN_WIDTH
    mels: int = 256

    @property
    def tokens(self) -> int:
        """Tokens of a 10 s prompt."""
        return mel_frames(PROMPT_SAMPLES)

    @property
    def prompt_length(self) -> int:
        """Length of the last dimension of an encoded 10 s prompt."""
        return self.tokens

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> MelAudioSizes:
        """Sizes from native names and shapes, names relative to the conditioner."""
        width, mels = shapes["proj_mel.weight"]
        return cls(width=width, mels=mels)


class MelAudioConditioner(nn.Module):
    """Turns each frame of a log mel spectrogram into one token, those of silence too: AudioX-MAF."""

    def __init__(
        self, sizes: MelAudioSizes, operations: Operations = nn, dtype: torch.dtype | None = None, device: Device = None
    ) -> None:
        super().__init__()
        self.sizes = sizes
        self.proj_mel = operations.Linear(sizes.mels, sizes.width, dtype=dtype, device=device)

    def absent(self, like: Tensor) -> Tensor:
        """Tokens (1, tokens, width) that stand for no sound, in the type of a tensor: those of 10 s of silence."""
        silence = like.new_full((1, self.sizes.mels, 1), SILENCE)
        return self(silence).expand(-1, self.sizes.tokens, -1)

    def forward(self, mel: Tensor) -> Tensor:
        """mel (B, mels, frames) from `mel.log_mel` -> (B, frames, width)."""
        if mel.ndim != 3 or mel.shape[1] != self.sizes.mels:
            raise AudioXError(
                f"The audio prompt has the shape {list(mel.shape)}, expected a log mel spectrogram [batch, "
                f"{self.sizes.mels}, frames]: encode the sound again with this model, AudioX-MAF, not with another."
            )
        return self.proj_mel(mel.transpose(1, 2))
