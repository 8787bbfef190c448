"""The live preview of a sound's latent, for every sampler that ComfyUI shows previews of."""

from __future__ import annotations

from typing import ClassVar

import comfy.latent_formats

from ...audiox_core.media.latent_picture import latent_picture


class PreviewedLatent(comfy.latent_formats.StableAudio1):
    """AudioX's latent format, with a picture.

    ComfyUI multiplies a latent's channels with colour factors, where the user's preview method asks for it, and first
    reshapes it as the format says. Ours comes out of that as a picture, so the factors have nothing left to do.
    """

    latent_rgb_factors: ClassVar = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    latent_rgb_factors_reshape = staticmethod(latent_picture)
