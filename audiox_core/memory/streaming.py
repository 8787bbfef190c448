"""A network whose weights come to the device for their turn only, through accelerate's hooks.

Transformer blocks that stream share two slots on the device: while one block computes in its slot, the next one is
copied into the other, on a separate CUDA stream where there is one. Layers that run once per prompt are copied when
they are called. Nothing is copied back: the network's own parameters stay in RAM, untouched, and are only replaced by
their copies for a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import torch
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module
from torch import nn

from ..models.network import AudioXNetwork
from .needs import ONCE


class ParameterSlot:
    """A named parameter of a module, which can be replaced for a while and restored."""

    def __init__(self, module: nn.Module, name: str, original: nn.Parameter) -> None:
        self.module, self.name, self.original = module, name, original

    def replace(self, parameter: nn.Parameter) -> None:
        """Let the module use another parameter in place of the original."""
        self.module._parameters[self.name] = parameter

    def restore(self) -> None:
        """Let the module use the original again."""
        self.replace(self.original)

    def pin(self) -> None:
        """Move the original to memory that a GPU can copy from while it computes."""
        self.original = nn.Parameter(self.original.data.pin_memory(), requires_grad=False)
        self.restore()

    def copy_to(self, device: torch.device) -> None:
        """Let the module use a copy on a device."""
        self.replace(nn.Parameter(self.original.data.to(device, copy=True), requires_grad=False))


def own_parameters(module: nn.Module) -> list[ParameterSlot]:
    """A module's own parameters, without those of its children."""
    return [ParameterSlot(module, name, value) for name, value in module._parameters.items() if value is not None]


