"""Generate a latent with the model's own sampler and settings."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.samplers
import comfy.utils
import latent_preview
import node_helpers
import torch
import torch.nn.functional as F
from comfy_api.latest import io

from ..audiox_core import sampling
from ..audiox_core.errors import AudioXError
from ..audiox_core.release.variants import SAMPLERS
from ..audiox_core.sampling.objectives import OBJECTIVES, Objective
from ..audiox_core.sampling.presets import PRESETS, REFERENCE, RunSettings, resolve_settings
from ..audiox_core.sampling.windows import pad_to_windows
from .adapters.network import AudioXModel
from .batch_items import BatchItem, described, items_of, loop_of, mask_of
from .inputs import require_finite
from .keys import LOOP, PRESENT, TOOK


class Sample(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        turbo, base = PRESETS["turbo"], PRESETS["base"]
        return io.Schema(
            node_id="AudioXSample",
            display_name="AudioX Sample",
            category="audio/AudioX",
            description=(
                f"Generates the audio latent. 0 and auto use the model's recommended settings: Turbo {turbo.steps} "
                f"steps without guidance, Base {base.steps} steps with guidance {base.cfg:g}, the others "
                f"{REFERENCE.steps} steps with guidance {REFERENCE.cfg:g}. The noise is drawn on the CPU, so a seed "
                "gives the same sound on every device."
            ),
            search_aliases=["sampler", "generate audio", "audiox"],
            inputs=[
                io.Model.Input("model", tooltip="From Load AudioX."),
                io.Conditioning.Input("positive", tooltip="The prompt, from the AudioX encode nodes."),
                io.Latent.Input("latent", tooltip="From Empty AudioX Latent, or a sound from AudioX VAE Encode."),
                io.Conditioning.Input(
                    "negative",
                    optional=True,
                    tooltip="What to avoid; ignored by Turbo. If unconnected, guidance contrasts with no prompt at "
                    "all, as in the official code.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Random seed. Changing it reuses the encoded prompts.",
                ),
                io.Int.Input(
                    "steps",
                    optional=True,
                    default=0,
                    min=0,
                    max=1000,
                    tooltip=f"Sampling steps. 0 = the model's own: {turbo.steps} for Turbo, {base.steps} for Base, "
                    f"{REFERENCE.steps} for the others.",
                ),
                io.Float.Input(
                    "cfg",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=30.0,
                    step=0.1,
                    tooltip=f"Guidance scale. 0 = the model's own: {base.cfg:g} for Base, {REFERENCE.cfg:g} for the "
                    "others. Turbo was distilled with guidance and accepts only 1 (none).",
                ),
                io.Combo.Input(
                    "sampler",
                    optional=True,
                    options=["auto", *SAMPLERS],
                    advanced=True,
                    tooltip="auto = the model's own. renoise: Turbo (lcm in KSampler). euler: Base. dpmpp-3m-sde and "
                    "the rest: AudioX, AudioX-MAF, AudioX-MAF-MMDiT.",
                ),
                io.Float.Input(
                    "denoise",
                    optional=True,
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Below 1, starts from the input latent noised to this level, to vary a sound.",
                ),
                io.Float.Input(
                    "cfg_rescale",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Keeps strong guidance from exaggerating: how far its output is scaled back to the "
                    "unguided deviation. 0 = off.",
                ),
                io.Float.Input(
                    "video_cfg",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=30.0,
                    step=0.1,
                    advanced=True,
                    tooltip="Separate guidance scale for video, image and audio; cfg then applies to the text only. "
                    "0 = cfg for all. Needs guidance; costs a third evaluation per step.",
                ),
            ],
            outputs=[io.Latent.Output(tooltip="The audio latent, for AudioX VAE Decode or VAE Decode Audio.")],
        )

    @classmethod
    def execute(
        cls,
        model: comfy.model_patcher.ModelPatcher,
        positive: list,
        latent: dict,
        seed: int,
        negative: list | None = None,
        steps: int = 0,
        cfg: float = 0.0,
        sampler: str = "auto",
        denoise: float = 1.0,
        cfg_rescale: float = 0.0,
        video_cfg: float = 0.0,
    ) -> io.NodeOutput:
        require_finite(cfg=cfg, denoise=denoise, cfg_rescale=cfg_rescale, video_cfg=video_cfg)
        if not isinstance(model.model, AudioXModel):
            raise AudioXError(
                f"The model is a {type(model.model).__name__}, not AudioX: connect the MODEL of Load AudioX, or use "
                "KSampler for this model."
            )
        started = time.perf_counter()
        variant = model.model.audiox_variant
        objective = OBJECTIVES[variant]
        settings = resolve_settings(
            variant,
            steps=steps,
            cfg=cfg,
            sampler=sampler,
            rescale=cfg_rescale,
            video_cfg=video_cfg,
            guidance=model.model.audiox_guidance,
        )
        check_latent(latent)
        items, frames = items_of(latent), latent["samples"].shape[-1]
        samples, mask = whole(latent, items)
        indices = latent.get("batch_index", range(len(items)))
        sigmas = objective.sigmas(settings.steps, denoise)
        noise = sampling.SeededNoise([(seed + i) % 2**64 for i in indices])
        guider = guider_for(model, positive, negative, settings, objective, loop=loop_of(items))
        comfy.utils.ProgressBar(settings.steps).update_absolute(0)  # moving the model comes before the first step
        out = guider.sample(
            noise(samples),
            samples,
            comfy.samplers.KSAMPLER(
                comfy_sampler(objective.samplers[settings.sampler], objective.step_noise(noise, sigmas))
            ),
            torch.tensor(sigmas),
            denoise_mask=mask,
            callback=latent_preview.prepare_callback(model, settings.steps),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=seed,
        )
        out = out[..., :frames].to(comfy.model_management.intermediate_device())
        sampled = {**latent, "samples": out, **described(items, indices), TOOK: time.perf_counter() - started}
        sampled.pop("noise_mask", None)
        return io.NodeOutput(sampled if mask is None else {**sampled, "noise_mask": mask[..., :frames]})


def check_latent(latent: dict) -> None:
    """AudioXError for a latent that cannot be sampled."""
    samples = latent["samples"]
    if not isinstance(samples, torch.Tensor):
        raise AudioXError(f"The latent is a {type(samples).__name__}, not one tensor: use Empty AudioX Latent.")
    if 0 in samples.shape:
        raise AudioXError(f"The latent is empty (shape {list(samples.shape)}): use Empty AudioX Latent.")
    if not torch.isfinite(samples).all():
        raise AudioXError("The latent holds values that are not finite (NaN or infinite): generate it again.")
    if len(latent.get("batch_index", samples)) != len(samples):
        raise AudioXError(
            f"The latent has {len(samples)} sounds, but numbers {len(latent['batch_index'])} for their seeds: join "
            "sounds with Batch Latents, not with a node that joins along another axis."
        )


def whole(latent: dict, items: Sequence[BatchItem]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Samples and noise mask, padded to whole windows with frames to generate; a loop keeps its length."""
    samples, mask = latent["samples"], mask_of(latent, items)
    if mask is not None:
        mask = F.interpolate(mask.float(), samples.shape[-1])
    return (samples, mask) if loop_of(items) or samples.ndim != 3 else pad_to_windows(samples, mask)


