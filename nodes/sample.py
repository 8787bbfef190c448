"""Sampling."""

from __future__ import annotations

import logging
import time

import comfy.model_management
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
from .adapters.network import LOOP, PRESENT, AudioXModel
from .audio_input import TOOK


class Sample(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        turbo, base = PRESETS["turbo"], PRESETS["base"]
        return io.Schema(
            node_id="AudioXSample",
            display_name="AudioX Sample",
            category="audio/AudioX",
            description=(
                f"Makes the sound's latent. Left at 0 and auto it does what the loaded model needs: Turbo "
                f"{turbo.steps} steps without guidance, Base {base.steps} steps with guidance {base.cfg:g}, the "
                f"others {REFERENCE.steps} steps with guidance {REFERENCE.cfg:g}. The noise comes from the CPU, so a "
                "seed means the same sound on every device."
            ),
            search_aliases=["sampler", "generate audio", "audiox"],
            inputs=[
                io.Model.Input("model", tooltip="From Load AudioX."),
                io.Conditioning.Input("positive", tooltip="The prompt, from the AudioX encode nodes."),
                io.Latent.Input("latent", tooltip="From Empty AudioX Latent."),
                io.Conditioning.Input(
                    "negative",
                    optional=True,
                    tooltip="What guidance shall avoid, not for Turbo. Without it guidance works against no prompt at "
                    "all, as upstream does.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The noise. Changing only this encodes nothing again.",
                ),
                io.Int.Input(
                    "steps",
                    optional=True,
                    default=0,
                    min=0,
                    max=1000,
                    tooltip=f"0 takes the model's own: {turbo.steps} for Turbo, {base.steps} for Base, "
                    f"{REFERENCE.steps} for the others.",
                ),
                io.Float.Input(
                    "cfg",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=30.0,
                    step=0.1,
                    tooltip=f"Guidance. 0 takes the model's own: none (1) for Turbo, which was distilled with it and "
                    f"takes no other value; {base.cfg:g} for Base, {REFERENCE.cfg:g} for the others.",
                ),
                io.Combo.Input(
                    "sampler",
                    optional=True,
                    options=["auto", *SAMPLERS],
                    advanced=True,
                    tooltip="renoise is Turbo's (KSampler calls it lcm), euler is Base's, dpmpp-3m-sde that of the "
                    "others, for which the ones after it are too; auto takes the model's own.",
                ),
                io.Float.Input(
                    "denoise",
                    optional=True,
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Below 1 starts from the latent given, noised to this level, for variations of a sound.",
                ),
                io.Float.Input(
                    "cfg_rescale",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Above 0 keeps strong guidance from exaggerating: how far its output is scaled back to the "
                    "deviation of the unguided one.",
                ),
                io.Float.Input(
                    "video_cfg",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=30.0,
                    step=0.1,
                    advanced=True,
                    tooltip="How strongly the video, image and audio prompts count, apart from the text, which cfg "
                    "then is for. 0 takes cfg for all. Costs a third evaluation a step; needs guidance.",
                ),
            ],
            outputs=[io.Latent.Output(tooltip="The sound's latent, for AudioX VAE Decode or VAE Decode Audio.")],
        )

    @classmethod
    def execute(
        cls,
        model,
        positive,
        latent,
        seed,
        negative=None,
        steps=0,
        cfg=0.0,
        sampler="auto",
        denoise=1.0,
        cfg_rescale=0.0,
        video_cfg=0.0,
    ) -> io.NodeOutput:
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
        samples, mask = whole(latent)
        indices = latent.get("batch_index", range(samples.shape[0]))
        sigmas = objective.sigmas(settings.steps, denoise)
        noise = sampling.SeededNoise([(seed + i) % 2**64 for i in indices])
        guider = guider_for(model, positive, negative, settings, objective, loop=latent.get(LOOP, False))
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
        out = out[..., : latent["samples"].shape[-1]].to(comfy.model_management.intermediate_device())
        return io.NodeOutput({**latent, "samples": out, TOOK: time.perf_counter() - started})


def check_latent(latent: dict) -> None:
    """AudioXError for a latent that cannot be sampled."""
    samples, mask = latent["samples"], latent.get("noise_mask")
    if 0 in samples.shape:
        raise AudioXError(f"The latent is empty, its shape is {list(samples.shape)}: use Empty AudioX Latent.")
    if not torch.isfinite(samples).all():
        raise AudioXError("The latent holds values that are not finite (NaN or infinite): remake it.")
    if mask is not None and mask.ndim != 3:
        raise AudioXError(
            f"The latent's noise mask has the shape {list(mask.shape)}, which is a picture's: mark a range of a sound "
            "with AudioX Mask Time Range, not with Set Latent Noise Mask."
        )


def whole(latent: dict) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Samples and noise mask, padded to whole windows; a loop stays as it is."""
    samples, mask = latent["samples"], latent.get("noise_mask")
    if mask is not None:
        mask = F.interpolate(mask.float(), samples.shape[-1])
    return (samples, mask) if latent.get(LOOP) or samples.ndim != 3 else pad_to_windows(samples, mask)


class SeparateScalesGuider(comfy.samplers.CFGGuider):
    """Guidance with a separate scale for video and audio; see `sampling.with_separate_scales`."""

    def __init__(self, model, video_scale: float) -> None:
        super().__init__(model)
        self.video_scale = video_scale

    def predict_noise(self, x, timestep, model_options=None, seed=None):
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
    model, positive: list, negative: list | None, settings: RunSettings, objective: Objective, *, loop: bool
) -> comfy.samplers.CFGGuider:
    """ComfyUI's guidance for a run."""
    if settings.cfg == 1 and negative is not None:
        logging.warning("AudioX Sample leaves the negative prompt out: it counts only with guidance (cfg above 1).")
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
    if settings.scales_separately:
        guider = SeparateScalesGuider(model, settings.video_cfg)
    else:
        guider = comfy.samplers.CFGGuider(model)
    guider.set_cfg(settings.cfg)
    guider.inner_set_conds(conds)
    return guider


def without_words(conditioning: list) -> list:
    """The same prompts without their text."""
    return [[torch.zeros_like(tokens), values] for tokens, values in conditioning]


def zeroed(conditioning: list) -> list:
    """The unconditional prompt, as ConditioningZeroOut makes it."""
    return [[torch.zeros_like(tokens), {PRESENT: torch.zeros(1, 1)}] for tokens, _ in conditioning]


def rescaled(objective: Objective, share: float):
    """Guidance with its deviation kept, as ComfyUI lets a model replace its guidance.

    ComfyUI guides estimates; what is rescaled is their part that comes from the network.
    """

    def guide(args: dict) -> torch.Tensor:
        x, sigma = args["input"], args["sigma"].flatten()[0].item()
        known = objective.skip_scale(sigma) * x
        towards, away = args["cond_denoised"] - known, args["uncond_denoised"] - known
        guided = away + args["cond_scale"] * (towards - away)
        return x - (known + sampling.rescale_guidance(guided, towards, share))

    return guide


def comfy_sampler(sampler: sampling.Sampler, noise: sampling.Noise):
    """A core sampler under the call that ComfyUI's KSAMPLER makes."""

    def run(model, x, sigmas, extra_args=None, callback=None, disable=None):
        extra_args = extra_args or {}

        def denoise(x, sigma):
            return model(x, x.new_full((x.shape[0],), sigma), **extra_args)

        def report(step, steps, denoised):
            if callback is not None:
                callback({"i": step, "denoised": denoised, "x": denoised, "sigma": sigmas[step]})

        return sampler(denoise, x, sigmas.tolist(), noise, report)

    return run
