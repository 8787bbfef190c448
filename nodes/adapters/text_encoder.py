"""T5 of any size as a ComfyUI CLIP, for text encoders that come with a checkpoint."""

from __future__ import annotations

from typing import Any

import comfy.sd
import comfy.sd1_clip
import comfy.supported_models_base
import comfy.text_encoders.sa_t5
import comfy.text_encoders.t5
import comfy.utils
import torch

from ...audiox_core.errors import AudioXError
from ...audiox_core.models.encoders import T5Sizes


def t5_config(sizes: T5Sizes) -> dict[str, Any]:
    """The sizes as ComfyUI's T5 configuration."""
    return {
        "d_ff": sizes.ffn_width,
        "d_kv": sizes.head_width,
        "d_model": sizes.width,
        "dense_act_fn": "relu",
        "is_gated_act": False,
        "model_type": "t5",
        "num_heads": sizes.heads,
        "num_layers": sizes.depth,
        "vocab_size": sizes.vocabulary,
    }


def t5_model_class(sizes: T5Sizes) -> type[comfy.sd1_clip.SD1ClipModel]:
    """Core's Stable Audio text encoder with these sizes."""

    class Encoder(comfy.sd1_clip.SDClipModel):
        def __init__(
            self,
            device: str | torch.device = "cpu",
            dtype: torch.dtype | None = None,
            model_options: dict | None = None,
            **unused: object,
        ) -> None:
            super().__init__(
                device=device,
                dtype=dtype,
                textmodel_json_config=t5_config(sizes),
                special_tokens={"end": 1, "pad": 0},
                model_class=comfy.text_encoders.t5.T5,
                enable_attention_masks=True,
                zero_out_masked=True,
                model_options=model_options or {},
            )

    class AudioXT5(comfy.sd1_clip.SD1ClipModel):  # the name that ComfyUI's log shows
        def __init__(
            self,
            device: str | torch.device = "cpu",
            dtype: torch.dtype | None = None,
            model_options: dict | None = None,
        ) -> None:
            super().__init__(
                device=device, dtype=dtype, model_options=model_options or {}, name="t5base", clip_model=Encoder
            )

    return AudioXT5


def t5_tokenizer_class(tokenizer_json: bytes) -> type[comfy.sd1_clip.SD1Tokenizer]:
    """Core's Stable Audio tokenizer over the checkpoint's own vocabulary."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    class FromMemory:
        @staticmethod
        def from_pretrained(*unused: object, **options: object) -> PreTrainedTokenizerFast:
            return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(tokenizer_json.decode()))

    class T5Tokenizer(comfy.sd1_clip.SDTokenizer):
        def __init__(self, embedding_directory: str | None = None, tokenizer_data: dict | None = None) -> None:
            super().__init__(
                tokenizer_class=FromMemory,
                embedding_key="t5base",
                pad_with_end=False,
                pad_to_max_length=False,
                has_start_token=False,
                max_length=99999999,
                min_length=128,
                end_token=1,
                tokenizer_data=tokenizer_data or {},
            )

    class Tokens(comfy.sd1_clip.SD1Tokenizer):
        def __init__(self, embedding_directory: str | None = None, tokenizer_data: dict | None = None) -> None:
            super().__init__(tokenizer_data=tokenizer_data or {}, clip_name="t5base", tokenizer=T5Tokenizer)

    return Tokens


def load_text_encoder(
    sizes: T5Sizes, state_dict: dict, tokenizer_json: bytes | None, disable_dynamic: bool = False
) -> comfy.sd.CLIP:
    """A CLIP from T5 weights under Hugging Face's names; without its own vocabulary it uses T5's public one."""
    tokenizer = comfy.text_encoders.sa_t5.SAT5Tokenizer
    if tokenizer_json is not None:
        tokenizer = t5_tokenizer_class(tokenizer_json)
    target = comfy.supported_models_base.ClipTarget(tokenizer, t5_model_class(sizes))
    clip = comfy.sd.CLIP(
        target, parameters=comfy.utils.calculate_parameters(state_dict), disable_dynamic=disable_dynamic
    )
    missing, unexpected = clip.load_sd(state_dict)
    if missing or unexpected:
        raise AudioXError(
            f"The text encoder lacks {len(missing)} tensors and has {len(unexpected)} unknown ones (first: "
            f"{[*missing, *unexpected][0]}), expected the encoder of a T5 v1.0 model such as t5-base."
        )
    return clip


def load_text_encoder_file(path: str) -> comfy.sd.CLIP:
    """A text encoder from ComfyUI's own folder, as CLIPLoader with the type stable_audio loads it."""
    return comfy.sd.load_clip(ckpt_paths=[path], clip_type=comfy.sd.CLIPType.STABLE_AUDIO)
