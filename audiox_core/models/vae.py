"""The Oobleck autoencoder: 44.1 kHz stereo sound to and from 64 numbers per 2048 samples.

Architecture as in the official configuration (AudioX, arXiv 2606.12555; the autoencoder is that of Stable Audio Open,
arXiv 2407.14358), with the weight normalisation already folded into plain weights. The layers are run over tiles of
the time axis with margins as wide as their receptive field: the same numbers up to rounding, a tenth of the memory,
and intermediate results that stay in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import AudioXError
from ..lengths import LATENT_FRAMES, PROMPT_SAMPLES
from ..progress import Report, no_report
from .operations import Device, FactoryKwargs, Operations
from .shapes import LATENT_CHANNELS
from .tiling import default_tile_size, run_tiled, tile_positions, tile_share

DILATIONS = (1, 3, 9)
"""Dilations of the three residual units in a block."""

UNIT_KERNEL = 7
"""Kernel of the dilated convolutions and of the first convolution of each half."""

UNITS_REACH = sum(UNIT_KERNEL // 2 * dilation for dilation in DILATIONS)
"""Positions to either side that the three residual units of a block look at."""


@dataclass(frozen=True)
class VAESizes:
    """Sizes of an Oobleck autoencoder. `widths` are the channels after each block of the encoder."""

    channels: int = 128
    widths: tuple[int, ...] = (128, 256, 512, 1024, 2048)
    strides: tuple[int, ...] = (2, 4, 4, 8, 8)
    latent_channels: int = LATENT_CHANNELS
    audio_channels: int = 2

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.strides):
            raise AudioXError(f"A VAE needs one stride per block, got {len(self.widths)} and {len(self.strides)}.")
        if any(stride % 2 for stride in self.strides):
            raise AudioXError(f"VAE strides must be even, got {self.strides}: kernels of this format are 2 x stride.")

    @property
    def samples_per_latent(self) -> int:
        """Samples that one latent frame stands for."""
        return math.prod(self.strides)

    @property
    def reach_latents(self) -> int:
        """Latent frames to either side of a frame that the samples it was encoded from can touch, rounded up."""
        reach = 1  # the last convolution has kernel 3
        for stride in reversed(self.strides):
            reach = reach * stride + 3 * stride // 2 + UNITS_REACH
        return -(-(reach + UNIT_KERNEL // 2) // self.samples_per_latent)

    @property
    def decode_reach(self) -> int:
        """Latent frames to either side of a frame that its decoded samples can depend on, rounded up."""
        reach = UNIT_KERNEL // 2  # the last convolution
        for stride in self.strides:
            reach = -(-(reach + UNITS_REACH + 3 * stride // 2) // stride)
        return reach + UNIT_KERNEL // 2

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> VAESizes:
        """Sizes from the shapes of a folded state dict; AudioXError when it isn't an Oobleck autoencoder."""
        blocks = 0
        while f"encoder.layers.{blocks + 1}.layers.4.weight" in shapes:
            blocks += 1
        for name in ("encoder.layers.0.weight", "encoder.layers.1.layers.4.weight", "decoder.layers.0.weight"):
            if name not in shapes:
                raise AudioXError(
                    f"These tensors are not an Oobleck VAE with folded weight norm: {name} is missing. "
                    "Choose the VAE of AudioX or Stable Audio, or convert the checkpoint first."
                )
        downs = [shapes[f"encoder.layers.{i + 1}.layers.4.weight"] for i in range(blocks)]  # (out, in, 2 * stride)
        channels, audio_channels, _ = shapes["encoder.layers.0.weight"]
        return cls(
            channels=channels,
            widths=tuple(down[0] for down in downs),
            strides=tuple(down[2] // 2 for down in downs),
            latent_channels=shapes["decoder.layers.0.weight"][1],
            audio_channels=audio_channels,
        )


class Snake(nn.Module):
    """x + sin^2(a x) / b per channel; a and b are stored as logarithms (arXiv 2006.08195, with a free amplitude)."""

    def __init__(
        self,
        channels: int,
        dtype: torch.dtype | None = None,
        device: Device = None,
        *,
        in_place: bool = False,
    ) -> None:
        """in_place: write the result over the input."""
        super().__init__()
        self.in_place = in_place
        self.alpha = nn.Parameter(torch.zeros(channels, dtype=dtype, device=device))
        self.beta = nn.Parameter(torch.zeros(channels, dtype=dtype, device=device))

    def wave(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(sin^2(a x), 1 / b) for x (B, channels, L); allocates one buffer of the size of x."""
        frequency = self.alpha.to(x.device, torch.float32).exp()[:, None].to(x.dtype)
        amplitude = (self.beta.to(x.device, torch.float32).exp() + 1e-9).reciprocal()[:, None].to(x.dtype)
        return (x * frequency).sin_().square_(), amplitude

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wave, amplitude = self.wave(x)
        return x.addcmul_(wave, amplitude) if self.in_place else torch.addcmul(x, wave, amplitude)


class ResidualUnit(nn.Module):
    """Snake, dilated convolution, snake, 1 x 1 convolution, and the input added."""

    def __init__(self, channels: int, dilation: int, operations: Operations, factory: FactoryKwargs) -> None:
        super().__init__()
        padding = UNIT_KERNEL // 2 * dilation
        self.layers = nn.ModuleList(
            [
                Snake(channels, **factory),
                operations.Conv1d(channels, channels, UNIT_KERNEL, dilation=dilation, padding=padding, **factory),
                Snake(channels, **factory, in_place=True),
                operations.Conv1d(channels, channels, 1, **factory),
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        snake, dilated, snake_again, pointwise = self.layers
        return pointwise(snake_again(dilated(snake(x)))).add_(x)


class EncoderBlock(nn.Module):
    """Three residual units, then a strided convolution: (B, inputs, L) -> (B, outputs, L // stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int, operations: Operations, factory: FactoryKwargs) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                *(ResidualUnit(inputs, dilation, operations, factory) for dilation in DILATIONS),
                Snake(inputs, **factory, in_place=True),
                operations.Conv1d(inputs, outputs, 2 * stride, stride=stride, padding=stride // 2, **factory),
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *units, snake, down = self.layers
        for unit in units:
            x = unit(x)
        return down(snake(x))  # (B, outputs, L // stride)


class DecoderBlock(nn.Module):
    """A transposed convolution, then three residual units: (B, inputs, L) -> (B, outputs, L * stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int, operations: Operations, factory: FactoryKwargs) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                Snake(inputs, **factory),
                operations.ConvTranspose1d(inputs, outputs, 2 * stride, stride=stride, padding=stride // 2, **factory),
                *(ResidualUnit(outputs, dilation, operations, factory) for dilation in DILATIONS),
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        snake, up, *units = self.layers
        x = up(snake(x))  # (B, outputs, L * stride)
        for unit in units:
            x = unit(x)
        return x


class Encoder(nn.Module):
    """(B, audio_channels, L) -> (B, 2 * latent_channels, L // samples_per_latent)."""

    def __init__(self, sizes: VAESizes, operations: Operations, factory: FactoryKwargs) -> None:
        super().__init__()
        inputs = (sizes.channels, *sizes.widths[:-1])
        blocks = zip(inputs, sizes.widths, sizes.strides, strict=True)
        self.inputs, self.strides = inputs, sizes.strides
        self.tile_size: int | None = None  # see OobleckVAE.set_tile_size
        self.layers = nn.ModuleList(
            [
                operations.Conv1d(
                    sizes.audio_channels, sizes.channels, UNIT_KERNEL, padding=UNIT_KERNEL // 2, **factory
                ),
                *(EncoderBlock(*block, operations, factory) for block in blocks),
                Snake(sizes.widths[-1], **factory, in_place=True),
                operations.Conv1d(sizes.widths[-1], 2 * sizes.latent_channels, 3, padding=1, **factory),
            ]
        )

    def forward(self, x: torch.Tensor, report: Report = no_report) -> torch.Tensor:
        """report(amount): of the latent frames, as `OobleckVAE.decode` counts them."""
        first, *blocks, snake, last = self.layers
        tile_size = self.tile_size or default_tile_size(x.device)
        per_latent = math.prod(self.strides)
        for index, (block, width, stride) in enumerate(zip(blocks, self.inputs, self.strides, strict=True)):
            margin = UNITS_REACH + 3 * stride // 2
            if index == 0:  # the first convolution shares the first block's tiles: its output is the largest
                block, margin = nn.Sequential(first, block), margin + UNIT_KERNEL // 2
            tile = tile_positions(x.shape[0], width, tile_size)
            counted = _counted_as(report, x.shape[0] / per_latent / len(self.strides))
            x = run_tiled(block, x, tile=tile, margin=margin, down=stride, report=counted)
            per_latent //= stride
        return last(snake(x))


class Decoder(nn.Module):
    """(B, latent_channels, T) -> (B, audio_channels, T * samples_per_latent)."""

    def __init__(self, sizes: VAESizes, operations: Operations, factory: FactoryKwargs) -> None:
        super().__init__()
        outputs = (*sizes.widths[-2::-1], sizes.channels)
        strides = sizes.strides[::-1]
        blocks = zip(sizes.widths[::-1], outputs, strides, strict=True)
        self.outputs, self.strides = outputs, strides
        self.tile_size: int | None = None
        ends = {"kernel_size": UNIT_KERNEL, "padding": UNIT_KERNEL // 2}
        self.layers = nn.ModuleList(
            [
                operations.Conv1d(sizes.latent_channels, sizes.widths[-1], **ends, **factory),
                *(DecoderBlock(*block, operations, factory) for block in blocks),
                Snake(sizes.channels, **factory, in_place=True),
                operations.Conv1d(sizes.channels, sizes.audio_channels, bias=False, **ends, **factory),
            ]
        )

    def forward(self, z: torch.Tensor, report: Report = no_report) -> torch.Tensor:
        """report(amount): see `OobleckVAE.decode`."""
        first, *blocks, snake, last = self.layers
        tile_size = self.tile_size or default_tile_size(z.device)
        x, per_latent = first(z), 1
        for index, (block, width, stride) in enumerate(zip(blocks, self.outputs, self.strides, strict=True)):
            margin = UNITS_REACH // stride + 2
            if index == len(blocks) - 1:  # the last convolution shares the last block's tiles, see Encoder
                block, margin = nn.Sequential(block, snake, last), margin + UNIT_KERNEL // 2
            tile = tile_positions(x.shape[0], width * stride, tile_size)
            counted = _counted_as(report, x.shape[0] / per_latent / len(self.strides))
            x = run_tiled(block, x, tile=tile, margin=margin, up=stride, report=counted)
            per_latent *= stride
        return x


def _counted_as(report: Report, share: float) -> Report:
    """A report whose amounts count as a share of themselves."""
    return lambda amount: report(amount * share)


class OobleckVAE(nn.Module):
    """Stereo sound to and from latents. Parameters have their official names, with `weight` for the folded pairs."""

    def __init__(
        self,
        sizes: VAESizes,
        operations: Operations = nn,
        dtype: torch.dtype | None = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        factory: FactoryKwargs = {"dtype": dtype, "device": device}
        self.sizes = sizes
        self.encoder = Encoder(sizes, operations, factory)
        self.decoder = Decoder(sizes, operations, factory)

    def set_tile_size(self, tile_size: int | None) -> None:
        """Numbers in the widest tensor of a tile; None takes CPU_TILE_SIZE or GPU_TILE_SIZE by the device in use."""
        self.encoder.tile_size = self.decoder.tile_size = tile_size

    @torch.no_grad()
    def encode_statistics(self, audio: torch.Tensor, report: Report = no_report) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the latent, each (B, latent_channels, L // 2048).

        audio: (B, audio_channels, L) in -1..1. AudioXError for other channels or less sound than a latent frame.
        report(amount): see `decode`; the amounts add up to B * L / 2048.
        """
        mean, scale = self.encode_raw(audio, report).chunk(2, dim=1)
        return mean, F.softplus(scale) + 1e-4

    def encode_raw(self, audio: torch.Tensor, report: Report = no_report) -> torch.Tensor:
        """Output of the encoder, (B, 2 * latent_channels, L // 2048): means, then scales before the softplus."""
        if audio.ndim != 3 or audio.shape[1] != self.sizes.audio_channels:
            raise AudioXError(
                f"The VAE encodes sound of shape (batch, {self.sizes.audio_channels}, samples), "
                f"got {tuple(audio.shape)}."
            )
        if audio.shape[2] < self.sizes.samples_per_latent:
            raise AudioXError(
                f"The sound has {audio.shape[2]} samples; the VAE needs at least {self.sizes.samples_per_latent}."
            )
        per_latent, reach = self.sizes.samples_per_latent, self.sizes.reach_latents
        if audio.shape[2] <= LATENT_FRAMES * per_latent:
            return self.encoder(audio, report)
        # Long sound goes through all layers tile by tile: what lies between the blocks is large.
        tile, margin = (LATENT_FRAMES - 2 * reach) * per_latent, reach * per_latent
        counted = _counted_as(report, tile_share(audio.shape[2], tile, margin))
        return run_tiled(lambda x: self.encoder(x, counted), audio, tile=tile, margin=margin, down=per_latent)

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        """The latent's mean, (B, latent_channels, L // 2048)."""
        return self.encode_statistics(audio)[0]

    @torch.no_grad()
    def decode(self, latent: torch.Tensor, report: Report = no_report) -> torch.Tensor:
        """(B, latent_channels, T) -> sound (B, audio_channels, 2048 T), not clipped.

        report(amount) is called after each tile, and may raise to stop. The amounts add up to B * T: each block of
        layers counts as an equal share of every frame, which is about what it costs.
        """
        if latent.ndim != 3 or latent.shape[1] != self.sizes.latent_channels:
            raise AudioXError(
                f"The VAE decodes latents of shape (batch, {self.sizes.latent_channels}, frames), "
                f"got {tuple(latent.shape)}."
            )
        per_latent, reach = self.sizes.samples_per_latent, self.sizes.decode_reach
        if latent.shape[2] <= LATENT_FRAMES:
            return self.decoder(latent, report)
        tile = LATENT_FRAMES - 2 * reach
        counted = _counted_as(report, tile_share(latent.shape[2], tile, reach))
        return run_tiled(lambda z: self.decoder(z, counted), latent, tile=tile, margin=reach, up=per_latent)


def silence_statistics(vae: OobleckVAE, samples: int = PROMPT_SAMPLES) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of encoded silence, each (latent_channels, samples // 2048).

    Silence is the same everywhere but near its ends, so a short one is encoded and its middle frame repeated.
    """
    per_latent, reach = vae.sizes.samples_per_latent, vae.sizes.reach_latents
    repeats = max(0, samples // per_latent - (2 * reach + 1))
    reference = next(vae.parameters())
    silence = reference.new_zeros(1, vae.sizes.audio_channels, samples - repeats * per_latent)

    def stretched(x: torch.Tensor) -> torch.Tensor:
        middle = x[0, :, reach : reach + 1].expand(-1, repeats)
        return torch.cat([x[0, :, :reach], middle, x[0, :, reach:]], dim=1)  # (latent_channels, samples // 2048)

    mean, std = vae.encode_statistics(silence)
    return (mean[0], std[0]) if repeats == 0 else (stretched(mean), stretched(std))
