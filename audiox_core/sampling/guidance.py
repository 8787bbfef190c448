"""How the network's outputs for a prompt and for less than it make one."""

from __future__ import annotations

from torch import Tensor


def guide(towards: Tensor, away: Tensor, scale: float, rescale: float = 0.0) -> Tensor:
    """Classifier-free guidance: past the prompt's output, seen from the one to steer away from (arXiv 2207.12598).

    rescale: see `rescale_guidance`.
    """
    out = away + scale * (towards - away)
    return rescale_guidance(out, towards, rescale) if rescale else out


def away_from(without_text: Tensor, away: Tensor, scale: float, video_scale: float) -> Tensor:
    """What `guide` has to steer away from for video and audio to count with a scale of their own.

    With it `guide` gives away + video_scale (without_text - away) + scale (towards - without_text), guidance by two
    conditions as in InstructPix2Pix (arXiv 2211.09800), section 3.2.1. without_text: the output for the prompt
    without its text. scale is not 1.
    """
    return ((1 - video_scale) * away + (video_scale - scale) * without_text) / (1 - scale)


def rescale_guidance(guided: Tensor, conditioned: Tensor, phi: float) -> Tensor:
    """Pull the guided velocity's deviation over channels towards the conditioned one's, by the share phi.

    Lin et al., Common Diffusion Noise Schedules and Sample Steps are Flawed (arXiv 2305.08891), section 3.4.
    """
    ratio = conditioned.std(dim=1, keepdim=True) / guided.std(dim=1, keepdim=True)
    return phi * guided * ratio + (1 - phi) * guided
