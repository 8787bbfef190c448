"""Where the models get their layers from: `torch.nn`, or a host that brings its own, as ComfyUI does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypedDict

import torch
from torch import nn

Device = torch.device | str | None
"""Where weights are created; None takes torch's default device."""


class FactoryKwargs(TypedDict):
    """What every layer takes beside its sizes."""

    dtype: torch.dtype | None
    device: Device


class Operations(Protocol):
    """Layer classes under the names that `torch.nn` gives them."""

    @property
    def Linear(self) -> Callable[..., nn.Linear]: ...

    @property
    def Conv1d(self) -> Callable[..., nn.Conv1d]: ...

    @property
    def Conv3d(self) -> Callable[..., nn.Conv3d]: ...

    @property
    def ConvTranspose1d(self) -> Callable[..., nn.ConvTranspose1d]: ...

    @property
    def LayerNorm(self) -> Callable[..., nn.LayerNorm]: ...

    @property
    def Embedding(self) -> Callable[..., nn.Embedding]: ...
