"""What is done to guided network outputs."""

from __future__ import annotations

from torch import Tensor


def rescale_guidance(guided: Tensor, conditioned: Tensor, phi: float) -> Tensor:
    """Pull the guided velocity's deviation over channels towards the conditioned one's, by the share phi.

    Lin et al., Common Diffusion Noise Schedules and Sample Steps are Flawed (arXiv 2305.08891), section 3.4.
    """
    ratio = conditioned.std(dim=1, keepdim=True) / guided.std(dim=1, keepdim=True)
    return phi * guided * ratio + (1 - phi) * guided
