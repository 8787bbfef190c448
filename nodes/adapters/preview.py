"""The live preview of an audio latent, in every sampler that shows previews."""

from __future__ import annotations

from typing import ClassVar

import comfy.latent_formats

from ...audiox_core.media.latent_picture import latent_picture


class PreviewedLatent(comfy.latent_formats.StableAudio1):
    """AudioX's latent format, with a picture.

    For the preview method latent2rgb ComfyUI reshapes a latent as the format says and multiplies its channels by colour
    factors. Our reshape already gives the picture, so the factors are the identity.
    """

    latent_rgb_factors: ClassVar = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    latent_rgb_factors_reshape = staticmethod(latent_picture)
