"""The Oobleck VAE as a ComfyUI VAE."""

from __future__ import annotations

from typing import Any

import comfy.ldm.audio.autoencoder
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import torch

from ...audiox_core.lengths import SAMPLES_PER_LATENT
from ...audiox_core.memory import activations
from ...audiox_core.models.conditioners import AudioSizes, FrameAudioSizes, MelAudioSizes
from ...audiox_core.models.tiling import default_tile_size
from ...audiox_core.models.vae import OobleckVAE, VAESizes
from ...audiox_core.progress import Counter
from .progress import node_progress


class AudioXVAE(comfy.sd.VAE):
    """ComfyUI's audio VAE around the core's autoencoder, which may have any size and runs in tiles.

    Weights and sound are float32, as in the official code; on a GPU PyTorch may use TF32 in convolutions. Encoding
    gives the posterior's mean: the same sound gives the same latent.
    """

    def __init__(
        self,
        sizes: VAESizes,
        state_dict: dict[str, torch.Tensor],
        prompt_sizes: AudioSizes | FrameAudioSizes | MelAudioSizes,
        prompt_state_dict: dict[str, torch.Tensor] | None = None,
    ) -> None:
        """state_dict: float32 tensors under native names, used without a copy.

        prompt_sizes: the model's `NetworkSizes.audio`, which says in what form it takes audio prompts.
        prompt_state_dict: of another VAE whose encoder is for audio prompts; None for this one's.
        """
        self.prompt_sizes = prompt_sizes
        # ComfyUI configures an audio VAE by the keys it is given; on the meta device that costs nothing, and the
        # placeholder model is replaced below.
        with torch.device("meta"):
            placeholder = comfy.ldm.audio.autoencoder.AudioOobleckVAE().state_dict()
            super().__init__(sd=placeholder, dtype=torch.float32)
        self.first_stage_model, self.patcher = self._loaded(sizes, state_dict)
        self.prompt_model, self.prompt_patcher = self.first_stage_model, self.patcher
        if prompt_state_dict is not None:
            self.prompt_model, self.prompt_patcher = self._loaded(sizes, prompt_state_dict)
        tile = default_tile_size(self.device)
        # Of one sound each: ComfyUI divides the free memory by it to find how many go together.
        self.memory_used_encode = lambda shape, dtype: activations.encode(sizes, 1, dtype.itemsize, tile, shape[2])
        self.memory_used_decode = lambda shape, dtype: activations.decode(sizes, 1, shape[2], dtype.itemsize, tile)
        self.crop_input = False  # neither does the official code: the encoder's strides round down by themselves
        self.size = None
        self.model_size()

    def _loaded(
        self, sizes: VAESizes, state_dict: dict[str, torch.Tensor]
    ) -> tuple[OobleckVAE, comfy.model_patcher.ModelPatcher]:
        """A VAE with its weights, and what moves it to the device and back."""
        offload_device = comfy.model_management.vae_offload_device()
        model = OobleckVAE(sizes, operations=comfy.ops.manual_cast, dtype=torch.float32, device="meta")
        model.load_state_dict(state_dict, assign=True)
        model.to(offload_device).eval().requires_grad_(False)
        comfy.model_management.archive_model_dtypes(model)
        return model, comfy.model_patcher.ModelPatcher(model, load_device=self.device, offload_device=offload_device)

    def decode(self, samples_in: torch.Tensor, vae_options: dict[str, Any] | None = None) -> torch.Tensor:
        """As core decodes, with progress."""
        counter = Counter(node_progress(), "decode", samples_in.shape[0] * samples_in.shape[-1])
        return super().decode(samples_in, vae_options={**(vae_options or {}), "report": counter})

    def encode_statistics(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Posterior mean and deviation, each (B, 64, L // 2048), of audio (B, 2, L) at 44.1 kHz."""
        return self._statistics(self.first_stage_model, self.patcher, audio)

    def encode_prompt_statistics(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same for an audio prompt, which a few models encode with another VAE."""
        return self._statistics(self.prompt_model, self.prompt_patcher, audio)

    def _statistics(
        self, model: OobleckVAE, patcher: comfy.model_patcher.ModelPatcher, audio: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        counter = Counter(node_progress(), "audio", len(audio) * (audio.shape[-1] // SAMPLES_PER_LATENT))
        required = len(audio) * self.memory_used_encode(audio.shape, self.vae_dtype)
        comfy.model_management.load_models_gpu([patcher], memory_required=required)
        mean, std = model.encode_statistics(audio.to(self.device, self.vae_dtype), counter)
        return mean.to(self.output_device), std.to(self.output_device)
