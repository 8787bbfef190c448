"""Classifier-free guidance: combining the outputs for the full prompt, for part of it and for the negative prompt."""

from __future__ import annotations

from torch import Tensor


def guide(positive: Tensor, negative: Tensor, scale: float, rescale: float = 0.0) -> Tensor:
    """Classifier-free guidance (arXiv 2207.12598): away from the negative prompt's output, past the positive one's.

    rescale: see `rescale_guidance`.
    """
    out = negative + scale * (positive - negative)
    return rescale_guidance(out, positive, rescale) if rescale else out


def with_separate_scales(without_text: Tensor, negative: Tensor, scale: float, video_scale: float) -> Tensor:
    """The negative output that gives video and audio a guidance scale of their own when passed to `guide`.

    `guide` then returns negative + video_scale (without_text - negative) + scale (positive - without_text), guidance
    by two conditions as in InstructPix2Pix (arXiv 2211.09800), section 3.2.1. without_text: the output for the prompt
    without its text. scale must not be 1.
    """
    return ((1 - video_scale) * negative + (video_scale - scale) * without_text) / (1 - scale)


def rescale_guidance(guided: Tensor, positive: Tensor, phi: float) -> Tensor:
    """Pull the guided output's standard deviation over channels towards the positive one's, by the share phi.

    Lin et al., Common Diffusion Noise Schedules and Sample Steps are Flawed (arXiv 2305.08891), section 3.4.
    """
    ratio = positive.std(dim=1, keepdim=True) / guided.std(dim=1, keepdim=True)
    return phi * guided * ratio + (1 - phi) * guided
