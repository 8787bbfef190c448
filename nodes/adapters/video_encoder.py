"""The CLIP vision tower and Synchformer under ComfyUI's model management."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import comfy.clip_vision
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.utils
import torch

from ...audiox_core.checkpoint import Checkpoint
from ...audiox_core.errors import AudioXError
from ...audiox_core.media.frames import FrameRequest, encoder_requests
from ...audiox_core.memory import activations
from ...audiox_core.models.encoders import CLIP_BATCH, ClipSizes, normalise_clip
from ...audiox_core.models.onednn import with_onednn
from ...audiox_core.models.synchformer import Synchformer, encode, segments_at_once
from ...audiox_core.release.components import CLIP_VISION, SYNCHFORMER
from .network import comfy_attention
from .progress import node_progress


def clip_config(sizes: ClipSizes) -> dict[str, Any]:
    """The sizes as ComfyUI's CLIP vision configuration."""
    return {
        "model_type": "clip_vision_model",
        "hidden_act": "quick_gelu",
        "hidden_size": sizes.width,
        "image_size": sizes.image_size,
        "intermediate_size": sizes.ffn_width,
        "num_attention_heads": sizes.heads,
        "num_channels": 3,
        "num_hidden_layers": sizes.depth,
        "patch_size": sizes.patch_size,
    }


def load_clip_vision(sizes: ClipSizes, state_dict: dict) -> comfy.clip_vision.ClipVisionModel:
    """ComfyUI's CLIP vision model; its constructor reads the configuration from a file up to version 0.22."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "clip_vision.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(clip_config(sizes), file)
        model = comfy.clip_vision.ClipVisionModel(path)
    missing, unexpected = model.load_sd(state_dict)
    missing = [name for name in missing if "post_layernorm" not in name]  # AudioX takes the tokens before it
    if missing or unexpected:
        raise AudioXError(
            f"The CLIP tower lacks {len(missing)} tensors and has {len(unexpected)} unknown ones (first: "
            f"{[*missing, *unexpected][0]}), expected a CLIP ViT vision model."
        )
    return model


def stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of change of a file, None where it is gone."""
    if not path.is_file():
        return None
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


class VideoEncoder:
    """The encoders of Encode Video Prompt: CLIP, and Synchformer if the model has it, each with its own patcher.

    Their weights are read when the first video is encoded: most graphs have none.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """checkpoint: has the encoders, see `Checkpoint.video_encoders`."""
        self.checkpoint = checkpoint
        self.sizes = [checkpoint.sizes[name] for name in checkpoint.video_encoders()]
        # Synchformer is heavy (12 TFLOP for 10 s), so it runs where the transformer does, not where text is encoded.
        self.load_device = comfy.model_management.get_torch_device()
        self.opened = {path: stamp(path) for path in self._files()}

    @cached_property
    def clip(self) -> comfy.clip_vision.ClipVisionModel:
        """The CLIP vision tower."""
        return load_clip_vision(self.sizes[0], self._state_dict(CLIP_VISION))

    @cached_property
    def sync(self) -> Synchformer | None:
        """Synchformer, None where the model does without."""
        if SYNCHFORMER not in self.checkpoint.video_encoders():
            return None
        management = comfy.model_management
        dtype = management.text_encoder_dtype(self.load_device)
        sizes = self.checkpoint.sizes[SYNCHFORMER]
        sync = Synchformer(sizes, comfy.ops.manual_cast, dtype=dtype, device="meta", attention=comfy_attention())
        sync.load_state_dict(self._state_dict(SYNCHFORMER, dtype), assign=True)
        sync.to(management.text_encoder_offload_device()).eval().requires_grad_(False)
        management.archive_model_dtypes(sync)
        return sync

    @cached_property
    def sync_patcher(self) -> comfy.model_patcher.ModelPatcher:
        """Synchformer's patcher."""
        return comfy.model_patcher.CoreModelPatcher(
            self.sync,
            load_device=self.load_device,
            offload_device=comfy.model_management.text_encoder_offload_device(),
        )

    def _files(self) -> set[Path]:
        sources = [self.checkpoint.sources[name].values() for name in self.checkpoint.video_encoders()]
        return {source.file.path for source in itertools.chain(*sources)}

    def _state_dict(self, part: str, dtype: torch.dtype | None = None) -> dict[str, torch.Tensor]:
        """The weights of an encoder, from files that must be those that Load AudioX has opened."""
        for path, before in self.opened.items():
            if stamp(path) != before:
                raise AudioXError(
                    f"Choose the checkpoint in Load AudioX again: {path}, which holds the video encoders, was changed, "
                    "moved or deleted after it was loaded."
                )
        return self.checkpoint.state_dict(part, dtype, node_progress())

    def requests(self) -> tuple[FrameRequest, ...]:
        """The frames to read of a video, for CLIP and for Synchformer if there is one."""
        return encoder_requests(*(sizes.image_size for sizes in self.sizes))

    def encode(
        self, clip_frames: torch.Tensor, sync_frames: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """CLIP tokens (1, N * tokens, W), sync features (1, 240, W) or None, of uint8 frames (N, 3, size, size)."""
        clip, sync = self.clip, None if sync_frames is None else self.sync  # reads them, each with a bar of its own
        bar = comfy.utils.ProgressBar(len(clip_frames) + (0 if sync_frames is None else len(sync_frames)))
        bar.update_absolute(0)
        tokens = self.encode_clip(clip, clip_frames, bar)
        if sync is None or sync_frames is None:
            return tokens, None
        return tokens, self.encode_sync(sync, sync_frames, bar)

    def encode_clip(
        self, clip: comfy.clip_vision.ClipVisionModel, frames: torch.Tensor, bar: comfy.utils.ProgressBar
    ) -> torch.Tensor:
        required = activations.clip(self.sizes[0], torch.float32.itemsize)
        comfy.model_management.load_models_gpu([clip.patcher], memory_required=required)
        hidden_states = with_onednn(lambda pixels: clip.model(pixel_values=pixels)[0])
        out = []
        for batch in frames.split(CLIP_BATCH):
            pixels = normalise_clip(batch.to(clip.load_device))
            out.append(hidden_states(pixels).to(comfy.model_management.intermediate_device()))
            bar.update(len(batch))
        return torch.cat(out).flatten(0, 1)[None].float()

    def encode_sync(self, sync: Synchformer, frames: torch.Tensor, bar: comfy.utils.ProgressBar) -> torch.Tensor:
        required = activations.synchformer(sync.sizes, torch.float32.itemsize, segments_at_once(self.load_device))
        comfy.model_management.load_models_gpu([self.sync_patcher], memory_required=required)
        start = bar.current

        def report(done: int, total: int) -> None:
            bar.update_absolute(start + len(frames) * done // total)

        features = encode(sync, frames.to(self.load_device), dtype=torch.float32, progress=report)
        return features.to(comfy.model_management.intermediate_device()).float()
