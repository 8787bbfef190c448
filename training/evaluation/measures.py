"""Numbers from what was heard: shares that are right, what chance would give, and distances between sounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audiox_core.measure.spectra import mel_levels
from training.evaluation import judge
from training.evaluation.judge import Heard
from training.world.scenes import WORDS, Scene

MEL_BANDS, MEL_COLUMNS = 32, 100
SPECTRA = (2048, 512, 128)
"""Window lengths in samples of the multi-resolution STFT distance."""


@dataclass(frozen=True)
class Answer:
    """What a model made of a prompt. levels: mean mel spectrum in dB (MEL_BANDS,)."""

    heard: Heard
    levels: np.ndarray


def answer(sound: np.ndarray, count: int = 1) -> Answer:
    """Listen to a sound (2, samples) for one kind or two."""
    levels = np.maximum(mel_levels(sound, MEL_COLUMNS, MEL_BANDS), -80).mean(axis=1)
    return Answer(judge.hear(sound, count), levels)


def share(values: Sequence[bool]) -> float | None:
    """How many of them are true, 0..1; None of none."""
    return sum(values) / len(values) if values else None


def accuracy(scenes: Sequence[Scene], heard: Sequence[Heard]) -> dict:
    """Shares of prompts that are right: of all, of single sounds, of pairs, of each kind, and by chance."""
    right = [judge.is_right(scene, each) for scene, each in zip(scenes, heard, strict=True)]

    def where(test: Callable[[Scene], bool]) -> float | None:
        return share([r for scene, r in zip(scenes, right, strict=True) if test(scene)])

    sides = [h.side == s.side for s, h in zip(scenes, heard, strict=True) if s.side != "centre"]
    mistakes = [(s, h) for s, h, r in zip(scenes, heard, right, strict=True) if not r]
    return {
        "prompt_accuracy": share(right),
        "single_accuracy": where(lambda scene: len(scene.kinds) == 1),
        "pair_accuracy": where(lambda scene: len(scene.kinds) == 2),
        "side_accuracy": share(sides),
        "by_kind": {kind: where(lambda scene, kind=kind: scene.kinds == (kind,)) for kind in WORDS},
        "chance": chance(scenes, heard),
        "mistakes": [{"prompt": scene.caption, "heard": each.words} for scene, each in mistakes],
    }


def chance(scenes: Sequence[Scene], heard: Sequence[Heard]) -> float | None:
    """Share that would be right if each sound had been made for another prompt of as many kinds: all such pairs."""
    return share(
        [
            judge.is_right(scene, each)
            for i, scene in enumerate(scenes)
            for j, each in enumerate(heard)
            if i != j and len(each.kinds) == len(scene.kinds)
        ]
    )


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """Frechet distance of the Gaussians fitted to two sets of features (N, F): in the features' unit squared."""
    means = first.mean(axis=0) - second.mean(axis=0)
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = symmetric_root(one)
    common = np.sqrt(np.clip(np.linalg.eigvalsh(root @ two @ root), 0, None)).sum()
    return float(means @ means + np.trace(one) + np.trace(two) - 2 * common)


def symmetric_root(matrix: np.ndarray) -> np.ndarray:
    """The square root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def levels_of(answers: Sequence[Answer]) -> np.ndarray:
    """Features (N, MEL_BANDS) of answers."""
    return np.stack([each.levels for each in answers])


def latent_likeness(first: Tensor, second: Tensor) -> dict[str, float]:
    """How alike latents (N, C, L) at equal prompts and seeds are, and how alike at different ones."""
    one, two = (torch.nn.functional.normalize(x.flatten(1), dim=1) for x in (first, second))
    cosines = one @ two.T  # (N, N)
    same = torch.eye(len(cosines), dtype=torch.bool)
    distance = (first - second).flatten(1).norm(dim=1) / first.flatten(1).norm(dim=1)
    return {
        "latent_cosine": float(cosines[same].mean()),
        "latent_cosine_of_different_prompts": float(cosines[~same].mean()),
        "latent_relative_distance": float(distance.mean()),
    }


def stft_distance(sound: np.ndarray, other: np.ndarray) -> float:
    """Multi-resolution STFT distance of sounds (2, samples): spectral convergence plus mean log distance, averaged."""
    terms = []
    for size in SPECTRA:
        a, b = (magnitudes(x, size) for x in (sound, other))
        converged = (a - b).norm() / a.norm().clamp(min=1e-6)
        terms.append(float(converged + (a.clamp(min=1e-3).log() - b.clamp(min=1e-3).log()).abs().mean()))
    return float(np.mean(terms))


def magnitudes(sound: np.ndarray, size: int) -> Tensor:
    window = torch.hann_window(size)
    return torch.stft(torch.from_numpy(sound), size, size // 4, window=window, return_complex=True).abs()


def signal_to_noise(sound: np.ndarray, other: np.ndarray) -> float:
    """Power of a sound over that of its difference to another, in dB."""
    noise = np.square(sound - other, dtype=np.float64).sum()
    return float(10 * np.log10(np.square(sound, dtype=np.float64).sum() / max(noise, 1e-12)))
