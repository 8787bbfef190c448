"""A network whose evaluations a GPU replays from one recording, a CUDA graph.

An evaluation of the released models is some 1500 small operations, and a fast GPU finishes most of them before the next
one is launched. The shapes do not change during a run, so the launches can be recorded and replayed at once: the same
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
"""Evaluations of the same shapes before one is recorded. A single run of 4 steps would not earn the recording back, and
CUDA's libraries set up things in the first evaluations that they must not set up during a recording."""

LIMIT = 8
"""Most recordings of one network; if shapes change more often, a recording is not used for long enough to pay."""

_log = logging.getLogger(__name__)


def can_record(device: torch.device, streams: bool) -> bool:
    """Whether a network can be recorded on a device; logs why not.

    streams: its blocks come to the device for their turn only.
    """
    if device.type != "cuda":
        _log.warning("CUDA graphs need a CUDA device, this one is %s: the network runs without them.", device)
    elif streams:
        _log.warning("Blocks of the network stream from RAM, so it cannot be recorded: it runs without CUDA graphs.")
    return device.type == "cuda" and not streams


def capture(evaluate: Callable[[], Tensor], device: torch.device) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    """A graph of what a function launches, and the tensor that each replay writes."""
    with torch.cuda.device(device):
        graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        # Other threads of the program may use the GPU at the same time.
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            out = evaluate()
    return graph, out


class Recording:
    """One evaluation with inputs of fixed shapes: the graph, and the tensors that it reads and writes."""

    def __init__(self, network: AudioXNetwork, x: Tensor, t: Tensor, prepared: Tensor) -> None:
        """The arguments of `AudioXNetwork.forward`. Raises RuntimeError for what cannot be recorded."""
        self.x, self.t, self.prepared = x.clone(), t.clone(), prepared.clone()
        self._copied = weakref.ref(prepared)
        self.graph, self.out = capture(lambda: network(self.x, self.t, self.prepared), x.device)

    def replay(self, x: Tensor, t: Tensor, prepared: Tensor) -> Tensor:
        """The output for other inputs of the same shapes."""
        self.x.copy_(x)
        self.t.copy_(t)
        if self._copied() is not prepared:  # hundreds of megabytes, and the same for a whole run
            self.prepared.copy_(prepared)
            self._copied = weakref.ref(prepared)
        self.graph.replay()
        return self.out.clone()  # the next replay writes to the same memory


class RecordedNetwork:
    """A network for `sampling.run.windowed` that replays an evaluation after `PATIENCE` of the same shapes.

    There is one recording at a time. What cannot be recorded runs as it would without, and one line says why.
    """

    def __init__(self, network: AudioXNetwork, free_vram: int | None = None) -> None:
        """free_vram: bytes of the device that a recording may take; None sets no limit."""
        self.network, self.free_vram = network, free_vram
        self._recording: Recording | None = None
        self._signature: tuple[object, ...] | None = None
        self._weights: tuple[int, ...] = ()
        self._repeats = self._recordings = 0
        self._gave_up = False

    def begin(self) -> None:
        """Call before each run, with the network on the device: a graph reads the weights where it was recorded."""
        weights = tuple(weight.data_ptr() for weight in self.network.parameters())
        if weights != self._weights:
            self._weights = weights
            self.forget()

    def forget(self) -> None:
        """Free the memory of the recording."""
        self._recording, self._signature, self._repeats = None, None, 0

    def prepare(self, context: Tensor) -> Tensor:
        """See `AudioXNetwork.prepare`."""
        return self.network.prepare(context)

    def __call__(self, x: Tensor, t: Tensor, prepared: Tensor) -> Tensor:
        """See `AudioXNetwork.forward`."""
        if not self._gave_up:
            signature = (x.shape, x.dtype, t.dtype, prepared.shape, prepared.dtype)
            if signature != self._signature:
                self.forget()
                self._signature = signature
            if self._recording is None and self._repeats >= PATIENCE:
                self._record(x, t, prepared)
            if self._recording is not None:
                return self._recording.replay(x, t, prepared)
            self._repeats += 1
        return self.network(x, t, prepared)

    def _record(self, x: Tensor, t: Tensor, prepared: Tensor) -> None:
        sizes, size = self.network.sizes, x.element_size()
        need = prepared.nbytes + activations.evaluation(sizes, len(prepared), len(x), x.shape[-1], size)
        if self.free_vram is not None and need > self.free_vram:
            free = max(0, self.free_vram)
            self._give_up(f"it needs {need / 1e9:.2f} GB, the memory plan leaves {free / 1e9:.2f} GB")
        elif self._recordings == LIMIT:
            self._give_up(f"after {LIMIT} recordings, each followed by a change of the shapes or the weights")
        else:
            try:
                self._recording = Recording(self.network, x, t, prepared)
                self._recordings += 1
            except RuntimeError as error:  # CUDA's own errors and too little memory are RuntimeErrors too
                self._give_up(str(error).splitlines()[0])

    def _give_up(self, reason: str) -> None:
        self._gave_up = True
        _log.warning("No CUDA graph is recorded: %s. The network runs without one.", reason)
