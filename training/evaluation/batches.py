"""Many cases through a model, a batch at a time."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audiox_core.checkpoint import Checkpoint
from audiox_core.models.network import AudioXNetwork
from audiox_core.pipeline import AudioX, Prompt
from audiox_core.progress import Progress, no_progress
from audiox_core.sampling.presets import RunSettings
from training.evaluation.cases import FilmCase, write_film

BATCH = 16
"""Prompts that are sampled together."""

DECODE_BATCH = 2


def untrained_network(checkpoint: Checkpoint, seed: int, dtype: torch.dtype = torch.float32) -> AudioXNetwork:
    """A network of the checkpoint's sizes with weights drawn from a seed; only what it knows of silence is kept."""
    generator = torch.Generator().manual_seed(seed)
    network = AudioXNetwork(checkpoint.sizes["network"], device="meta")
    drawn = {
        name: value if "silence" in name else drawn_weight(name, value.shape, generator).to(value.dtype)
        for name, value in checkpoint.state_dict("network", dtype).items()
    }
    network.load_state_dict(drawn, assign=True)
    return network.eval().requires_grad_(False)


def drawn_weight(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Ones for the weights of norms, zeros for biases, and what keeps the variance for the rest."""
    if len(shape) < 2:
        return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
    return torch.randn(shape, generator=generator) / math.sqrt(math.prod(shape[1:]))


def text_prompts(model: AudioX, texts: Sequence[str]) -> list[Prompt]:
    """Prompts of words alone."""
    return [Prompt(text=model.encode_text(text)[0]) for text in texts]


@contextlib.contextmanager
def film_files(cases: Sequence[FilmCase]) -> Iterator[list[Path]]:
    """The films as mp4 files, as long as the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.mp4" for i in range(len(cases))]
        for path, case in zip(paths, cases, strict=True):
            write_film(path, case.film)
        yield paths


def film_prompts(model: AudioX, files: Sequence[Path], cases: Sequence[FilmCase]) -> list[Prompt]:
    """Prompts of film files with the words of their cases."""
    return [model.prompt(case.text, video=path) for path, case in zip(files, cases, strict=True)]


def sample_many(
    model: AudioX,
    prompts: Sequence[Prompt],
    settings: RunSettings,
    seeds: Sequence[int],
    *,
    negative: Prompt | None = None,
    network: AudioXNetwork | None = None,
    progress: Progress = no_progress,
) -> Tensor:
    """Latents (len(prompts), 64, 236); item i is of prompts[i] and seeds[i].

    network: another one in place of the model's own.
    """
    done = []
    progress("sample", 0, len(prompts))
    for first in range(0, len(prompts), BATCH):
        part = slice(first, first + BATCH)
        done.append(model.sample(prompts[part], settings, seeds[part], negative, network=network))
        progress("sample", first + len(prompts[part]), len(prompts))
    return torch.cat(done)


def decode_many(model: AudioX, latents: Tensor, progress: Progress = no_progress) -> Iterator[np.ndarray]:
    """Sounds float32 (2, 441000) of latents, one after the other."""
    progress("decode", 0, len(latents))
    for first in range(0, len(latents), DECODE_BATCH):
        yield from model.decode(latents[first : first + DECODE_BATCH]).numpy()
        progress("decode", min(first + DECODE_BATCH, len(latents)), len(latents))
