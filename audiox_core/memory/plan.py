"""The plan of a run: what is where in each stage, and what leaves before the next. Nothing here touches a device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from ..errors import AudioXError
from ..models.synchformer import segments_at_once
from ..models.tiling import CPU_TILE_SIZE, default_tile_size
from ..release.components import CLIP_VISION, NETWORK, SYNCHFORMER, T5, VAE
from .machine import GB, Limits, Machine
from .needs import ActivationPeaks, Dtypes, ModelFootprint, Workload

LIBRARY_BYTES = 2**28
"""Set aside for what libraries allocate inside operators: cuBLAS's and cuDNN's buffers, MKL's packed weights."""

KEEP_ORDER = (NETWORK, VAE, T5, CLIP_VISION, SYNCHFORMER)
"""Components by how much keeping them on the device saves."""


@dataclass(frozen=True)
class Budget:
    """Bytes that a run may use."""

    vram: int
    ram: int


@dataclass(frozen=True)
class BlockStreaming:
    """How much of the network comes to the device for its turn only.

    blocks: transformer blocks of the network. streamed: how many of them stream. prompt_layers: whether the layers
    that run once per prompt do too. pinned: whether the blocks are copied from memory that a GPU reads while it
    computes, of which torch takes up to twice their size.
    """

    blocks: int
    streamed: int = 0
    prompt_layers: bool = False
    pinned: bool = False


@dataclass(frozen=True)
class Decoding:
    """How the VAE decodes. tile_size: see `OobleckVAE.set_tile_size`. batch: sounds that it decodes at once."""

    tile_size: int
    batch: int


@dataclass(frozen=True)
class StageMemory:
    """Planned peaks of a stage in bytes, the libraries' share included. vram is 0 if the device works in RAM."""

    name: str
    part: str
    vram: int
    ram: int


@dataclass(frozen=True)
class MemoryPlan:
    """What was planned for a machine, limits and number types.

    resident: components that stay on the device after their stages. dropped: components that are dropped after each
    stage and read from their file again. The others move to RAM.
    """

    machine: Machine
    limits: Limits
    dtypes: Dtypes
    budget: Budget
    resident: frozenset[str]
    dropped: frozenset[str]
    streaming: BlockStreaming
    decoding: Decoding
    stages: tuple[StageMemory, ...]

    @property
    def resident_blocks(self) -> int:
        """Transformer blocks that stay on the device while the network runs."""
        return self.streaming.blocks - self.streaming.streamed

    @property
    def free_vram(self) -> int:
        """Bytes of VRAM that may be used and that no stage needs."""
        return self.budget.vram - max(stage.vram for stage in self.stages)


@dataclass(frozen=True)
class Shortage:
    """Why there is no plan."""

    stage: str
    memory: str
    need: int
    allowed: int


def plan_memory(
    model: ModelFootprint,
    workload: Workload,
    machine: Machine,
    limits: Limits | None = None,
    dtypes: Dtypes | None = None,
) -> MemoryPlan:
    """The plan that moves least within the limits.

    Raises:
        AudioXError: nothing fits; the sentence says what would.
    """
    limits, dtypes = limits or Limits(), dtypes or Dtypes()
    plan = _Planner(model, workload, machine, limits, dtypes).find()
    if isinstance(plan, MemoryPlan):
        return plan
    raise AudioXError(
        f"The stage '{plan.stage}' needs {plan.need / GB:.2f} GB of {plan.memory}, but only {plan.allowed / GB:.2f} GB "
        f"may be used: {_remedy(model, workload, machine, limits, dtypes, plan)}."
    )


def _remedy(
    model: ModelFootprint, workload: Workload, machine: Machine, limits: Limits, dtypes: Dtypes, shortage: Shortage
) -> str:
    """What would fit."""
    changes: list[str] = []
    for change, planner in _changes(model, workload, machine, limits, dtypes):
        changes = [*(earlier for earlier in changes if "--batch" not in earlier), change]
        if isinstance(planner.find(), MemoryPlan):
            return f"{' and '.join(changes)} would fit"
    if not machine.unified:
        on_cpu = replace(machine, device="cpu", vram_free=0, vram_total=0)
        if isinstance(_Planner(model, workload, on_cpu, replace(limits, offload=True), dtypes).find(), MemoryPlan):
            return "--device cpu would fit"
    if (limits.max_vram if shortage.memory == "VRAM" else limits.max_ram) is None:
        return "close other programs, or use a machine with more memory"
    return f"raise --max-{shortage.memory.lower()}"


