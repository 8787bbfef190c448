"""What both sides are given: weights that follow from their released names, and inputs that follow from seeds."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from audiox_core.checkpoint.convert import convert
from audiox_core.models.conditioners import FrameAudioSizes, VideoSizes
from audiox_core.models.dit import DiTSizes
from audiox_core.models.network import NetworkSizes
from devtools import seeded_weights
from devtools import small_model as small
from devtools.remap import remap

from .runner import Options

CLIP_SECONDS = 10
CLIP_RATE = 25
"""Frames a second of the test clip: upstream's stride sampling is exact at it, so that both sides pick the same."""

CLIP_SIZE = (1280, 720)

GUIDANCE = 7.0

DIT_TOKENS = NetworkSizes(DiTSizes(), None, VideoSizes(sync_rows=0), FrameAudioSizes()).context_tokens
"""Tokens of a prompt of the first AudioX."""


def sizes(depth: int) -> small.ModelSizes:
    """The released model's sizes with another number of transformer layers."""
    return replace(small.RELEASED, depth=depth)


def fill_official(module: nn.Module, prefix: str) -> nn.Module:
    """Write the weights into an official module whose released names start with a prefix."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not name.endswith(("position_ids", "inv_freq")):  # numbers that are no weights
                tensor.copy_(torch.from_numpy(seeded_weights.tensor(prefix + name, tensor.shape)))
    return module.eval().requires_grad_(False)


def native(
    options: Options,
    shapes: small.Shapes,
    part: str,
    prefix: str = "",
    dtype: torch.dtype | None = None,
    dit: bool | None = None,
) -> dict[str, Tensor]:
    """The same weights as native tensors of one part below a prefix; never two copies of all of them in memory.

    dit: as `remap` takes it.
    """
    made = {}
    for names in _together(shapes):
        weights = small.weights({name: shapes[name] for name in names})
        for name, tensor in remap(weights, dit).get(part, {}).items():
            made[name.removeprefix(prefix)] = tensor.to(options.device, dtype)
    return made


def _together(shapes: small.Shapes) -> Iterator[tuple[str, ...]]:
    """Names that become one native tensor: gain and direction of a weight norm, or one name alone."""
    for name in shapes:
        if name.endswith("weight_g"):
            yield name, name[:-1] + "v"
        elif not name.endswith("weight_v"):
            yield (name,)


def numbers(options: Options, name: str, *shape: int, scale: float = 1.0) -> Tensor:
    """Normal numbers that belong to a name, on the device."""
    return torch.from_numpy(seeded_weights.noise(name, 0, shape, scale)).to(options.device)


def frames(options: Options, count: int) -> Tensor:
    """A uint8 clip (count, 3, 224, 224), on the device."""
    return torch.from_numpy(seeded_weights.frames("benchmark", 0, count)).to(options.device)


def write_clip(path: Path) -> None:
    """A 10 s video, H.264 in mp4, with moving and noisy parts so that the decoder has work."""
    import av

    width, height = CLIP_SIZE
    grain = np.random.default_rng(0).integers(0, 64, (height, 2 * width, 3), dtype=np.uint8)
    ramp = np.linspace(0, 190, 2 * width, dtype=np.uint8)[None, :, None]
    scene = grain + ramp
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=CLIP_RATE, options={"preset": "veryfast", "crf": "26"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(CLIP_SECONDS * CLIP_RATE):
            shift = 4 * number
            picture = np.ascontiguousarray(scene[:, shift : shift + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_release(folder: Path, depth: int) -> None:
    """A folder like the released one: the model file and vae.ckpt, as torch.save writes them."""
    model = folder / "audiox_turbo" / "audiox_turbo.ckpt"
    vae = folder / "pretransform" / "vae.ckpt"
    for path in (model, vae):
        path.parent.mkdir(parents=True, exist_ok=True)
    shapes = small.vae_shapes(sizes(depth))
    torch.save({"state_dict": small.weights(shapes)}, vae)
    torch.save(small.weights(small.model_shapes(sizes(depth))), model)


def write_files(kind: str, folder: str, depth: int) -> None:
    """What a stage reads from the disk: "clip", or "release" with the same weights converted beside it."""
    root = Path(folder)
    if kind == "clip":
        write_clip(root / "clip.mp4")
    else:
        write_release(root, depth)
        convert(root, root / "converted.safetensors", variant="turbo")


def forget(*paths: Path) -> None:
    """Ask the system to drop what it cached of files, so that the next read comes from the disk."""
    for path in paths:
        with contextlib.suppress(AttributeError, FileNotFoundError), path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def touch(module: nn.Module) -> float:
    """Read one number of every page of the weights, so that a mapped file counts as loaded only when it is."""
    return sum(float(tensor.flatten()[::512].sum()) for tensor in module.state_dict().values() if tensor.numel())
