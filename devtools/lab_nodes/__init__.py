"""Nodes for the tests alone: values that no real node gives."""

import comfy.model_management
import comfy.model_patcher
import comfy.samplers
import torch
from comfy.k_diffusion.sampling import sample_lcm
from torch.nn import Linear


class LabAudio:
    """AUDIO of any shape, or none."""

    CATEGORY, FUNCTION, RETURN_TYPES = "lab", "make", ("AUDIO",)

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "kind": (["noise", "none", "nan", "constant"],),
                "channels": ("INT", {"default": 2}),
                "samples": ("INT", {"default": 44100, "max": 10_000_000}),
            },
            "optional": {
                "batch": ("INT", {"default": 1, "min": 0}),
                "rate": ("INT", {"default": 44100, "max": 192000}),
                "took": ("FLOAT", {"default": 0.0}),
            },
        }

    def make(self, kind, channels, samples, batch=1, rate=44100, took=0.0):
        if kind == "none":
            return (None,)
        noise = torch.randn(batch, channels, samples, generator=torch.Generator().manual_seed(0)) * 0.1
        if kind == "constant":
            noise[:] = 1.0
        if kind == "nan":
            noise[..., samples // 2] = float("nan")
        known = {"audiox_took": took} if took else {}
        return ({"waveform": noise, "sample_rate": rate, **known},)


class LabLatent:
    """A latent of any shape, filled with one value."""

    CATEGORY, FUNCTION, RETURN_TYPES = "lab", "make", ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "value": (["0", "nan"],),
                "batch": ("INT", {"default": 1, "min": 0}),
                "channels": ("INT", {"default": 64}),
                "length": ("INT", {"default": 236, "min": 0}),
            }
        }

    def make(self, value, batch, channels, length):
        return ({"samples": torch.full((batch, channels, length), float(value)), "type": "audio"},)


class LabModel:
    """A MODEL of another family."""

    CATEGORY, FUNCTION, RETURN_TYPES = "lab", "make", ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def make(self):
        cpu = torch.device("cpu")
        return (comfy.model_patcher.ModelPatcher(Linear(1, 1), cpu, cpu),)


class LabNoneClip:
    """What Load AudioX gives when it finds no text encoder and no video encoder."""

    CATEGORY, FUNCTION, RETURN_TYPES = "lab", "make", ("CLIP", "AUDIOX_VIDEO_ENCODER")

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def make(self):
        return (None, None)


class LabLCM:
    """KSampler's lcm with noise from one CPU generator, of which the start noise is the first draw."""

    CATEGORY, FUNCTION, RETURN_TYPES = "lab", "make", ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"seed": ("INT", {"default": 0})}}

    def make(self, seed):
        def run(model, x, sigmas, **options):
            generator = torch.Generator().manual_seed(seed)
            torch.randn(x.shape, generator=generator)
            return sample_lcm(
                model, x, sigmas, noise_sampler=lambda *_: torch.randn(x.shape, generator=generator), **options
            )

        return (comfy.samplers.KSAMPLER(run),)


class LabLoadedModels:
    """How many models ComfyUI keeps loaded, as the length of a latent that SaveLatent writes."""

    CATEGORY, FUNCTION, RETURN_TYPES = "lab", "make", ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    @classmethod
    def IS_CHANGED(cls):
        return float("nan")

    def make(self):
        return ({"samples": torch.zeros(1, 1, len(comfy.model_management.current_loaded_models))},)


class LabName:
    """A name for a combo, as packs have nodes that choose a file."""

    CATEGORY, FUNCTION, RETURN_TYPES = "lab", "make", ("COMBO",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"name": ("STRING", {"default": ""})}}

    def make(self, name):
        return (name,)


NODES = (LabAudio, LabLatent, LabModel, LabNoneClip, LabLCM, LabLoadedModels, LabName)
NODE_CLASS_MAPPINGS = {cls.__name__: cls for cls in NODES}
