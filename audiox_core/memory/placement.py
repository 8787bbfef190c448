"""A plan carried out: every part where it belongs in its stage, and back again after it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..errors import AudioXError
from .plan import MemoryPlan

if TYPE_CHECKING:
    from .streaming import StreamedNetwork


class Placement:
    """What keeps the parts of one model on or off a device.

    Without a plan a part is there during its stage alone, except what `stays`.
    """

    def __init__(self, plan: MemoryPlan | None, device: torch.device, stays: frozenset[str] = frozenset()) -> None:
        self.plan, self.device = plan, device
        self.stays = stays if plan is None else plan.stays
        self._streamed: StreamedNetwork | None = None

    @contextlib.contextmanager
    def on_device(self, name: str, module: nn.Module) -> Iterator[None]:
        """A part on the device inside the block, and after it where the plan wants it; also when the block fails."""
        if self.plan is not None and name == "network" and self.plan.streams_prompt:
            with self.streamed(module):
                yield
            return
        try:
            module.to(self.device)
            yield
        finally:
            if name not in self.stays:
                module.to("cpu")

    def streamed(self, network: nn.Module) -> StreamedNetwork:
        """The network's streaming form, made once."""
        try:
            from .streaming import StreamedNetwork
        except ImportError as error:
            raise AudioXError("Streaming blocks from RAM needs accelerate: pip install accelerate.") from error
        if self._streamed is None or self._streamed.network is not network:
            self._streamed = StreamedNetwork(network, self.plan.streamed_blocks, self.device, self.plan.pins)
        return self._streamed

    def goes(self, name: str) -> bool:
        """Whether a part is to be forgotten after its stage."""
        if self.plan is None or name not in self.plan.goes:
            return False
        if name == "network":
            self._streamed = None
        return True
