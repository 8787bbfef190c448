"""AudioX's network as a ComfyUI MODEL: latent format, objective, prompt fusion and memory estimate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import comfy.conds
import comfy.ldm.modules.attention
import comfy.model_base
import comfy.model_management
import comfy.ops
import comfy.patcher_extension
import comfy.supported_models_base
import torch

from ...audiox_core.errors import AudioXError
from ...audiox_core.lengths import LATENT_FRAMES, windows_from_frames
from ...audiox_core.memory import activations
from ...audiox_core.models.attention import Attention
from ...audiox_core.models.latent_transformer import sounds_per_prompt
from ...audiox_core.models.network import AudioXNetwork, NetworkSizes
from ...audiox_core.prompts import Prompt, fuse
from ...audiox_core.sampling import SIGMA_MAX, SIGMA_MIN
from ...audiox_core.sampling.objectives import OBJECTIVES, V
from ...audiox_core.sampling.windows import layout_windows, over_windows
from ..keys import AUDIO, CLIP_TOKENS, LOOP, PRESENT, STILL, SYNC_FEATURES
from .preview import PreviewedLatent
from .refusals import NoUNet, check_conditioning, check_joined_text, check_patches

PREPARED, KEPT, CONTEXTS = "prepared", "audiox_kept", "contexts"
"""Shapes that memory is estimated from: of the rows that an evaluation joins, of those that a run keeps, and of the
fused prompts of a sound's windows."""


def comfy_attention(transformer_options: dict[str, Any] | None = None) -> Attention:
    """ComfyUI's chosen attention in the core's signature, without SageAttention's low precision, which is audible."""
    return partial(_optimized_attention, low_precision_attention=False, transformer_options=transformer_options or {})


def _optimized_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, **options: Any) -> torch.Tensor:
    return comfy.ldm.modules.attention.optimized_attention(q, k, v, heads, skip_reshape=True, **options)