def _changes(
    model: ModelFootprint, workload: Workload, machine: Machine, limits: Limits, dtypes: Dtypes
) -> Iterator[tuple[str, _Planner]]:
    """Runs that need less, each on top of the changes before it, the mildest first."""
    if not limits.offload:
        limits = replace(limits, offload=True)
        yield "offloading (no --no-cpu-offload)", _Planner(model, workload, machine, limits, dtypes)
    if dtypes.network == torch.float32:
        dtypes = replace(dtypes, network=torch.bfloat16, encoders=torch.bfloat16)
        yield "half precision (--dtype bf16, no --no-half)", _Planner(model, workload, machine, limits, dtypes)
    while workload.sounds > 1:
        fewer = workload.sounds // 2
        workload = replace(workload, sounds=fewer, prompts=min(workload.prompts, fewer))
        yield f"fewer sounds at a time (--batch {fewer})", _Planner(model, workload, machine, limits, dtypes)


def stage_alone(peaks: ActivationPeaks, stage: str, part: str, tile_size: int = CPU_TILE_SIZE, batch: int = 1) -> int:
    """Bytes of a stage with nothing else on the device."""
    return peaks.model.weights(part, peaks.dtypes) + peaks.of(stage, part, tile_size, batch) + LIBRARY_BYTES


def largest_need(model: ModelFootprint, workload: Workload, dtypes: Dtypes, device: torch.device) -> int:
    """Bytes on a device of the largest stage, if the components take turns and none of them streams."""
    peaks = ActivationPeaks(model, workload, dtypes, segments_at_once(device))
    return max(stage_alone(peaks, stage, part) for stage, part in model.stages(workload))


