"""Float32 matrix products on a CPU by oneDNN, where PyTorch's own choice leaves half of the processor idle.

PyTorch gives float32 products to MKL, which uses no more than AVX2 on processors that aren't Intel's: 175 GFLOP/s where
oneDNN reaches 440 (two cores of AMD Zen 5, 237 positions). Without AVX-512 the two are alike, and nothing is changed.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

P = ParamSpec("P")
T = TypeVar("T")


@functools.cache
def onednn_is_faster() -> bool:
    """Whether this machine has AVX-512 and this build of PyTorch has oneDNN.

    Decided by what the machine has, not by timing it: the same machine always computes the same numbers.
    """
    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():
        return False
    return torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear, by oneDNN where it can be: float32 on the CPU, without gradients. x (..., inputs)."""
    tensors = (x, weight) if bias is None else (x, weight, bias)
    plain = all(type(tensor) in (Tensor, torch.nn.Parameter) and tensor.dtype == torch.float32 for tensor in tensors)
    if not plain or not x.is_cpu or not x.numel() or x.ndim < 2 or torch.is_grad_enabled():
        return F.linear(x, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _OneDNNLinear(TorchFunctionMode):
    """Every F.linear inside is `linear`, those of other libraries' and hosts' layers too."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        function = linear if function is F.linear else function
        return function(*args, **(kwargs or {}))


def with_onednn(function: Callable[P, T]) -> Callable[P, T]:
    """A decorator: oneDNN computes the float32 products inside where that is faster; other devices are left alone.

    It applies to the thread that runs the function, and only while it runs. Code that torch.compile traces keeps
    PyTorch's choice: it cannot trace a mode around the methods of tensors.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if torch.compiler.is_compiling():
            return function(*args, **kwargs)
        on_cpu = any(isinstance(argument, Tensor) and argument.is_cpu for argument in args)
        if not on_cpu or not onednn_is_faster():
            return function(*args, **kwargs)
        with _OneDNNLinear():
            return function(*args, **kwargs)

    return run
