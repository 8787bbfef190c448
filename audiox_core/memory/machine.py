"""How much memory a machine has, and how much of it may be used."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import AudioXError

GB = 2**30
"""The gigabyte of memory sizes, as drivers and the official code print it."""

VRAM_SHARE, RAM_SHARE = 0.9, 0.8
"""Default shares of the free memory that may be used."""


@dataclass(frozen=True)
class Machine:
    """Bytes of a device's memory and of the system's. vram is 0 for devices without their own memory."""

    device: str
    vram_total: int
    vram_free: int
    ram_total: int
    ram_free: int

    @property
    def unified(self) -> bool:
        """Whether the device works in the system's memory (CPU, Apple's MPS): moving weights to it frees nothing."""
        return torch.device(self.device).type in ("cpu", "mps")


@dataclass(frozen=True)
class Limits:
    """What may be used: bytes, or None for a share of what is free.

    offload: components and blocks may leave the device. models: how many take turns on the machine; each gets its
    share of the RAM, and the device to itself during its turn.
    """

    max_vram: int | None = None
    max_ram: int | None = None
    offload: bool = True
    models: int = 1

    def __post_init__(self) -> None:
        for name, limit in (("VRAM", self.max_vram), ("RAM", self.max_ram)):
            if limit is not None and limit <= 0:
                raise AudioXError(f"The limit for {name} is {limit / GB:g} GB, expected more than 0.")

    def vram(self, machine: Machine) -> int:
        """Bytes of the device's memory that may be used, never more than are free."""
        return allowed(machine.vram_free, self.max_vram, VRAM_SHARE)

    def ram(self, machine: Machine) -> int:
        """Bytes of the system's memory that may be used, never more than are free."""
        return allowed(machine.ram_free, self.max_ram, RAM_SHARE)


def allowed(free: int, limit: int | None, share: float) -> int:
    """Bytes that may be used of the free ones."""
    return int(free * share) if limit is None else min(limit, free)


def detect(device: str | torch.device) -> Machine:
    """The machine as it is now.

    Raises:
        AudioXError: psutil, which comes with accelerate, is missing.
    """
    try:
        import psutil
    except ImportError as error:
        raise AudioXError("Planning memory needs psutil: pip install accelerate psutil.") from error
    device = torch.device(device)
    ram = psutil.virtual_memory()
    free, total = _vram(device)
    return Machine(str(device), total, free, ram.total, ram.available)


def _vram(device: torch.device) -> tuple[int, int]:
    """(free, total) bytes of a device."""
    if device.type == "mps":
        total = torch.mps.recommended_max_memory()
        return total - torch.mps.driver_allocated_memory(), total
    mem_get_info = getattr(getattr(torch, device.type, None), "mem_get_info", None)
    return (0, 0) if mem_get_info is None else mem_get_info(device)