class SeparateScalesGuider(comfy.samplers.CFGGuider):
    """Guidance with a separate scale for video and audio; see `sampling.with_separate_scales`."""

    def __init__(self, model: comfy.model_patcher.ModelPatcher, video_scale: float) -> None:
        super().__init__(model)
        self.video_scale = video_scale

    def predict_noise(
        self, x: torch.Tensor, timestep: torch.Tensor, model_options: dict | None = None, seed: int | None = None
    ) -> torch.Tensor:
        conds = [self.conds[name] for name in ("negative", "middle", "positive")]
        options = {} if model_options is None else model_options
        negative, without_text, positive = comfy.samplers.calc_cond_batch(self.inner_model, conds, x, timestep, options)
        return comfy.samplers.cfg_function(
            self.inner_model,
            positive,
            sampling.with_separate_scales(without_text, negative, self.cfg, self.video_scale),
            self.cfg,
            x,
            timestep,
            model_options=options,
            cond=conds[2],
            uncond=conds[0],
        )


def guider_for(
    model: comfy.model_patcher.ModelPatcher,
    positive: list,
    negative: list | None,
    settings: RunSettings,
    objective: Objective,
    *,
    loop: bool,
) -> comfy.samplers.CFGGuider:
    """ComfyUI's guidance for a run."""
    if settings.cfg == 1 and negative is not None:
        logging.warning("AudioX Sample ignores the negative prompt: it needs guidance (cfg above 1).")
    conds = {"positive": positive}
    if settings.cfg != 1:  # without guidance the negative prompt is not even fused
        conds["negative"] = zeroed(positive) if negative is None else negative
    if settings.scales_separately:
        conds["middle"] = without_words(positive)
    if loop or settings.rescale:
        model = model.clone()
    if loop:
        model.model_options["transformer_options"][LOOP] = True
        conds = {name: node_helpers.conditioning_set_values(entries, {LOOP: True}) for name, entries in conds.items()}
    if settings.rescale and settings.cfg != 1:
        model.set_model_sampler_cfg_function(rescaled(objective, settings.rescale))
    video_cfg = settings.video_cfg if settings.scales_separately else None
    guider = comfy.samplers.CFGGuider(model) if video_cfg is None else SeparateScalesGuider(model, video_cfg)
    guider.set_cfg(settings.cfg)
    guider.inner_set_conds(conds)
    return guider


