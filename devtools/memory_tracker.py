"""Peak bytes of the tensors that a piece of code makes: every storage counted from its first tensor to its last.

What an operator allocates inside itself and frees before it returns (a convolution's work space, say) is not seen.
"""

import weakref
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tracker(TorchDispatchMode):
    """Inside `with Tracker() as tracker`: `live` and `peak` bytes of storages made since."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.seen: dict[int, object] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        for given in tree_leaves((args, kwargs)):
            if isinstance(given, torch.Tensor):  # made before: an operator may return it or a view of it
                self.know(given, 0)
        out = func(*args, **kwargs)
        for made in tree_leaves(out):
            if isinstance(made, torch.Tensor):
                self.know(made, made.untyped_storage().nbytes())
        self.peak = max(self.peak, self.live)
        return out

    def know(self, tensor: torch.Tensor, size: int) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.seen:
            return
        self.live += size

        def gone(_) -> None:
            del self.seen[key]
            self.live -= size

        self.seen[key] = weakref.ref(storage, gone)


def peak_of(run: Callable[[], object]) -> int:
    """Peak bytes while a function runs, its result included."""
    with torch.inference_mode(), Tracker() as tracker:
        result = run()
        del result
    return tracker.peak
