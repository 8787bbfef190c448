"""The machine: system, processor, devices, free memory and disk."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ..errors import AudioXError
from ..memory.devices import check_device
from ..memory.machine import GB, detect
from ..release.files import RELEASES, gigabytes
from .result import Result, State, ok, problem, stop, warning

LEAST_RAM = 2 * GB
"""The demo runs in less; the released models say themselves what they need."""

LEAST_DISK = 10**9
"""Bytes that sounds, and a model's temporary files, may take."""

DOWNLOAD = RELEASES["turbo"].size
"""Bytes of AudioX-Turbo."""

INSTRUCTIONS = {
    "AVX2": "_is_avx2_supported",
    "AVX-512": "_is_avx512_supported",
    "AVX-512 bf16": "_is_avx512_bf16_supported",
    "VNNI": "_is_vnni_supported",
    "AMX": "_is_amx_tile_supported",
}
"""Instructions -> what torch.cpu calls the question; which of them a version of torch answers, differs."""


def check_machine(device: str, models: Path, *, downloaded: bool) -> Iterator[Result]:
    """System, processor, the devices, the chosen one, memory and the models' folder.

    downloaded: whether a released model is there, so that no room for it is needed.
    """
    yield ok("system", f"{platform.platform()}", system=platform.system(), machine=platform.machine())
    yield _processor()
    devices = [name for name, found in _devices() if found]
    yield ok("devices", "; ".join(text for _, text in _devices() if text) or "no GPU", names=devices)
    yield _chosen(device)
    yield _ram()
    yield from check_folder(models, downloaded=downloaded)


def usable(device: str) -> bool:
    """Whether the device exists."""
    return _chosen(device).state is State.OK


def _processor() -> Result:
    name = processor_name()
    found = [words for words, question in INSTRUCTIONS.items() if _answer(question)]
    level = torch.backends.cpu.get_cpu_capability()
    text = f"{name}, {torch.get_num_threads()} threads; torch uses {level}"
    text += f" ({', '.join(found)})" if found else ""
    return ok("processor", text, model=name, capability=level, instructions=found, threads=torch.get_num_threads())


def _answer(question: str) -> bool:
    ask = getattr(torch.cpu, question, None)
    return bool(ask and ask())


def processor_name() -> str:
    """The processor's model, as the system calls it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text("utf-8", errors="replace").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.lower().startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _devices() -> Iterator[tuple[str, str]]:
    """(name, description) of each device other than the processor."""
    for kind in ("cuda", "xpu"):
        backend = getattr(torch, kind, None)
        if backend is None or not backend.is_available():
            continue
        for index in range(backend.device_count()):
            yield f"{kind}:{index}", f"{kind}:{index} {_describe(kind, index)}"
    if torch.backends.mps.is_available():
        yield "mps", "mps (Apple)"


def _describe(kind: str, index: int) -> str:
    properties: Any = getattr(torch, kind).get_device_properties(index)
    words = [properties.name, f"{properties.total_memory / GB:.1f} GB"]
    if kind == "cuda":
        words.append(f"capability {properties.major}.{properties.minor}")
        with torch.cuda.device(index):
            half = torch.cuda.is_bf16_supported(including_emulation=False)
        words += ["bf16" if half else "no bf16", f"CUDA {torch.version.cuda}" if torch.version.cuda else "ROCm"]
    return ", ".join(words)


def _chosen(device: str) -> Result:
    try:
        check_device(device)
    except AudioXError as error:
        advice = f"Choose one of: {', '.join(['cpu', *(name for name, _ in _devices())])}."
        return stop("device", f"{device} cannot be used here ({_reason(error)})", advice, device=device)
    return ok("device", device, device=device)


def _reason(error: AudioXError) -> str:
    """What torch said."""
    return str(error.__cause__).splitlines()[0].rstrip(".") if error.__cause__ else str(error)


def _ram() -> Result:
    machine = detect("cpu")
    text = f"{machine.ram_free / GB:.1f} of {machine.ram_total / GB:.1f} GB free"
    values = {"free": machine.ram_free, "total": machine.ram_total}
    if machine.ram_free < LEAST_RAM:
        return warning("memory", text, "Close other programs: the system may stop a run for lack of memory.", **values)
    return ok("memory", text, **values)


def check_folder(models: Path, *, downloaded: bool) -> Iterator[Result]:
    """Room in the models' folder, and whether it can be written to. Nothing stays there."""
    existing = next(path for path in (models.absolute(), *models.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    text = f"{gigabytes(free)} free for {models.name}"
    if free < LEAST_DISK:
        yield problem("disk", text, "Free some space: sounds and downloads cannot be written.", free=free)
    elif not downloaded and free < DOWNLOAD:
        advice = f"AudioX-Turbo takes {gigabytes(DOWNLOAD)}: give another folder with `audiox download turbo --to`."
        yield warning("disk", text, advice, free=free)
    else:
        yield ok("disk", text, free=free)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        advice = "Give yourself the right to write there, or download to another folder with --to."
        yield problem("models folder", f"{models} cannot be written to ({error.strerror})", advice)
    else:
        yield ok("models folder", f"{models} can be written to", exists=models.is_dir())