def without_words(conditioning: list) -> list:
    """The same prompts without their text."""
    return [[torch.zeros_like(tokens), values] for tokens, values in conditioning]


def zeroed(conditioning: list) -> list:
    """The unconditional prompt, as ConditioningZeroOut gives it."""
    return [[torch.zeros_like(tokens), {PRESENT: torch.zeros(1, 1)}] for tokens, _ in conditioning]


def rescaled(objective: Objective, share: float) -> Callable[[dict], torch.Tensor]:
    """Guidance that keeps the deviation, in the form in which ComfyUI lets a model replace its guidance.

    ComfyUI guides estimates; rescaled is the share of them that comes from the network.
    """

    def guide(args: dict) -> torch.Tensor:
        x, sigma = args["input"], args["sigma"].flatten()[0].item()
        skip = objective.skip_scale(sigma) * x
        towards, away = args["cond_denoised"] - skip, args["uncond_denoised"] - skip
        guided = away + args["cond_scale"] * (towards - away)
        return x - (skip + sampling.rescale_guidance(guided, towards, share))

    return guide


def comfy_sampler(sampler: sampling.Sampler, noise: sampling.Noise) -> Callable[..., torch.Tensor]:
    """One of our samplers, called as ComfyUI's KSAMPLER calls its own."""

    def run(
        model: Callable[..., torch.Tensor],
        x: torch.Tensor,
        sigmas: torch.Tensor,
        extra_args: dict[str, Any] | None = None,
        callback: Callable[[dict], None] | None = None,
        disable: bool | None = None,
    ) -> torch.Tensor:
        options = extra_args or {}

        def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
            return model(x, x.new_full((x.shape[0],), sigma), **options)

        def report(step: int, steps: int, denoised: torch.Tensor) -> None:
            if callback is not None:
                callback({"i": step, "denoised": denoised, "x": denoised, "sigma": sigmas[step]})

        return sampler(denoise, x, sigmas.tolist(), noise, report)

    return run
