"""Random numbers: CPU generators, one per batch item, so that a seed means the same on every device.

Item i of a batch draws from its own seed alone: it equals a single run with that seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

DIGITS = 6
"""Decimals of a time on the Brownian path; finer differences do not exist on it."""

POOL = 24
"""torchsde's size of a seed's entropy pool; part of what a seed means."""


class SeededNoise:
    """Noise in the order in which it is requested."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = tuple(seeds)
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, like: Tensor, *step: float) -> Tensor:
        """Fresh standard normal noise like a tensor (B, C, L), whichever step requests it."""
        shape = (1, *like.shape[1:])
        drawn = [torch.randn(shape, generator=generator) for generator in self.generators]
        return torch.cat(drawn).to(like)


class BrownianNoise:
    """Noise that belongs to a point of the schedule: the rise of a Brownian path from one sigma to another.

    The path of a seed is that of torchsde's BrownianTree (arXiv 2001.01328) with the seed as entropy, over times that
    are sigmas, which is what k-diffusion and ComfyUI draw from. It is halved again and again: the value half way is
    normal around the mean of the ends, from its own seed, until the requested times are ends.

    Hand-written: torchsde would be a whole package for these sixty lines, and it draws a batch from a single seed.
    """

    def __init__(self, seeds: Sequence[int], sigmas: Sequence[float]) -> None:
        """sigmas: the schedule; the path runs from its smallest positive value to its largest."""
        positive = [sigma for sigma in sigmas if sigma > 0]
        self.seeds = tuple(seeds)
        self.start, self.end = (round(bound(positive), DIGITS) for bound in (min, max))
        self._previous: dict[tuple[int, ...], Tensor] = {}
        self._normals: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, like: Tensor, sigma: float, following: float) -> Tensor:
        """Standard normal noise (B, C, L) for the step from sigma to the following one, in the type of a tensor."""
        early, late = sorted(round(min(max(time, self.start), self.end), DIGITS) for time in (sigma, following))
        # Neighbouring steps meet at a time, so half of what one step draws serves the next.
        self._previous = self._normals
        self._normals = {}
        whole = self._normal((), like.shape[1:]) * math.sqrt(self.end - self.start)
        rise = self._rise((self.start, self.end), (0, 0), whole, early, late)
        sign = 1 if following > sigma else -1
        return (rise * sign / math.sqrt(abs(following - sigma))).to(like)

    def _rise(
        self, span: tuple[float, float], node: tuple[int, int], whole: Tensor, early: float, late: float
    ) -> Tensor:
        """Rise from early to late, as far as they lie in a span over which the path rises by `whole`."""
        start, end = span
        if early <= start and end <= late:
            return whole
        middle = round((start + end) / 2, DIGITS)
        left, right, length = middle - start, end - middle, end - start
        first = left * whole / length + math.sqrt(left * right / length) * self._normal(node, whole.shape[1:])
        key, depth = node
        out = torch.zeros_like(whole)
        if early < middle:
            out = out + self._rise((start, middle), (2 * key, depth + 1), first, early, late)
        if late > middle:
            out = out + self._rise((middle, end), (2 * key + 1, depth + 1), whole - first, early, late)
        return out

    def _normal(self, node: tuple[int, ...], shape: Sequence[int]) -> Tensor:
        """Standard normal numbers (B, ...) of a node of the tree; () is the path's end."""
        normal = self._previous.get(node)
        if normal is None:
            normal = torch.stack([torch.randn(*shape, generator=node_generator(seed, node)) for seed in self.seeds])
        self._normals[node] = normal
        return normal


def node_generator(seed: int, node: tuple[int, ...]) -> torch.Generator:
    """The generator of one node of a seed's tree, as torchsde seeds it."""
    entropy = np.random.SeedSequence(entropy=seed, spawn_key=node, pool_size=POOL)
    return torch.Generator().manual_seed(int(entropy.generate_state(1)[0]))
