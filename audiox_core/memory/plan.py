"""The plan of a run: what sits where in each stage, and what leaves before the next. Nothing here touches a device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from ..errors import AudioXError
from ..models.synchformer import segments_at_once
from ..models.tiling import CPU_TILE_SIZE, default_tile_size
from .machine import GB, Limits, Machine
from .needs import ActivationPeaks, Dtypes, ModelFootprint, Workload

WORKSPACE = 2**28
"""Set aside for what libraries take inside operators: cuBLAS and cuDNN work space, MKL's packed weights."""

KEEP_FIRST = ("network", "vae", "t5", "clip_vision", "synchformer")
"""Parts in the order in which they are worth keeping where they are used."""


@dataclass(frozen=True)
class StageMemory:
    """Planned peaks of a stage in bytes, the libraries' share included. vram is 0 without a memory of the device."""

    name: str
    part: str
    vram: int
    ram: int


@dataclass(frozen=True)
class MemoryPlan:
    """vram, ram: bytes that may be used.

    stays: parts that stay on the device after their stages. goes: parts that are dropped after each stage and read
    from their file again; the others move to RAM. Of the network's blocks, streamed_blocks come to the device for
    their turn only, and with streams_prompt so does everything that runs once per prompt; pins: from memory that a GPU
    reads while it computes, of which torch takes up to twice as much.
    piece: see `model.vae`. decode_sounds: sounds that are decoded at once.
    """

    machine: Machine
    limits: Limits
    dtypes: Dtypes
    vram: int
    ram: int
    stays: frozenset[str]
    goes: frozenset[str]
    blocks: int
    streamed_blocks: int
    streams_prompt: bool
    pins: bool
    piece: int
    decode_sounds: int
    stages: tuple[StageMemory, ...]

    @property
    def resident_blocks(self) -> int:
        return self.blocks - self.streamed_blocks

    @property
    def room(self) -> int:
        """Bytes of VRAM that may be used and that no stage needs."""
        return self.vram - max(stage.vram for stage in self.stages)


@dataclass(frozen=True)
class Shortage:
    """What kept a plan from being made."""

    stage: str
    memory: str
    need: int
    allowed: int


def plan_memory(
    model: ModelFootprint, job: Workload, machine: Machine, limits: Limits | None = None, dtypes: Dtypes | None = None
) -> MemoryPlan:
    """The plan that moves least within the limits.

    Raises:
        AudioXError: nothing fits; the sentence says what would.
    """
    limits, dtypes = limits or Limits(), dtypes or Dtypes()
    found = _Planner(model, job, machine, limits, dtypes).find()
    if isinstance(found, MemoryPlan):
        return found
    raise AudioXError(
        f"The stage '{found.stage}' needs {found.need / GB:.2f} GB of {found.memory}, {found.allowed / GB:.2f} GB may "
        f"be used: {_remedy(model, job, machine, limits, dtypes, found)}."
    )


def _remedy(
    model: ModelFootprint, job: Workload, machine: Machine, limits: Limits, dtypes: Dtypes, shortage: Shortage
) -> str:
    """What would fit."""
    changed: list[str] = []
    for words, planner in _changes(model, job, machine, limits, dtypes):
        changed = [*(kept for kept in changed if "--batch" not in kept), words]
        if isinstance(planner.find(), MemoryPlan):
            return f"{' and '.join(changed)} would fit"
    if not machine.unified:
        on_cpu = replace(machine, device="cpu", vram_free=0, vram_total=0)
        if isinstance(_Planner(model, job, on_cpu, replace(limits, offload=True), dtypes).find(), MemoryPlan):
            return "--device cpu would fit"
    if (limits.max_vram if shortage.memory == "VRAM" else limits.max_ram) is None:
        return "close other programs, or take a machine with more"
    return f"raise --max-{shortage.memory.lower()}"