def evenly(blocks: int, streamed: int) -> list[int]:
    """Which of the blocks stream: spread out, so that the resident blocks in between give each copy time."""
    return [i * blocks // streamed for i in range(streamed)]


class DeviceSlots:
    """Two buffers on the device through which blocks of one shape take turns."""

    def __init__(self, blocks: Sequence[Sequence[ParameterSlot]], device: torch.device, pin: bool) -> None:
        """blocks: the parameters of each block. pin: see `ParameterSlot.pin`; for CUDA only."""
        self.blocks, self.device = blocks, device
        self.copy_stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.slots: list[list[nn.Parameter]] = []
        if pin:
            for parameters in blocks:
                for parameter in parameters:
                    parameter.pin()

    def open(self) -> None:
        """Allocate the slots."""
        count = min(2, len(self.blocks))
        self.slots = [
            [
                nn.Parameter(torch.empty_like(parameter.original, device=self.device), requires_grad=False)
                for parameter in parameters
            ]
            for parameters in self.blocks[:count]
        ]
        self.block_in: list[int | None] = [None] * count
        self.copied: list[torch.cuda.Event | None] = [None] * count
        self.used: list[torch.cuda.Event | None] = [None] * count
        self.next_slot = 0

    def close(self) -> None:
        """Free the slots, whatever is still running."""
        if self.copy_stream is not None:
            torch.cuda.synchronize(self.device)
        for index in range(len(self.blocks)):
            self.restore(index)
        self.slots = []

    def restore(self, index: int) -> None:
        """Let a block use its original parameters."""
        for parameter in self.blocks[index]:
            parameter.restore()

    def enter(self, index: int) -> None:
        """A block's turn begins: make its weights available and start copying the next one's."""
        if index not in self.block_in:
            self.copy(index, self.next_slot)
        slot = self.block_in.index(index)
        copied = self.copied[slot]
        if copied is not None:
            torch.cuda.current_stream(self.device).wait_event(copied)
        for parameter, buffer in zip(self.blocks[index], self.slots[slot], strict=True):
            parameter.replace(buffer)
        self.next_slot = (slot + 1) % len(self.slots)
        following = (index + 1) % len(self.blocks)
        if following not in self.block_in:
            self.copy(following, self.next_slot)

    def leave(self, index: int) -> None:
        """A block's turn is over."""
        if self.copy_stream is not None:
            self.used[self.block_in.index(index)] = torch.cuda.current_stream(self.device).record_event()
        self.restore(index)

    def copy(self, index: int, slot: int) -> None:
        """Copy a block into a slot, once the computation that used the slot has finished."""
        self.block_in[slot] = index
        pairs = [
            (buffer.data, parameter.original.data)
            for buffer, parameter in zip(self.slots[slot], self.blocks[index], strict=True)
        ]
        if self.copy_stream is None:
            for target, source in pairs:
                target.copy_(source)
            return
        self.copy_stream.wait_event(self.used[slot] or torch.cuda.current_stream(self.device).record_event())
        with torch.cuda.stream(self.copy_stream):
            for target, source in pairs:
                target.copy_(source, non_blocking=True)
            self.copied[slot] = self.copy_stream.record_event()


class BlockHook(ModelHook):
    """Runs block `index` of those that stream in a slot."""

    def __init__(self, slots: DeviceSlots, index: int) -> None:
        self.slots, self.index = slots, index

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self.slots.enter(self.index)
        return args, kwargs

    def post_forward(self, module: nn.Module, output: Any) -> Any:
        self.slots.leave(self.index)
        return output


class OnceHook(ModelHook):
    """Copies a layer's own weights to the device when it is called, and drops the copies afterwards."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self.parameters, self.device = own_parameters(module), device

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for parameter in self.parameters:
            parameter.copy_to(self.device)
        return args, kwargs

    def post_forward(self, module: nn.Module, output: Any) -> Any:
        self.restore()
        return output

    def restore(self) -> None:
        """Let the layer use its original weights."""
        for parameter in self.parameters:
            parameter.restore()


class StreamedNetwork:
    """A network in its streaming form inside `with`; outside it, all of the network is in RAM."""

    def __init__(self, network: AudioXNetwork, streamed_blocks: int, device: torch.device, pin: bool) -> None:
        self.network, self.device = network, device
        layers = cast("Sequence[nn.Module]", network.transformer.layers)
        indices = evenly(len(layers), streamed_blocks) if streamed_blocks else []
        self.streamed = [layers[i] for i in indices]
        self.slots = DeviceSlots([list(step_parameters(block)) for block in self.streamed], device, pin)
        self.once = list(once_layers(network))
        elsewhere = set(map(original_id, (parameter for block in self.slots.blocks for parameter in block)))
        elsewhere |= set(map(original_id, all_parameters(self.once)))
        inner = all_parameters(network.transformer.modules())
        self.residents = [parameter for parameter in inner if original_id(parameter) not in elsewhere]

    def __enter__(self) -> StreamedNetwork:
        self.hooks: list[OnceHook] = []
        try:
            for parameter in self.residents:
                parameter.copy_to(self.device)
            if self.streamed:
                self.slots.open()
            for index, block in enumerate(self.streamed):
                add_hook_to_module(block, BlockHook(self.slots, index))
            for layer in self.once:
                self.hooks.append(OnceHook(layer, self.device))
                add_hook_to_module(layer, self.hooks[-1])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Undo setup, even if it failed halfway."""
        for module in (*self.streamed, *self.once):
            remove_hook_from_module(module)
        for hook in self.hooks:
            hook.restore()
        self.slots.close()
        for parameter in self.residents:
            parameter.restore()


def original_id(parameter: ParameterSlot) -> int:
    """The identity of a slot's original parameter."""
    return id(parameter.original)


def all_parameters(modules: Iterable[nn.Module]) -> Iterator[ParameterSlot]:
    """The own parameters of several modules."""
    for module in modules:
        yield from own_parameters(module)


def step_parameters(block: nn.Module) -> Iterator[ParameterSlot]:
    """What a transformer block needs at each step."""
    return all_parameters(module for name, module in block.named_modules() if name.split(".")[0] not in ONCE)


def once_layers(network: nn.Module) -> Iterator[nn.Module]:
    """The layers with their own weights that run once per prompt; bare parameters of other modules are not moved."""
    for name, module in network.named_modules():
        leaf = own_parameters(module) and next(module.children(), None) is None
        in_steps = name.startswith("transformer.") and not name.startswith("transformer.context_")
        if leaf and (not in_steps or name.rpartition(".")[2] in ONCE):
            yield module
