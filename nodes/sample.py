"""Empty latent and sampling."""

from __future__ import annotations

import logging

import comfy.model_management
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from comfy_api.latest import io

from ..audiox_core import sampling
from ..audiox_core.errors import AudioXError
from ..audiox_core.lengths import CLIP_SECONDS, SAMPLES_PER_LATENT
from ..audiox_core.model.mmdit import MMDiTSizes
from ..audiox_core.presets import OBJECTIVES, PRESETS, REFERENCE, SAMPLERS, Objective, run_settings
from .comfy_network import PRESENT, AudioXModel

SECONDS = "audiox_seconds"
"""Key of a LATENT that tells VAE Decode how long the sound shall be."""


class EmptyLatent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXEmptyLatent",
            display_name="Empty AudioX Latent",
            category="audio/AudioX",
            description="An empty latent of the one length that AudioX-Turbo and its teacher make: 10 s of sound.",
            search_aliases=["empty latent audio", "audiox"],
            inputs=[
                io.Float.Input(
                    "seconds",
                    optional=True,
                    default=CLIP_SECONDS,
                    min=0.1,
                    max=CLIP_SECONDS,
                    step=0.01,
                    tooltip="Length of the sound. The model always makes 10 s; AudioX VAE Decode trims to this.",
                ),
                io.Int.Input(
                    "batch_size",
                    optional=True,
                    default=1,
                    min=1,
                    max=64,
                    tooltip="Sounds made at once; AudioX Sample gives item i the seed plus i.",
                ),
            ],
            outputs=[io.Latent.Output(tooltip="For AudioX Sample, KSampler or SamplerCustom.")],
        )

    @classmethod
    def execute(cls, seconds=CLIP_SECONDS, batch_size=1) -> io.NodeOutput:
        sizes = MMDiTSizes()
        samples = torch.zeros(
            batch_size,
            sizes.latent_channels,
            sizes.latent_length,
            device=comfy.model_management.intermediate_device(),
        )
        return io.NodeOutput(
            {"samples": samples, "type": "audio", "downscale_ratio_temporal": SAMPLES_PER_LATENT, SECONDS: seconds}
        )


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
    ) -> io.NodeOutput:
        if not isinstance(model.model, AudioXModel):
            raise AudioXError(
                f"The model is a {type(model.model).__name__}, not AudioX: connect the MODEL of Load AudioX, or use "
                "KSampler for this model."
            )
        variant = model.model.audiox_variant
        objective = OBJECTIVES[variant]
        settings = run_settings(
            variant, steps=steps, cfg=cfg, sampler=sampler, rescale=cfg_rescale, guidance=model.model.audiox_guidance
        )
        samples = latent["samples"]
        if 0 in samples.shape:
            raise AudioXError(f"The latent is empty, its shape is {list(samples.shape)}: use Empty AudioX Latent.")
        if not torch.isfinite(samples).all():
            raise AudioXError("The latent holds values that are not finite (NaN or infinite): remake it.")
        indices = latent.get("batch_index", range(samples.shape[0]))
        sigmas = objective.sigmas(settings.steps, denoise)
        noise = sampling.SeededNoise([(seed + i) % 2**64 for i in indices])
        if settings.rescale and settings.cfg != 1:
            model = model.clone()
            model.set_model_sampler_cfg_function(rescaled(objective, settings.rescale))
        guider = comfy.samplers.CFGGuider(model)
        guider.set_cfg(settings.cfg)
        conds = {"positive": positive}
        if settings.cfg == 1 and negative is not None:
            logging.warning("AudioX Sample leaves the negative prompt out: it counts only with guidance (cfg above 1).")
        if settings.cfg != 1:  # without guidance the negative prompt is not even fused
            conds["negative"] = zeroed(positive) if negative is None else negative
        guider.inner_set_conds(conds)
        out = guider.sample(
            noise(samples),
            samples,
            comfy.samplers.KSAMPLER(
                comfy_sampler(objective.samplers[settings.sampler], objective.step_noise(noise, sigmas))
            ),
            torch.tensor(sigmas),
            denoise_mask=latent.get("noise_mask"),
            callback=latent_preview.prepare_callback(model, settings.steps),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=seed,
        )
        out = out.to(comfy.model_management.intermediate_device())
        return io.NodeOutput({**latent, "samples": out})


def zeroed(conditioning: list) -> list:
    """The unconditional prompt, as ConditioningZeroOut makes it."""
    return [[torch.zeros_like(tokens), {PRESENT: torch.zeros(1, 1)}] for tokens, _ in conditioning]


def rescaled(objective: Objective, share: float):
    """Guidance with its deviation kept, as ComfyUI lets a model replace its guidance.

    ComfyUI guides estimates; what is rescaled is their part that comes from the network.
    """

    def guide(args: dict) -> torch.Tensor:
        x, sigma = args["input"], args["sigma"].flatten()[0].item()
        known = objective.skip(sigma) * x
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