def _changes(
    model: ModelFootprint, job: Workload, machine: Machine, limits: Limits, dtypes: Dtypes
) -> Iterator[tuple[str, _Planner]]:
    """Runs that need less, each with the changes before it, the mildest first."""
    if not limits.offload:
        limits = replace(limits, offload=True)
        yield "offloading (no --no-cpu-offload)", _Planner(model, job, machine, limits, dtypes)
    if dtypes.network == torch.float32:
        dtypes = replace(dtypes, network=torch.bfloat16, encoders=torch.bfloat16)
        yield "half precision (--dtype bf16, no --no-half)", _Planner(model, job, machine, limits, dtypes)
    while job.sounds > 1:
        fewer = job.sounds // 2
        job = replace(job, sounds=fewer, prompts=min(job.prompts, fewer))
        yield f"fewer sounds at a time (--batch {fewer})", _Planner(model, job, machine, limits, dtypes)


def stage_alone(peaks: ActivationPeaks, stage: str, part: str, piece: int = CPU_TILE_SIZE, sounds: int = 1) -> int:
    """Bytes of a stage with nothing else on the device."""
    return peaks.model.weights(part, peaks.dtypes) + peaks.of(stage, part, piece, sounds) + WORKSPACE


def largest_need(model: ModelFootprint, job: Workload, dtypes: Dtypes, device: torch.device) -> int:
    """Bytes on a device of the stage that takes most, when the parts take turns and each is there as a whole."""
    peaks = ActivationPeaks(model, job, dtypes, segments_at_once(device))
    return max(stage_alone(peaks, stage, part) for stage, part in model.stages(job))


