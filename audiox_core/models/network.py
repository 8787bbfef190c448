"""The trained part of a model: conditioners, fusion, transformer.

The frozen encoders (T5, CLIP, Synchformer, VAE) are not part of it; their outputs come in as tensors. `context` and
`prepare` run once per prompt, `forward` once per step. There are three architectures, which the sizes tell apart:

    MMDIT     AudioX-Turbo, its teacher AudioX-Base, AudioX-MAF-MMDiT   fusion, modulated transformer
    MAF_DIT   AudioX-MAF                                                fusion, cross-attending transformer
    DIT       AudioX (April 2025)                                       cross-attending transformer alone
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import AudioXError
from ..release.variants import DIT, MAF_DIT, MMDIT
from .attention import Attention, sdpa
from .conditioners import (
    AudioConditioner,
    AudioSizes,
    FrameAudioConditioner,
    FrameAudioSizes,
    MelAudioConditioner,
    MelAudioSizes,
    VideoConditioner,
    VideoSizes,
)
from .dit import DiT, DiTSizes
from .encoders import TEXT_TOKENS
from .maf import MAF, MAFSizes
from .mmdit import MMDiT, MMDiTSizes
from .onednn import with_onednn
from .operations import Device, Operations
from .shapes import under

_MODULES = {
    MMDiTSizes: MMDiT,
    DiTSizes: DiT,
    AudioSizes: AudioConditioner,
    FrameAudioSizes: FrameAudioConditioner,
    MelAudioSizes: MelAudioConditioner,
}
"""The module that each kind of sizes describes."""


@dataclass(frozen=True)
class NetworkSizes:
    """Sizes of the whole trained network; the defaults are AudioX-Turbo's."""

    transformer: MMDiTSizes | DiTSizes = field(default_factory=MMDiTSizes)
    maf: MAFSizes | None = field(default_factory=MAFSizes)
    video: VideoSizes = field(default_factory=VideoSizes)
    audio: AudioSizes | FrameAudioSizes | MelAudioSizes = field(default_factory=AudioSizes)

    def __post_init__(self) -> None:
        widths = {self.transformer.context_width, self.video.width, self.audio.width}
        if self.maf is not None:
            widths.add(self.maf.width)
        if len(widths) > 1:
            raise AudioXError(
                f"The prompt tokens have the widths {sorted(widths)} in different components, expected one width."
            )

    @property
    def text_tokens(self) -> int:
        """Tokens of the text: as many as T5 gives, or, where the total is fixed, what video and audio leave."""
        if isinstance(self.transformer, DiTSizes):
            return TEXT_TOKENS
        return self.transformer.context_tokens - self.video.tokens - self.audio.tokens

    @property
    def context_tokens(self) -> int:
        """Tokens of a whole prompt, with 10 s of sound in it."""
        return self.text_tokens + self.video.tokens + self.audio.tokens

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> NetworkSizes:
        """Sizes from native names and shapes."""
        released = RELEASED_SIZES[architecture_of(shapes)]
        return cls(
            transformer=type(released.transformer).from_shapes(under(shapes, "transformer.")),
            maf=MAFSizes.from_shapes(under(shapes, "maf.")) if released.maf else None,
            video=VideoSizes.from_shapes(under(shapes, "video.")),
            audio=type(released.audio).from_shapes(under(shapes, "audio.")),
        )


RELEASED_SIZES = {
    MMDIT: NetworkSizes(),
    MAF_DIT: NetworkSizes(DiTSizes(), MAFSizes(), VideoSizes(), MelAudioSizes()),
    DIT: NetworkSizes(DiTSizes(), None, VideoSizes(sync_rows=0), FrameAudioSizes()),
}
"""Architecture -> sizes of the released models."""


def architecture_of(names: Iterable[str]) -> str:
    """One of `variants.ARCHITECTURES`, from the network's native names."""
    names = list(names)
    if not any(name.startswith(("transformer.layers.0.cross_", "transformer.context_embed.")) for name in names):
        return MMDIT
    return MAF_DIT if any(name.startswith("maf.") for name in names) else DIT


class AudioXNetwork(nn.Module):
    """The trained network of any AudioX model; its sizes say which modules it has."""

    def __init__(
        self,
        sizes: NetworkSizes,
        operations: Operations = nn,
        dtype: torch.dtype | None = None,
        device: Device = None,
        prompt_operations: Operations | None = None,
    ) -> None:
        """prompt_operations: layers of everything before the transformer, where they differ from `operations`."""
        super().__init__()
        prompt_operations = prompt_operations or operations
        self.sizes = sizes
        self.transformer = _MODULES[type(sizes.transformer)](sizes.transformer, operations, dtype, device)
        self.maf = MAF(sizes.maf, prompt_operations, dtype, device) if sizes.maf else None
        self.video = VideoConditioner(sizes.video, prompt_operations, dtype, device)
        self.audio = _MODULES[type(sizes.audio)](sizes.audio, prompt_operations, dtype, device)

    def pad_text(self, text: Tensor) -> Tensor:
        """Text tokens, cut or padded with zeros to the number that the context has for them."""
        width = self.sizes.transformer.context_width
        if text.ndim != 3 or text.shape[-1] != width:
            raise AudioXError(
                f"The text embedding has the shape {list(text.shape)}, expected [batch, tokens, {width}]: use the "
                "T5-base text encoder (CLIPLoader type stable_audio), not another CLIP."
            )
        missing = self.sizes.text_tokens - text.shape[1]
        return F.pad(text, (0, 0, 0, missing)) if missing > 0 else text[:, : self.sizes.text_tokens]

    @with_onednn
    def context(
        self,
        text: Tensor,
        clip_tokens: Tensor | None = None,
        sync_features: Tensor | None = None,
        audio: Tensor | None = None,
        attention: Attention = sdpa,
    ) -> Tensor:
        """The prompt (B, context_tokens, width) from encoder outputs.

        text (B, up to 128, width) from T5; clip_tokens (B, frames * tokens, width) with sync_features (B, 240,
        width), or neither without a video; audio in the form that the audio conditioner takes, a VAE latent
        (B, channels, 215) or a log mel spectrogram (B, mels, frames), or None without an audio prompt.
        """
        text = self.pad_text(text)
        if clip_tokens is None:
            video = self.video.absent(text)
        else:
            video = self.video(clip_tokens.to(text), sync_features, attention)
        audio = self.audio.absent(text) if audio is None else self.audio(audio.to(text))
        batch = max(text.shape[0], video.shape[0], audio.shape[0])
        text, video, audio = (x.expand(batch, -1, -1) for x in (text, video, audio))
        if self.maf is None:
            return torch.cat(
                (video, text, audio), dim=1
            )  # the fusion block puts the text first, the first AudioX the video
        return self.maf(text, video, audio, attention)

    def null_context(self, batch: int, like: Tensor) -> Tensor:
        """What guidance contrasts with: zeros in place of the prompt's tokens, not an empty prompt."""
        shape = (batch, self.sizes.context_tokens, self.sizes.transformer.context_width)
        return torch.zeros(shape, dtype=like.dtype, device=like.device)

    def prepare(self, context: Tensor) -> Tensor:
        """What the transformer computes from a prompt once per run; see `MMDiT.prepare`, `DiT.prepare`."""
        return self.transformer.prepare(context)

    def forward(self, x: Tensor, t: Tensor, prepared: Tensor, attention: Attention = sdpa) -> Tensor:
        """See `MMDiT.forward`, `DiT.forward`."""
        return self.transformer(x, t, prepared, attention)