class _Planner:
    """The search for one model, workload, machine and set of number types."""

    def __init__(
        self, model: ModelFootprint, workload: Workload, machine: Machine, limits: Limits, dtypes: Dtypes
    ) -> None:
        self.model, self.workload, self.machine, self.limits, self.dtypes = model, workload, machine, limits, dtypes
        self.stages = model.stages(workload)
        used = {part for _, part in self.stages}
        self.parts = [part for part in KEEP_ORDER if part in used]
        device = torch.device(machine.device)
        self.peaks = ActivationPeaks(model, workload, dtypes, segments_at_once(device))
        self.budget = Budget(limits.vram(machine), limits.ram(machine) // limits.models)
        self.allowed = self.budget.ram if machine.unified else self.budget.vram
        if device.type == "mps":  # its memory is a share of the system's
            self.allowed = min(self.budget.vram, self.budget.ram)
        self.memory = "RAM" if machine.unified else "VRAM"
        self.decoding = Decoding(default_tile_size(device), workload.sounds)
        self.streaming = BlockStreaming(model.network.blocks)
        self.resident: frozenset[str] = frozenset()

    def weights(self, part: str) -> int:
        return self.model.weights(part, self.dtypes)

    def find(self) -> MemoryPlan | Shortage:
        """The plan, or what is missing for one."""
        decoding = self._decoding(beside=(NETWORK,))
        if isinstance(decoding, Shortage):
            decoding = self._decoding()
        if isinstance(decoding, Shortage):
            return decoding
        self.decoding = decoding
        streaming = self._streaming()
        if isinstance(streaming, Shortage):
            return streaming
        self.streaming = streaming
        self.resident = self._resident()
        if not self.limits.offload:
            for stage, part in self.stages:
                need = self.device_need(stage, part, frozenset(self.parts))
                if need > self.allowed:
                    return Shortage(stage, self.memory, need, self.allowed)
        dropped = self._dropped()
        if isinstance(dropped, Shortage):
            return dropped
        return MemoryPlan(
            machine=self.machine,
            limits=self.limits,
            dtypes=self.dtypes,
            budget=self.budget,
            resident=self.resident,
            dropped=dropped,
            streaming=replace(self.streaming, pinned=self._can_pin(dropped)),
            decoding=self.decoding,
            stages=tuple(self._stage(*stage, dropped) for stage in self.stages),
        )

    def device_need(self, stage: str, part: str, resident: frozenset[str]) -> int:
        """Bytes of a stage with the other components that stay on the device."""
        if part == NETWORK and self.streaming.prompt_layers:
            own = self._streamed_need(self.streaming.streamed)
        else:
            own = stage_alone(self.peaks, stage, part, self.decoding.tile_size, self.decoding.batch)
        return own + sum(self.weights(other) for other in resident if other != part)

    def _decoding(self, beside: tuple[str, ...] = ()) -> Decoding | Shortage:
        """The largest tiles and batch of the VAE that fit beside other components."""
        tile_size, batch = default_tile_size(torch.device(self.machine.device)), self.workload.sounds
        if not self.limits.offload:
            beside = tuple(part for part in self.parts if part != VAE)
        others = sum(map(self.weights, beside))
        while True:
            need = others + max(
                stage_alone(self.peaks, stage, part, tile_size, batch) for stage, part in self.stages if part == VAE
            )
            if need <= self.allowed:
                return Decoding(tile_size, batch)
            if tile_size > CPU_TILE_SIZE:
                tile_size //= 2
            elif batch > 1:
                batch = -(-batch // 2)
            else:
                return Shortage("decode", self.memory, need, self.allowed)

    def _streaming(self) -> BlockStreaming | Shortage:
        """The fewest blocks that have to stream."""
        blocks = self.model.network.blocks
        for stage, part in self.stages:
            need = stage_alone(self.peaks, stage, part, self.decoding.tile_size, self.decoding.batch)
            if need <= self.allowed:
                continue
            if part != NETWORK or self.machine.unified or not self.limits.offload:
                return Shortage(stage, self.memory, need, self.allowed)
            for streamed in range(blocks + 1):
                if self._streamed_need(streamed) <= self.allowed:
                    return BlockStreaming(blocks, streamed, prompt_layers=True)
            return Shortage(stage, self.memory, self._streamed_need(blocks), self.allowed)
        return BlockStreaming(blocks)

    def _streamed_need(self, streamed: int) -> int:
        """The network's bytes on the device: two streamed blocks at a time, one of which is on its way."""
        size, network = self.dtypes.network.itemsize, self.model.network
        resident = (network.blocks - streamed) * network.block + network.rest
        prepare = (resident + 2 * network.largest_prompt_layer) * size + self.peaks.prepare
        steps = (resident + min(2, streamed) * network.block) * size + self.peaks.steps
        return max(prepare, steps) + LIBRARY_BYTES

    def _resident(self) -> frozenset[str]:
        """Components that can stay through all stages; all without offloading, none if other models take turns."""
        if not self.limits.offload:
            return frozenset(self.parts)
        resident: frozenset[str] = frozenset()
        if self.limits.models > 1 and not self.machine.unified:
            return resident
        for part in self.parts:
            if part == NETWORK and self.streaming.prompt_layers:
                continue
            more = resident | {part}
            if all(self.device_need(stage, used, more) <= self.allowed for stage, used in self.stages):
                resident = more
        return resident

    def _dropped(self) -> frozenset[str] | Shortage:
        """Components that RAM cannot hold between their stages."""
        leaving = frozenset(self.parts) - self.resident
        if self.machine.unified:
            return leaving
        in_ram = leaving
        for part in (None, *reversed(self.parts)):
            in_ram -= {part}
            needs = [(self._ram_need(used, in_ram), stage) for stage, used in self.stages]
            need, stage = max(needs, key=lambda each: each[0])
            if need <= self.budget.ram:
                return leaving - in_ram
        return Shortage(stage, "RAM", need, self.budget.ram)

    def _ram_need(self, part: str, in_ram: frozenset[str]) -> int:
        """RAM of a stage on a device with its own memory: what waits there, and the component read from its file."""
        return sum(self.weights(other) for other in in_ram | {part})

    def _can_pin(self, dropped: frozenset[str]) -> bool:
        """Whether RAM can hold the streamed blocks twice."""
        in_ram = frozenset(self.parts) - self.resident - dropped
        streamed = self.streaming.streamed
        more = streamed * self.model.network.block * self.dtypes.network.itemsize
        return streamed > 0 and max(self._ram_need(part, in_ram) for part in self.parts) + more <= self.budget.ram

    def _stage(self, stage: str, part: str, dropped: frozenset[str]) -> StageMemory:
        need = self.device_need(stage, part, self.resident)
        if self.machine.unified:
            return StageMemory(stage, part, 0, need)
        in_ram = frozenset(self.parts) - self.resident - dropped
        return StageMemory(stage, part, need, self._ram_need(part, in_ram))
