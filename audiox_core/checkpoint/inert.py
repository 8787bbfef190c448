"""An unpickler that rebuilds tensors and nothing else: no name in a file is looked up, no code of a file runs.

`torch.load` takes it as its `pickle_module`. Whatever is not a tensor, a storage, a type of numbers or a plain
container becomes a stand-in that does nothing, whatever the file tells it to do.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import torch


class StandIn(dict[Any, Any]):
    """In place of any object that is not a tensor. A dictionary, because some checkpoints are subclasses of one."""

    def __new__(cls, *_: object, **__: object) -> StandIn:
        return dict.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    __hash__ = object.__hash__  # type: ignore[assignment]  # dictionaries have none

    def __eq__(self, other: object) -> bool:
        return self is other


def _tensor(storage: object, offset: int, size: Iterable[int], stride: Iterable[int], *_: object) -> torch.Tensor:
    """A view of a storage; what comes after the strides (gradients, hooks, metadata) is of no use here."""
    if not isinstance(storage, torch.storage.TypedStorage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return _view(storage, storage.dtype, offset, tuple(size), tuple(stride))


def _tensor_of_type(
    storage: object,
    offset: int,
    size: Iterable[int],
    stride: Iterable[int],
    gradient: object,
    hooks: object,
    dtype: object,
    *_: object,
) -> torch.Tensor:
    """The same for types that have no storage of their own, such as those of 8 bits."""
    if not isinstance(storage, torch.storage.TypedStorage) or not isinstance(dtype, torch.dtype):
        raise pickle.UnpicklingError("a tensor without a storage or a type")
    return _view(storage, dtype, offset, tuple(size), tuple(stride))


def _view(
    storage: torch.storage.TypedStorage, dtype: torch.dtype, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> torch.Tensor:
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise pickle.UnpicklingError("a tensor with an impossible shape")
    bytes_ = storage._untyped_storage  # `untyped()` warns that this class will go
    end = offset + 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if all(size) and end * dtype.itemsize > bytes_.nbytes():
        raise pickle.UnpicklingError("a tensor larger than its storage")
    return torch.empty(0, dtype=dtype).set_(bytes_, offset, size, stride)


def _first(tensor: object, *_: object) -> object:
    """A parameter is its tensor."""
    return tensor


def _subclass(rebuild: object, kind: object, arguments: Iterable[object], *_: object) -> object:
    """A tensor of a subclass of torch.Tensor is the tensor alone."""
    return _call(rebuild, tuple(arguments))


def _mapping(*arguments: object) -> dict[Any, Any]:
    """An OrderedDict or defaultdict; old ones bring their items as a list of pairs."""
    items = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], list) else []
    return dict(cast("list[tuple[Any, Any]]", items))


def _sizes(sizes: Iterable[int] = ()) -> tuple[int, ...]:
    return tuple(sizes)


_CALLABLE: dict[tuple[str, str], Callable[..., object]] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_of_type,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch._utils", "_rebuild_parameter_with_state"): _first,
    ("torch._tensor", "_rebuild_from_type_v2"): _subclass,
    ("torch", "Size"): _sizes,
    ("collections", "OrderedDict"): _mapping,
    ("collections", "defaultdict"): _mapping,
}
"""Names that a file may call, and what is called in their place."""


def _call(function: object, arguments: tuple[object, ...]) -> object:
    if any(function is known for known in _CALLABLE.values()):
        return cast("Callable[..., object]", function)(*arguments)
    return function() if isinstance(function, type) and issubclass(function, StandIn) else StandIn()


_PythonUnpickler: Any = pickle._Unpickler  # its stack is in no stub


class _Unpickler(_PythonUnpickler):
    """Python's own unpickler, with every operation that calls or changes an object replaced.

    The one written in C has no such table of operations.
    """

    left_out: dict[str, type[StandIn]]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _CALLABLE:
            return _CALLABLE[module, name]
        if (module, name) == ("torch.storage", "UntypedStorage"):
            return torch.UntypedStorage  # only compared with; `_call` doesn't call it
        # not `getattr`, which would import some of torch's modules
        if module == "torch" and isinstance(dtype := vars(torch).get(name), torch.dtype):
            return dtype
        return self.left_out.setdefault(f"{module}.{name}", type("StandIn", (StandIn,), {}))

    def get_extension(self, code: int) -> None:
        self.append(self.left_out.setdefault(f"extension {code}", type("StandIn", (StandIn,), {})))

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = _call(self.stack[-1], arguments)

    def load_newobj_ex(self) -> None:
        self.stack.pop()
        self.load_reduce()

    def load_inst(self) -> None:
        module, name = (self.readline()[:-1].decode("ascii") for _ in range(2))
        self.pop_mark()
        self.append(_call(self.find_class(module, name), ()))

    def load_obj(self) -> None:
        function, *arguments = self.pop_mark()
        self.append(_call(function, tuple(arguments)))

    def load_build(self) -> None:
        self.stack.pop()  # attributes of an object, of which no tensor has any that count

    def load_append(self) -> None:
        self._extend([self.stack.pop()])

    def load_appends(self) -> None:
        self._extend(self.pop_mark())

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def load_setitems(self) -> None:
        self._update(self.pop_mark())

    def load_additems(self) -> None:
        self.pop_mark()  # no tensors are in a set

    def _extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def _update(self, items: list[Any]) -> None:
        """Keep what has a name; other keys may be built so that hashing them takes for ever."""
        if isinstance(self.stack[-1], dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            self.stack[-1].update({key: value for key, value in pairs if isinstance(key, str | int)})

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **_PythonUnpickler.dispatch,
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_reduce,
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.INST[0]: load_inst,
        pickle.OBJ[0]: load_obj,
        pickle.BUILD[0]: load_build,
        pickle.APPEND[0]: load_append,
        pickle.APPENDS[0]: load_appends,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.ADDITEMS[0]: load_additems,
    }


def inert_pickle() -> tuple[Any, dict[str, type[StandIn]]]:
    """A `pickle_module` for one `torch.load`, and the names that it has left out once that is done."""
    names: dict[str, type[StandIn]] = {}
    unpickler = type("Unpickler", (_Unpickler,), {"left_out": names})

    def load(file: Any, **options: Any) -> Any:
        return unpickler(file, **options).load()

    return SimpleNamespace(__name__="inert pickle", Unpickler=unpickler, load=load), names