class ComfyNetwork(AudioXNetwork):
    """The core's network, called as ComfyUI calls a model."""

    def __init__(
        self,
        sizes: NetworkSizes,
        operations: Any = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(sizes, operations, dtype, device, prompt_operations=comfy.ops.manual_cast)
        self.dtype = dtype
        self.in_channels = sizes.transformer.latent_channels  # RenormCFG asks for it

    def forward(  # type: ignore[override]
        self,
        x: torch.Tensor,
        timestep: torch.Tensor,
        prepared: torch.Tensor | None = None,
        contexts: torch.Tensor | None = None,
        transformer_options: dict[str, Any] | None = None,
        **unused: object,
    ) -> torch.Tensor:
        """prepared: one prompt for the whole sound. contexts (C, windows, tokens, width): a prompt for each window."""
        wrappers = comfy.patcher_extension.get_all_wrappers(
            comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, transformer_options or {}
        )
        if not wrappers:
            return self.evaluate(x, timestep, prepared, contexts, transformer_options)
        run = comfy.patcher_extension.WrapperExecutor.new_class_executor(self.evaluate, self, wrappers)
        # EasyCache adds to its input, which in float32 is the sampler's own tensor.
        return run.execute(x.clone(), timestep, prepared, contexts, transformer_options)

    def evaluate(
        self,
        x: torch.Tensor,
        timestep: torch.Tensor,
        prepared: torch.Tensor | None,
        contexts: torch.Tensor | None,
        transformer_options: dict[str, Any] | None,
    ) -> torch.Tensor:
        """What `forward` gives where no node (EasyCache is one) wraps it."""
        attention = comfy_attention(transformer_options)
        loop = (transformer_options or {}).get(LOOP, False)

        def rows(window: int) -> torch.Tensor:
            if prepared is not None:
                return prepared
            if contexts is not None:
                return self.prepare(contexts[:, window])
            raise TypeError("expected prepared or contexts")

        if not loop and x.shape[-1] <= LATENT_FRAMES:  # kept free of what torch.compile cannot trace
            return super().forward(x, timestep, rows(0), attention)

        def evaluate(window: int, part: torch.Tensor) -> torch.Tensor:
            comfy.model_management.throw_exception_if_processing_interrupted()  # a step may have 75 windows
            return super(ComfyNetwork, self).forward(part, timestep, rows(window), attention)

        return over_windows(evaluate, x, layout_windows(x.shape[-1], loop=loop)).to(x)


class CONDPrepared(comfy.conds.CONDRegular):
    """One row per prompt. A single row is not repeated over the batch: the network does that one layer at a time."""

    def process_cond(self, batch_size: int, **kwargs: Any) -> CONDPrepared:
        sounds_per_prompt(len(self.cond), batch_size)
        return self._copy_with(self.cond) if len(self.cond) == 1 else super().process_cond(batch_size, **kwargs)


class AudioXModel(comfy.model_base.BaseModel):
    """A rectified flow or v-prediction model; prompts are fused once per run, before the first step."""

    def __init__(self, config: AudioXConfig, device: torch.device | str | None = None) -> None:
        types = comfy.model_base.ModelType
        model_type = types.V_PREDICTION_CONTINUOUS if OBJECTIVES[config.variant] is V else types.FLOW
        super().__init__(config, model_type, device=device, unet_model=ComfyNetwork)
        self.audiox_variant, self.audiox_guidance = config.variant, config.guidance

    def _apply_model(
        self,
        x: torch.Tensor,
        t: torch.Tensor,
        c_concat: torch.Tensor | None = None,
        c_crossattn: torch.Tensor | None = None,
        control: object = None,
        transformer_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        options = transformer_options or {}
        check_patches(options, control)
        return super()._apply_model(x, t, c_concat, c_crossattn, control, options, **kwargs)

    def process_timestep(self, timestep: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """The network takes times from 0 to 1, whatever multiplier a ModelSampling node set."""
        return timestep / getattr(self.model_sampling, "multiplier", 1.0)

    def extra_conds(self, **kwargs: Any) -> dict[str, CONDPrepared]:
        network, dtype = self.diffusion_model, self.get_dtype_inference()
        # The prompt is fused once per run, so that can be done in float32 whatever the transformer's weights are.
        device, fusion_dtype = kwargs["device"], torch.float32
        loop = kwargs.get(LOOP, False)
        windows = 1 if loop else windows_from_frames(kwargs["noise"].shape[-1])
        text = text_tokens(kwargs["cross_attn"].to(device, fusion_dtype), network.sizes)
        if is_unconditional(kwargs):
            return {PREPARED: CONDPrepared(network.prepare(network.null_context(len(text), text).to(dtype)))}
        prompt = Prompt(
            text=text,
            clip_tokens=kwargs.get(CLIP_TOKENS),
            sync_features=kwargs.get(SYNC_FEATURES),
            audio=kwargs.get(AUDIO),
            still=kwargs.get(STILL, False),
        )
        fused = fuse(
            network, prompt, windows, loop=loop, device=device, dtype=fusion_dtype, attention=comfy_attention()
        )
        contexts = [context.to(dtype) for context in fused]
        if len(contexts) == 1:
            return {PREPARED: CONDPrepared(network.prepare(contexts[0]))}
        return {CONTEXTS: CONDPrepared(torch.stack(contexts, dim=1))}

    def extra_conds_shapes(self, **kwargs: Any) -> dict[str, list[int]]:
        """Shapes of what `extra_conds` will return; ComfyUI needs them before the model is loaded."""
        check_conditioning(kwargs)
        sizes = self.diffusion_model.sizes
        prompts = len(kwargs["cross_attn"])
        shape = [prompts, activations.prepared(sizes, prompts, 1) // prompts]
        return {PREPARED: shape, KEPT: shape}

    def memory_required(
        self,
        input_shape: Sequence[int],
        cond_shapes: Mapping[str, list[Sequence[int]]] | None = None,
        memory_efficient_attention: bool | None = None,
    ) -> float:
        """Bytes of an evaluation of a batch (B, 64, L), as measured (`memory.activations`), not by area.

        memory_efficient_attention: whether the attention chosen for this model never holds all scores; ComfyUI releases
        after 0.33 say so. ComfyUI keeps the rows of each prompt for the whole run and joins them into one tensor for
        each evaluation.
        """
        sizes, size = self.diffusion_model.sizes, self.get_dtype_inference().itemsize
        shapes = {name: (cond_shapes or {}).get(name, []) for name in (PREPARED, KEPT, CONTEXTS)}
        rows = sum(math.prod(shape) for held in shapes.values() for shape in held)
        rows += sum(activations.prepared(sizes, shape[0], 1) for shape in shapes[CONTEXTS])  # for a window at a time
        prompts = max(1, sum(shape[0] for name in (PREPARED, CONTEXTS) for shape in shapes[name]))
        sounds, frames = input_shape[0], min(input_shape[-1], LATENT_FRAMES)  # windows go one by one
        evaluation = activations.evaluation(sizes, prompts, sounds, frames, size)
        if not (fused_attention() if memory_efficient_attention is None else memory_efficient_attention):
            evaluation += activations.scores(sizes, sounds, frames)
        return rows * size + evaluation


def text_tokens(text: torch.Tensor, sizes: NetworkSizes) -> torch.Tensor:
    """Text tokens (C, tokens, width) in the model's width; AudioXError for those of an encoder other than T5."""
    if not text.any():  # no text, or zeroed out: only its batch counts, not its width
        return text.new_zeros(text.shape[0], 1, sizes.transformer.context_width)
    if text.shape[1] < sizes.text_tokens:
        raise AudioXError(
            f"The text embedding has {text.shape[1]} tokens, expected {sizes.text_tokens} or more, as from "
            "T5: use T5-base (CLIPLoader type stable_audio), not another CLIP."
        )
    check_joined_text(text, sizes.text_tokens)
    return text


def fused_attention() -> bool:
    """Whether ComfyUI's attention never holds all scores at once."""
    management = comfy.model_management
    return management.xformers_enabled() or management.pytorch_attention_flash_attention()


def is_unconditional(cond: dict[str, Any]) -> bool:
    """Whether this entry went through ConditioningZeroOut, which zeroes the text and `pooled_output` but no other key.

    The encode nodes set `pooled_output` to one, because the text tokens of a prompt without text are zero as well.
    """
    pooled = cond.get(PRESENT)
    return not (cond["cross_attn"] if pooled is None else pooled).any()


SAMPLING_SETTINGS = {
    False: {"shift": 1.0, "multiplier": 1.0},
    True: {"sigma_min": SIGMA_MIN, "sigma_max": SIGMA_MAX},
}
"""Whether the model predicts v -> ComfyUI's schedule settings."""


class AudioXConfig(comfy.supported_models_base.BASE):
    """What ComfyUI needs to know of a model family. Not registered with core: Load AudioX uses it directly."""

    unet_extra_config: ClassVar[dict] = {}
    latent_format = PreviewedLatent
    supported_inference_dtypes: ClassVar = [torch.bfloat16, torch.float16, torch.float32]

    def __init__(self, sizes: NetworkSizes, variant: str, guidance: float | None = None) -> None:
        """guidance: the scale set by the checkpoint, in place of its variant's."""
        config = {"sizes": sizes}
        super().__init__(config)
        self.unet_config = NoUNet(config)
        self.variant, self.guidance = variant, guidance
        self.sampling_settings = SAMPLING_SETTINGS[OBJECTIVES[variant] is V]

    def get_model(
        self, state_dict: Mapping[str, torch.Tensor], prefix: str = "", device: torch.device | str | None = None
    ) -> AudioXModel:
        return AudioXModel(self, device=device)
