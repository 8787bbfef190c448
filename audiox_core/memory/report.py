"""The memory report: what was planned, and what was measured."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from ..release.components import NETWORK
from .machine import GB, RAM_SHARE, VRAM_SHARE
from .plan import MemoryPlan, StageMemory

LINE = "=" * 50
HALF_NAMES = {torch.float16: "FP16", torch.bfloat16: "BF16"}
INTERVAL = 0.02
"""Seconds between two readings of the process's memory."""


def plan_report(plan: MemoryPlan, *, by_hand: bool = False) -> str:
    """The report before a run, in the official code's form with the stages added. by_hand: the user chose the type."""
    machine, limits = plan.machine, plan.limits
    none = f"none ({machine.device} works in RAM)"
    vram = none if machine.unified else f"{gb(machine.vram_total)} total, {gb(machine.vram_free)} available"
    lines = [
        LINE,
        "VRAM Optimization Settings:",
        f"  - FP16 (half precision): {precision_label(plan.dtypes.network, by_hand)}",
        f"  - CPU offloading: {'Enabled by default' if limits.offload else 'Disabled'}",
        "",
        "System Memory Detection:",
        f"  - VRAM: {vram}",
        f"  - RAM: {gb(machine.ram_total)} total, {gb(machine.ram_free)} available",
        "",
        "Planned Memory Allocation:",
    ]
    if not machine.unified:
        lines.append(f"  - Using: {gb(plan.budget.vram)} VRAM ({source(limits.max_vram, VRAM_SHARE)})")
    lines.append(f"  - Using: {gb(plan.budget.ram)} RAM ({source(limits.max_ram, RAM_SHARE)})")
    return "\n".join([*lines, "", "Planned Stages:", *stage_lines(plan), LINE])


def precision_label(dtype: torch.dtype, by_hand: bool) -> str:
    """Whether half precision is on, and who decided it."""
    if dtype not in HALF_NAMES:
        return "Disabled" if by_hand else "Disabled by default on this device"
    return f"Enabled{'' if by_hand else ' by default'}" + (" (as BF16)" if dtype == torch.bfloat16 else "")


def source(limit: int | None, share: float) -> str:
    """Where a budget comes from."""
    return f"{share:.0%} of available" if limit is None else "as limited"


def stage_lines(plan: MemoryPlan) -> list[str]:
    """One line for each stage: its component, its peak, and what becomes of the component."""
    return [f"  - {stage.name} ({stage.part}): {_memory(stage)}, {_after(plan, stage.part)}" for stage in plan.stages]


def _memory(stage: StageMemory) -> str:
    return f"{gb(stage.vram)} VRAM, {gb(stage.ram)} RAM" if stage.vram else f"{gb(stage.ram)} RAM"


def _after(plan: MemoryPlan, part: str) -> str:
    streaming = plan.streaming
    if part == NETWORK and streaming.prompt_layers:
        return f"{plan.resident_blocks} of {streaming.blocks} blocks on the device, {streaming.streamed} stream"
    if part in plan.resident:
        return "stays"
    return "read again when needed" if part in plan.dropped else "moves to RAM"


def gb(size: int) -> str:
    """'8.0GB'."""
    return f"{size / GB:.1f}GB"


@dataclass
class MemoryWatch:
    """Peak memory of the process and of the device in each stage: bytes by the stage's name."""

    device: torch.device
    ram: dict[str, int] = field(default_factory=dict)
    vram: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Watch the memory while the block runs."""
        import psutil

        process, done = psutil.Process(), threading.Event()
        self.ram[name] = max(self.ram.get(name, 0), process.memory_info().rss)

        def watch() -> None:
            while not done.wait(INTERVAL):
                self.ram[name] = max(self.ram[name], process.memory_info().rss)

        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self.ram[name] = max(self.ram[name], process.memory_info().rss)
            if self.device.type == "cuda":
                self.vram[name] = max(self.vram.get(name, 0), torch.cuda.max_memory_reserved(self.device))

    def seen(self) -> str:
        """The report after a run. RAM is that of the whole process, including libraries and mapped files."""
        lines = [LINE, "Peak Memory:"]
        for name, ram in self.ram.items():
            vram = f"{gb(self.vram[name])} VRAM, " if name in self.vram else ""
            lines.append(f"  - {name}: {vram}{gb(ram)} RAM")
        return "\n".join([*lines, LINE])
