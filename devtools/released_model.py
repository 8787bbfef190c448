"""The released models as the planner sees them: real sizes, no weights."""

import math

from audiox_core.memory import ModelFootprint, NetworkParameters
from audiox_core.models.encoders import ClipSizes, T5Sizes
from audiox_core.models.network import RELEASED_SIZES, AudioXNetwork
from audiox_core.models.synchformer import Synchformer, SynchformerSizes
from audiox_core.models.vae import OobleckVAE, VAESizes

T5_NUMBERS, CLIP_NUMBERS = 109_628_544, 87_849_216


def shapes_of(module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def released_model(architecture: str = "mmdit") -> ModelFootprint:
    """What `Model.of` gives for a complete released checkpoint."""
    sizes = {"network": RELEASED_SIZES[architecture], "vae": VAESizes(), "synchformer": SynchformerSizes()}
    if not sizes["network"].video.sync_rows:
        del sizes["synchformer"]
    classes = {"network": AudioXNetwork, "vae": OobleckVAE, "synchformer": Synchformer}
    shapes = {part: shapes_of(classes[part](sizes[part], device="meta")) for part in sizes}
    numbers = {part: sum(map(math.prod, held.values())) for part, held in shapes.items()}
    return ModelFootprint(
        sizes | {"t5": T5Sizes(), "clip_vision": ClipSizes()},
        numbers | {"t5": T5_NUMBERS, "clip_vision": CLIP_NUMBERS},
        NetworkParameters.from_shapes(shapes["network"]),
    )
