"""Everything that AudioX trained, as one model: conditioners, fusion, transformer.

The frozen encoders (T5, CLIP, Synchformer, VAE) stand outside; their outputs come in as tensors. `context` and
`modulation` run once per prompt, `forward` once per step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import AudioXError
from .attention import Attention, sdpa
from .conditioners import AudioConditioner, AudioSizes, VideoConditioner, VideoSizes
from .maf import MAF, MAFSizes
from .mmdit import MMDiT, MMDiTSizes
from .shapes import under
from .tables import rows_of


@dataclass(frozen=True)
class NetworkSizes:
    """Sizes of the whole trained network; the defaults are the released models'."""

    transformer: MMDiTSizes = field(default_factory=MMDiTSizes)
    maf: MAFSizes = field(default_factory=MAFSizes)
    video: VideoSizes = field(default_factory=VideoSizes)
    audio: AudioSizes = field(default_factory=AudioSizes)

    def __post_init__(self) -> None:
        widths = {self.transformer.context_width, self.maf.width, self.video.width, self.audio.width}
        if len(widths) > 1:
            raise AudioXError(f"The prompt tokens have the widths {sorted(widths)} in different parts, expected one.")

    @property
    def text_tokens(self) -> int:
        """Tokens that are left for text beside video and audio."""
        return self.transformer.context_tokens - self.video.tokens - self.audio.tokens

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> NetworkSizes:
        """Sizes from native names and shapes."""
        return cls(
            transformer=MMDiTSizes.from_shapes(under(shapes, "transformer.")),
            maf=MAFSizes.from_shapes(under(shapes, "maf.")),
            video=VideoSizes.from_shapes(under(shapes, "video.")),
            audio=AudioSizes.from_shapes(under(shapes, "audio.")),
        )


class AudioXNetwork(nn.Module):
    """AudioX-Turbo or its teacher: one architecture, different weights."""

    def __init__(self, sizes: NetworkSizes, operations=nn, dtype=None, device=None, prompt_operations=None) -> None:
        """prompt_operations: layers of everything before the transformer, where they differ from `operations`."""
        super().__init__()
        prompt_operations = prompt_operations or operations
        self.sizes = sizes
        self.transformer = MMDiT(sizes.transformer, operations, dtype, device)
        self.maf = MAF(sizes.maf, prompt_operations, dtype, device)
        self.video = VideoConditioner(sizes.video, prompt_operations, dtype, device)
        self.audio = AudioConditioner(sizes.audio, prompt_operations, dtype, device)

    def pad_text(self, text: Tensor) -> Tensor:
        """Text tokens cut or padded with zeros to the length that the context has for them."""
        width = self.sizes.transformer.context_width
        if text.ndim != 3 or text.shape[-1] != width:
            raise AudioXError(
                f"The text embedding has the shape {list(text.shape)}, expected [batch, tokens, {width}]: use the "
                "T5-base text encoder (CLIPLoader type stable_audio), not another CLIP."
            )
        missing = self.sizes.text_tokens - text.shape[1]
        return F.pad(text, (0, 0, 0, missing)) if missing > 0 else text[:, : self.sizes.text_tokens]

    def context(
        self,
        text: Tensor,
        clip_tokens: Tensor | None = None,
        sync_features: Tensor | None = None,
        audio_latent: Tensor | None = None,
        attention: Attention = sdpa,
    ) -> Tensor:
        """Fused prompt (B, context_tokens, width) from encoder outputs.

        text (B, up to 128, width) from T5; clip_tokens (B, frames * tokens, width) with sync_features (B, 240,
        width), or neither without a video; audio_latent (B, channels, 215), or None without an audio prompt.
        """
        text = self.pad_text(text)
        if clip_tokens is None:
            video = rows_of(self.video.empty_tokens, text)[None]
        else:
            video = self.video(clip_tokens.to(text), sync_features.to(text), attention)
        audio = self.audio((self.audio.silence() if audio_latent is None else audio_latent).to(text))
        batch = max(text.shape[0], video.shape[0], audio.shape[0])
        return self.maf(*(x.expand(batch, -1, -1) for x in (text, video, audio)), attention)

    def null_context(self, batch: int, like: Tensor) -> Tensor:
        """What guidance contrasts with: zeros in place of the fused prompt, not an empty prompt."""
        sizes = self.sizes.transformer
        return torch.zeros(batch, sizes.context_tokens, sizes.context_width, dtype=like.dtype, device=like.device)

    def modulation(self, context: Tensor) -> Tensor:
        """See `MMDiT.modulation`."""
        return self.transformer.modulation(context)

    def forward(self, x: Tensor, t: Tensor, modulation: Tensor, attention: Attention = sdpa) -> Tensor:
        """See `MMDiT.forward`."""
        return self.transformer(x, t, modulation, attention)
