"""A network whose weights come to the device for their turn only, through accelerate's hooks.

Transformer blocks that stream share two slots on the device: while one block computes in its slot, the next one is
copied into the other, on a stream of its own where the device is CUDA's. Layers that run once per prompt are copied
when they are called. Nothing is copied back: the network's own parameters stay in RAM, untouched, and stand aside
for their copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module
from torch import nn

from .needs import ONCE


class Place:
    """Where a module keeps one of its parameters, and the parameter that belongs there."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module, self.name = module, name
        self.own = module._parameters[name]

    def put(self, parameter: nn.Parameter) -> None:
        """Let the module use another parameter in place of its own."""
        self.module._parameters[self.name] = parameter

    def restore(self) -> None:
        self.put(self.own)

    def pin(self) -> None:
        """Move its own parameter to memory that copies to a GPU need not wait for."""
        self.own = nn.Parameter(self.own.data.pin_memory(), requires_grad=False)
        self.restore()

    def copy(self, device: torch.device) -> None:
        """Let the module use a copy on a device."""
        self.put(nn.Parameter(self.own.data.to(device, copy=True), requires_grad=False))


def places_of(module: nn.Module) -> list[Place]:
    """Places of a module's own parameters, those of its children left out."""
    return [Place(module, name) for name, value in module._parameters.items() if value is not None]


def evenly(blocks: int, streamed: int) -> list[int]:
    """Which of the blocks stream: spread out, so that a copy has the time of the resident blocks between."""
    return [i * blocks // streamed for i in range(streamed)]


class Slots:
    """Two places on the device through which blocks of one shape take turns."""

    def __init__(self, blocks: Sequence[Sequence[Place]], device: torch.device, pin: bool) -> None:
        """blocks: the places of each block's parameters. pin: see `Place.pin`; for CUDA alone."""
        self.blocks, self.device = blocks, device
        self.side = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.slots: list[list[nn.Parameter]] = []
        if pin:
            for places in blocks:
                for place in places:
                    place.pin()

    def open(self) -> None:
        """Take the memory of the slots."""
        count = min(2, len(self.blocks))
        self.slots = [
            [nn.Parameter(torch.empty_like(place.own, device=self.device), requires_grad=False) for place in places]
            for places in self.blocks[:count]
        ]
        self.holds: list[int | None] = [None] * count
        self.copied: list[torch.cuda.Event | None] = [None] * count
        self.used: list[torch.cuda.Event | None] = [None] * count
        self.turn = 0

    def close(self) -> None:
        """Give the memory back, whatever was under way."""
        if self.side is not None:
            torch.cuda.synchronize(self.device)
        for index in range(len(self.blocks)):
            self.restore(index)
        self.slots = []

    def restore(self, index: int) -> None:
        for place in self.blocks[index]:
            place.restore()

    def enter(self, index: int) -> None:
        """A block's turn begins: its weights are there, and the next one's are on their way."""
        if index not in self.holds:
            self.copy(index, self.turn)
        slot = self.holds.index(index)
        if self.copied[slot] is not None:
            torch.cuda.current_stream(self.device).wait_event(self.copied[slot])
        for place, parameter in zip(self.blocks[index], self.slots[slot], strict=True):
            place.put(parameter)
        self.turn = (slot + 1) % len(self.slots)
        following = (index + 1) % len(self.blocks)
        if following not in self.holds:
            self.copy(following, self.turn)

    def leave(self, index: int) -> None:
        """A block's turn is over."""
        if self.side is not None:
            self.used[self.holds.index(index)] = torch.cuda.current_stream(self.device).record_event()
        self.restore(index)

    def copy(self, index: int, slot: int) -> None:
        """Copy a block into a slot, once the computation that used the slot is through."""
        self.holds[slot] = index
        pairs = [(a.data, place.own.data) for a, place in zip(self.slots[slot], self.blocks[index], strict=True)]
        if self.side is None:
            for there, here in pairs:
                there.copy_(here)
            return
        self.side.wait_event(self.used[slot] or torch.cuda.current_stream(self.device).record_event())
        with torch.cuda.stream(self.side):
            for there, here in pairs:
                there.copy_(here, non_blocking=True)
            self.copied[slot] = self.side.record_event()


class BlockHook(ModelHook):
    """Block `index` of those that stream runs in a slot."""

    def __init__(self, slots: Slots, index: int) -> None:
        self.slots, self.index = slots, index

    def pre_forward(self, module: nn.Module, *args, **kwargs):
        self.slots.enter(self.index)
        return args, kwargs

    def post_forward(self, module: nn.Module, output):
        self.slots.leave(self.index)
        return output


class OnceHook(ModelHook):
    """A layer's own weights are copied to the device when it is called, and forgotten there after it."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self.places, self.device = places_of(module), device

    def pre_forward(self, module: nn.Module, *args, **kwargs):
        for place in self.places:
            place.copy(self.device)
        return args, kwargs

    def post_forward(self, module: nn.Module, output):
        self.restore()
        return output

    def restore(self) -> None:
        for place in self.places:
            place.restore()


class StreamedNetwork:
    """A network in its streaming form, inside `with`; outside it all of it is in RAM."""

    def __init__(self, network: nn.Module, streamed_blocks: int, device: torch.device, pin: bool) -> None:
        self.network, self.device = network, device
        layers = network.transformer.layers
        chosen = evenly(len(layers), streamed_blocks) if streamed_blocks else []
        self.streamed = [layers[i] for i in chosen]
        self.slots = Slots([list(step_places(block)) for block in self.streamed], device, pin)
        self.once = list(once_layers(network))
        elsewhere = {id(place.own) for places in self.slots.blocks for place in places}
        elsewhere |= {id(place.own) for layer in self.once for place in places_of(layer)}
        inner = (place for module in network.transformer.modules() for place in places_of(module))
        self.residents = [place for place in inner if id(place.own) not in elsewhere]

    def __enter__(self) -> StreamedNetwork:
        self.hooks: list[OnceHook] = []
        try:
            for place in self.residents:
                place.copy(self.device)
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

    def __exit__(self, *exc_info) -> None:
        """Undo everything, also half of it."""
        for module in (*self.streamed, *self.once):
            remove_hook_from_module(module)
        for hook in self.hooks:
            hook.restore()
        self.slots.close()
        for place in self.residents:
            place.restore()


def step_places(block: nn.Module) -> Iterator[Place]:
    """Places of what a transformer block needs at each step."""
    for name, module in block.named_modules():
        if name.split(".")[0] not in ONCE:
            yield from places_of(module)


def once_layers(network: nn.Module) -> Iterator[nn.Module]:
    """The layers with weights of their own that run once per prompt; bare parameters of others stay where they are."""
    for name, module in network.named_modules():
        leaf = places_of(module) and next(module.children(), None) is None
        in_steps = name.startswith("transformer.") and not name.startswith("transformer.context_")
        if leaf and (not in_steps or name.rpartition(".")[2] in ONCE):
            yield module
