"""A network whose evaluations a GPU replays from one recording, a CUDA graph.

An evaluation of the released models is some 1500 small operations, and a fast GPU is done with most of them before the
next one is launched. The shapes of a run do not change, so the launches can be recorded and replayed at once: the same
kernels on the same numbers, without a compiler (https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable

import torch
from torch import Tensor

from ..memory import activations
from .network import AudioXNetwork

PATIENCE = 8
"""Evaluations alike that come before a recording. A run of 4 steps alone would not earn it back, and the first ones set
up what CUDA's libraries must not set up while something is recorded."""

LIMIT = 8
"""Recordings made of a network; where shapes change more often, a recording is not used for long enough."""

_log = logging.getLogger(__name__)


def can_record(device: torch.device, streams: bool) -> bool:
    """Whether a device has CUDA graphs and a network can be recorded there; a line says why not.

    streams: its blocks come to the device for their turn only.
    """
    if device.type != "cuda":
        _log.warning("CUDA graphs are for CUDA devices, this one is %s: the network runs without.", device)
    elif streams:
        _log.warning("Blocks of the network stream from RAM, so no CUDA graph can hold it: it runs without.")
    return device.type == "cuda" and not streams


def capture(evaluate: Callable[[], Tensor], device: torch.device) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    """A graph of what a function launches, and the tensor that each replay writes."""
    with torch.cuda.device(device):
        graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        # Other threads of a program may use the GPU meanwhile.
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            out = evaluate()
    return graph, out


class Recording:
    """One evaluation with inputs of fixed shapes: the graph, and where it reads and writes."""

    def __init__(self, network: AudioXNetwork, x: Tensor, t: Tensor, prepared: Tensor) -> None:
        """The arguments of `AudioXNetwork.forward`. Raises RuntimeError for what cannot be recorded."""
        self.x, self.t, self.prepared = x.clone(), t.clone(), prepared.clone()
        self._holds = weakref.ref(prepared)
        self.graph, self.out = capture(lambda: network(self.x, self.t, self.prepared), x.device)

    def replay(self, x: Tensor, t: Tensor, prepared: Tensor) -> Tensor:
        """The output for other inputs of the same shapes."""
        self.x.copy_(x)
        self.t.copy_(t)
        if self._holds() is not prepared:  # hundreds of megabytes, and the same for a whole run
            self.prepared.copy_(prepared)
            self._holds = weakref.ref(prepared)
        self.graph.replay()
        return self.out.clone()  # the next replay writes to the same place


class RecordedNetwork:
    """A network for `runs.windowed` that records an evaluation once it has seen `PATIENCE` alike, and then replays it.

    There is one recording at a time. What cannot be recorded runs as it would without, and one line says why.
    """

    def __init__(self, network: AudioXNetwork, room: int | None = None) -> None:
        """room: bytes of the device that a recording may take; None sets no limit."""
        self.network, self.room = network, room
        self._recording: Recording | None = None
        self._kind: tuple | None = None
        self._weights: tuple[int, ...] = ()
        self._alike = self._made = 0
        self._gave_up = False

    def begin(self) -> None:
        """To call before each run, with the network on the device: a graph reads the weights where they were."""
        weights = tuple(weight.data_ptr() for weight in self.network.parameters())
        if weights != self._weights:
            self._weights = weights
            self.forget()

    def forget(self) -> None:
        """Give the memory of the recording back."""
        self._recording, self._kind, self._alike = None, None, 0

    def prepare(self, context: Tensor) -> Tensor:
        """See `AudioXNetwork.prepare`."""
        return self.network.prepare(context)

    def __call__(self, x: Tensor, t: Tensor, prepared: Tensor) -> Tensor:
        """See `AudioXNetwork.forward`."""
        if not self._gave_up:
            kind = (x.shape, x.dtype, t.dtype, prepared.shape, prepared.dtype)
            if kind != self._kind:
                self.forget()
                self._kind = kind
            if self._recording is None and self._alike >= PATIENCE:
                self._record(x, t, prepared)
            if self._recording is not None:
                return self._recording.replay(x, t, prepared)
            self._alike += 1
        return self.network(x, t, prepared)

    def _record(self, x: Tensor, t: Tensor, prepared: Tensor) -> None:
        sizes, size = self.network.sizes, x.element_size()
        need = prepared.nbytes + activations.evaluation(sizes, len(prepared), len(x), x.shape[-1], size)
        if self.room is not None and need > self.room:
            self._give_up(f"it needs {need / 1e9:.2f} GB, the memory plan leaves {max(0, self.room) / 1e9:.2f} GB")
        elif self._made == LIMIT:
            self._give_up(f"there were {LIMIT} recordings already, and the shapes or the weights changed after each")
        else:
            try:
                self._recording = Recording(self.network, x, t, prepared)
                self._made += 1
            except RuntimeError as error:  # also CUDA's own errors, and no memory for it
                self._give_up(str(error).splitlines()[0])

    def _give_up(self, reason: str) -> None:
        self._gave_up = True
        _log.warning("No CUDA graph is recorded: %s. The network runs without.", reason)
