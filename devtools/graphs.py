"""Short prompts for tests that run a real ComfyUI, and readers of what it saved."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import torch
from safetensors.torch import load_file

from devtools.paths import ROOT

TURBO = "AudioX-Turbo/audiox_turbo/audiox_turbo.ckpt"
BASE = "AudioX-Turbo/pretrained_ckpt/pretrained_ckpt.ckpt"


def shipped(name: str) -> dict:
    """A shipped API prompt."""
    return json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text("utf-8"))


def node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": inputs}


def load(checkpoint: str = TURBO, **inputs) -> dict:
    defaults = {"variant": "auto", "weight_dtype": "fp32", "text_encoder": "from checkpoint"}
    return node("AudioXLoad", checkpoint=checkpoint, **{**defaults, **inputs})


def text_to_latent(checkpoint: str = TURBO, *, seed: int = 0, batch: int = 1, text: str = "rain", **sample) -> dict:
    """Load, encode a text, sample, save the latent: nodes load, text, latent, sample, save."""
    dtype = {"weight_dtype": sample.pop("weight_dtype", "fp32")}
    settings = {"steps": 4, "cfg": 0.0, "sampler": "auto", "denoise": 1.0, **sample}
    return {
        "load": load(checkpoint, **dtype),
        "text": node("AudioXEncodeText", clip=["load", 2], text=text),
        "latent": node("AudioXEmptyLatent", seconds=10.0, batch_size=batch),
        "sample": node(
            "AudioXSample", model=["load", 0], positive=["text", 0], latent=["latent", 0], seed=seed, **settings
        ),
        "save": node("SaveLatent", samples=["sample", 0], filename_prefix="latents/test"),
    }


def ids_of(prompt: dict, class_type: str) -> list[str]:
    return [key for key, item in prompt.items() if item["class_type"] == class_type]


def latent(server, run, key: str = "save") -> torch.Tensor:
    """The latent that SaveLatent wrote."""
    return load_file(server.output_path(run["outputs"][key]["latents"][0]))["latent_tensor"]


def run_latent(server, prompt: dict, key: str = "save") -> torch.Tensor:
    return latent(server, server.run(prompt), key)


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """(channels, samples) in -1..1 and the rate of the first sound stream of a file."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        blocks = []
        for frame in container.decode(stream):
            data = frame.to_ndarray()
            if not frame.format.is_planar:
                data = data.reshape(-1, frame.layout.nb_channels).T
            scale = {"s16": 2**15, "s32": 2**31}.get(frame.format.packed.name, 1)
            blocks.append(data.astype(np.float64) / scale)
        return np.concatenate(blocks, axis=1), stream.rate


def video_packets(path: Path) -> list[bytes]:
    """The compressed pictures of a file, in storage order."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]
