"""A plan carried out: every component on the device in its stage, and where the plan wants it afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from ..errors import AudioXError
from ..release.components import NETWORK
from .plan import BlockStreaming, MemoryPlan

if TYPE_CHECKING:
    from ..models.network import AudioXNetwork
    from .streaming import StreamedNetwork


class Placement:
    """Moves the components of one model to a device and away from it.

    Without a plan a component is there during its stage alone, unless it is `resident`.
    """

    def __init__(self, plan: MemoryPlan | None, device: torch.device, resident: frozenset[str] = frozenset()) -> None:
        self.plan, self.device = plan, device
        self.resident = resident if plan is None else plan.resident
        self._streamed: StreamedNetwork | None = None

    @contextlib.contextmanager
    def on_device(self, name: str, module: nn.Module) -> Iterator[None]:
        """A component on the device inside the block, and afterwards where the plan wants it, also on an error."""
        if self.plan is not None and name == NETWORK and self.plan.streaming.prompt_layers:
            with self.streamed(cast("AudioXNetwork", module), self.plan.streaming):
                yield
            return
        try:
            module.to(self.device)
            yield
        finally:
            if name not in self.resident:
                module.to("cpu")

    def streamed(self, network: AudioXNetwork, streaming: BlockStreaming) -> StreamedNetwork:
        """The network in its streaming form, built once."""
        try:
            from .streaming import StreamedNetwork
        except ImportError as error:
            raise AudioXError("Streaming blocks from RAM needs accelerate: pip install accelerate.") from error
        if self._streamed is None or self._streamed.network is not network:
            self._streamed = StreamedNetwork(network, streaming.streamed, self.device, streaming.pinned)
        return self._streamed

    def drops(self, name: str) -> bool:
        """Whether to forget a component after its stage."""
        if self.plan is None or name not in self.plan.dropped:
            return False
        if name == NETWORK:
            self._streamed = None
        return True
