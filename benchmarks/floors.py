"""What a stage cannot take less than: its arithmetic at the rate this machine multiplies matrices at, or its bytes at
the rate it reads them.

Arithmetic is counted on models without memory (the meta device), of the sizes that the stage is timed with, at the
least that the formulas need: modulation once a run, no margins around tiles.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from audiox_core.check.floors import Work, bandwidth, counted, fastest, matrix_rate, weights
from audiox_core.checkpoint import open_checkpoint
from audiox_core.memory import Dtypes, ModelFootprint
from audiox_core.models.conditioners import VideoConditioner, VideoSizes
from audiox_core.models.dit import DiT, DiTSizes
from audiox_core.models.encoders import ClipSizes, transformers_module
from audiox_core.models.mmdit import MMDiT, MMDiTSizes
from audiox_core.models.synchformer import Synchformer, SynchformerSizes
from audiox_core.models.vae import OobleckVAE, VAESizes

from . import inputs
from .runner import Options

META = {"device": "meta"}


@dataclass(frozen=True)
class Rates:
    """What a machine does in a second: operations of matrix products in float32 and bfloat16, bytes read."""

    float32: float
    bfloat16: float
    memory: float

    def __str__(self) -> str:
        return (
            f"This machine: {self.float32 / 1e9:.0f} GFLOP/s in float32, {self.bfloat16 / 1e9:.0f} in bfloat16, "
            f"{self.memory / 1e9:.0f} GB/s read from memory"
        )


def rates(options: Options) -> Rates:
    """Measured on the device of the benchmark."""
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    return Rates(matrix_rate(device, torch.float32), matrix_rate(device, torch.bfloat16), bandwidth(device))


def floor(stage: str, options: Options, rates: Rates) -> dict[str, float]:
    """Seconds that a stage takes at least, by the label of our side; empty where nothing tells."""
    folder, both = Path(options.folder), ("ours float32", "ours bfloat16")
    if stage == "video_reading":
        return {"ours float32": decoding_seconds(folder / "clip.mp4")}
    if stage in ("load", "load_converted"):
        file = folder / ("converted.safetensors" if stage == "load_converted" else "audiox_turbo/audiox_turbo.ckpt")
        model = ModelFootprint.of(open_checkpoint(file if file.suffix == ".safetensors" else folder, variant="turbo"))
        needed = sum(model.weights(part, Dtypes()) for part in ("network", "vae", "clip_vision"))
        return dict.fromkeys(both, needed / disk_rate(file))
    if stage not in WORK:
        return {}
    work = WORK[stage](options)
    speeds = zip(both, (rates.float32, rates.bfloat16), (4, 2), strict=True)
    return {label: work.seconds(rate, rates.memory, size) for label, rate, size in speeds}


def disk_rate(path: Path) -> float:
    """Bytes a second of a file that the system has not cached, read in order."""
    inputs.forget(path)
    start, buffer = time.perf_counter(), bytearray(2**24)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return path.stat().st_size / (time.perf_counter() - start)


def decoding_seconds(path: Path) -> float:
    """Seconds that FFmpeg takes to decode a video, with its threads, when nothing is done with the pictures."""
    import av

    def decode() -> None:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for _ in container.decode(video=0):
                pass

    return fastest(decode, torch.device("cpu"), 3)


def frozen(model: nn.Module) -> nn.Module:
    return model.eval().requires_grad_(False)


def evaluation(options: Options) -> Work:
    model = frozen(MMDiT(MMDiTSizes(depth=options.depth), **META))
    prepared = torch.empty(1, options.depth, 6, model.sizes.positions, model.sizes.width, **META)
    x, t = torch.empty(1, 64, 236, **META), torch.empty(1, **META)
    unused = weights(*(layer.modulation for layer in model.layers))
    return Work(counted(lambda: model(x, t, prepared)), weights(model) - unused + prepared.numel())


def sampling(options: Options) -> Work:
    model, step = frozen(MMDiT(MMDiTSizes(depth=options.depth), **META)), evaluation(options)
    once = counted(lambda: model.prepare(torch.empty(1, 384, 768, **META)))
    return Work(once + 4 * step.operations, weights(model) + 4 * step.weights)


def dit_evaluation(options: Options) -> Work:
    model = frozen(DiT(DiTSizes(depth=options.depth), **META))
    prepared = model.prepare(torch.empty(2, inputs.DIT_TOKENS, 768, **META))
    x, t = torch.empty(2, 64, 236, **META), torch.empty(2, **META)
    return Work(counted(lambda: model(x, t, prepared)), weights(model))


def _autoencoder() -> OobleckVAE:
    model = frozen(OobleckVAE(VAESizes(), **META))
    model.set_tile_size(2**40)  # one tile: no margins
    return model


def vae_decode(options: Options) -> Work:
    model = _autoencoder()
    return Work(counted(lambda: model.decode(torch.empty(1, 64, 236, **META))), weights(model.decoder))


def vae_encode(options: Options) -> Work:
    model = _autoencoder()
    return Work(counted(lambda: model.encode_raw(torch.empty(1, 2, 441000, **META))), weights(model.encoder))


def video_conditioner(options: Options) -> Work:
    sizes, transformers = ClipSizes(), transformers_module()
    with torch.device("meta"):
        tower = frozen(transformers.CLIPVisionModel(transformers.CLIPVisionConfig(num_hidden_layers=sizes.depth)))
        conditioner = frozen(VideoConditioner(VideoSizes()))
        pictures, features = torch.empty(50, 3, 224, 224), torch.empty(1, 240, 768)
        tokens = torch.empty(1, 50 * sizes.tokens_per_frame, sizes.width)
    operations = counted(lambda: tower(pixel_values=pictures)) + counted(lambda: conditioner(tokens, features))
    return Work(operations, weights(tower, conditioner))


def synchformer(options: Options) -> Work:
    model = frozen(Synchformer(SynchformerSizes(), **META))
    clip = torch.empty(options.segments, 16, 3, 224, 224, **META)
    return Work(counted(lambda: model(clip)), options.segments * weights(model))


def next_sound(options: Options) -> Work:
    parts = [sampling(replace(options, depth=options.load_depth)), vae_decode(options)]
    return Work(sum(part.operations for part in parts), sum(part.weights for part in parts))


WORK = {
    "evaluation": evaluation,
    "sampling": sampling,
    "dit_evaluation": dit_evaluation,
    "vae_decode": vae_decode,
    "vae_encode": vae_encode,
    "video_conditioner": video_conditioner,
    "synchformer": synchformer,
    "next_sound": next_sound,
}
"""Stage -> what it has to do; the others read a file or a video, see `disk_rate` and `decoding_seconds`."""