class _Planner:
    """The search for one model, job, machine and type."""

    def __init__(self, model: ModelFootprint, job: Workload, machine: Machine, limits: Limits, dtypes: Dtypes) -> None:
        self.model, self.job, self.machine, self.limits, self.dtypes = model, job, machine, limits, dtypes
        self.stages = model.stages(job)
        self.parts = [part for part in KEEP_FIRST if part in {part for _, part in self.stages}]
        self.peaks = ActivationPeaks(model, job, dtypes, segments_at_once(torch.device(machine.device)))
        self.ram = limits.ram(machine) // limits.models
        self.vram = limits.vram(machine)
        shared = torch.device(machine.device).type == "mps"  # the device's share of the system's memory
        self.allowed = min(self.vram, self.ram) if shared else self.ram if machine.unified else self.vram
        self.memory = "RAM" if machine.unified else "VRAM"

    def weights(self, part: str) -> int:
        return self.model.weights(part, self.dtypes)

    def find(self) -> MemoryPlan | Shortage:
        chosen = self._decoding(beside="network")
        if isinstance(chosen, Shortage):
            chosen = self._decoding()
        if isinstance(chosen, Shortage):
            return chosen
        self.piece, self.sounds = chosen
        streamed = self._streaming()
        if isinstance(streamed, Shortage):
            return streamed
        self.streamed, self.streams_prompt = streamed
        self.stays = self._staying()
        if not self.limits.offload:
            for stage, part in self.stages:
                need = self.device_need(stage, part, frozenset(self.parts))
                if need > self.allowed:
                    return Shortage(stage, self.memory, need, self.allowed)
        goes = frozenset(self.parts) - self.stays if self.machine.unified else self._going()
        if isinstance(goes, Shortage):
            return goes
        return MemoryPlan(
            machine=self.machine,
            limits=self.limits,
            dtypes=self.dtypes,
            vram=self.vram,
            ram=self.ram,
            stays=self.stays,
            goes=goes,
            blocks=self.model.network.blocks,
            streamed_blocks=self.streamed,
            streams_prompt=self.streams_prompt,
            pins=self._pins(goes),
            piece=self.piece,
            decode_sounds=self.sounds,
            stages=tuple(self._stage(*each, goes) for each in self.stages),
        )

    def device_need(self, stage: str, part: str, stays: frozenset[str]) -> int:
        """Bytes of a stage with what stays from others."""
        if part == "network" and (self.streamed or self.streams_prompt):
            own = self._streamed_need(self.streamed)
        else:
            own = stage_alone(self.peaks, stage, part, self.piece, self.sounds)
        return own + sum(self.weights(other) for other in stays if other != part)

    def _decoding(self, beside: str = "") -> tuple[int, int] | Shortage:
        """The VAE's piece, and how many sounds are decoded at once: the most that fits alone or beside a part."""
        piece = default_tile_size(torch.device(self.machine.device))
        sounds = self.job.sounds
        stays = [beside] * bool(beside) if self.limits.offload else [part for part in self.parts if part != "vae"]
        others = sum(map(self.weights, stays))
        while True:
            need = max(
                stage_alone(self.peaks, stage, part, piece, sounds) for stage, part in self.stages if part == "vae"
            )
            if need + others <= self.allowed:
                return piece, sounds
            if piece > CPU_TILE_SIZE:
                piece //= 2
            elif sounds > 1:
                sounds = -(-sounds // 2)
            else:
                return Shortage("decode", self.memory, need + others, self.allowed)

    def _streaming(self) -> tuple[int, bool] | Shortage:
        """How many blocks stream, and whether what runs once per prompt does."""
        for stage, part in self.stages:
            need = stage_alone(self.peaks, stage, part, self.piece, self.sounds)
            if need <= self.allowed:
                continue
            if part != "network" or self.machine.unified or not self.limits.offload:
                return Shortage(stage, self.memory, need, self.allowed)
            for streamed in range(self.model.network.blocks + 1):
                if self._streamed_need(streamed) <= self.allowed:
                    return streamed, True
            return Shortage(stage, self.memory, self._streamed_need(self.model.network.blocks), self.allowed)
        return 0, False

    def _streamed_need(self, streamed: int) -> int:
        """The network's bytes on the device: two streamed blocks at a time, one of which is on its way."""
        size, network = self.dtypes.network.itemsize, self.model.network
        resident = (network.blocks - streamed) * network.block + network.ends
        fuse = (resident + 2 * network.largest) * size + self.peaks.prepare
        steps = (resident + min(2, streamed) * network.block) * size + self.peaks.steps
        return max(fuse, steps) + WORKSPACE

    def _staying(self) -> frozenset[str]:
        """Parts that can stay through all stages; without offloading, all; none where another model comes next."""
        if not self.limits.offload:
            return frozenset(self.parts)
        stays: frozenset[str] = frozenset()
        if self.limits.models > 1 and not self.machine.unified:
            return stays
        for part in self.parts:
            if part == "network" and (self.streamed or self.streams_prompt):
                continue
            more = stays | {part}
            if all(self.device_need(stage, used, more) <= self.allowed for stage, used in self.stages):
                stays = more
        return stays

    def _going(self) -> frozenset[str] | Shortage:
        """Parts for which there is no room in RAM between their stages."""
        kept: frozenset[str] = frozenset(self.parts) - self.stays
        for part in (None, *reversed(self.parts)):
            kept -= {part}
            stage, need = max(((stage, self._ram_need(used, kept)) for stage, used in self.stages), key=lambda x: x[1])
            if need <= self.ram:
                return frozenset(self.parts) - self.stays - kept
        return Shortage(stage, "RAM", need, self.ram)

    def _ram_need(self, part: str, kept: frozenset[str]) -> int:
        """RAM of a stage beside a device with its own: what is kept, and the stage's part on its way from the file."""
        return sum(self.weights(other) for other in kept | {part})

    def _pins(self, goes: frozenset[str]) -> bool:
        """Whether RAM has room for the streamed blocks twice."""
        kept = frozenset(self.parts) - self.stays - goes
        more = self.streamed * self.model.network.block * self.dtypes.network.itemsize
        return self.streamed > 0 and max(self._ram_need(part, kept) for part in self.parts) + more <= self.ram

    def _stage(self, stage: str, part: str, goes: frozenset[str]) -> StageMemory:
        need = self.device_need(stage, part, self.stays)
        if self.machine.unified:
            return StageMemory(stage, part, 0, need)
        return StageMemory(stage, part, need, self._ram_need(part, frozenset(self.parts) - self.stays - goes))
