"""What each stage of a run took, beside what it has to take and what it was to need."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch

from ..lengths import COVERED_FRAMES, DECODE_REACH
from ..memory import MemoryPlan
from ..memory.report import MemoryWatch, gb
from ..models.attention import sdpa
from .floors import bandwidth, matrix_rate, stage_work
from .launches import count_launches
from .result import Result, ok, skipped, warning
from .trial import Trial

TITLES = {"encode": "read the prompt", "sample": "sample", "decode": "decode"}
PLANNED = {"encode": "encode text", "sample": "sample", "decode": "decode"}
"""Stage -> its name in a memory plan."""

REPEAT = 4
"""How often a rate is measured; the best counts."""

OVER_PLAN = 1.1
"""A stage that takes this many times the planned memory of a device is worth a look."""

GOAL_SECONDS = 0.06
"""For 10 s of sound by AudioX-Turbo in bfloat16 on an H200: what we work towards."""


def check_times(trial: Trial) -> Iterator[Result]:
    """The rates of the device, then a result for each stage, for its memory and for the whole."""
    rate = cache(lambda dtype: matrix_rate(trial.device, dtype, REPEAT))
    read = bandwidth(trial.device, REPEAT)
    dtype = trial.dtypes.network
    yield ok(
        "rates",
        f"{rate(dtype) / 1e9:,.0f} GFLOP/s in {name_of(dtype)}, {read / 1e9:,.0f} GB/s read from memory",
        operations=rate(dtype),
        bytes=read,
    )
    work = stage_work(trial.checkpoint, trial.settings, COVERED_FRAMES + DECODE_REACH)
    for stage, seconds in trial.clock.seconds.items():
        used = trial.dtypes.vae if stage == "decode" else dtype
        floor = work[stage].seconds(rate(used), read, used.itemsize) if stage in work else None
        yield _stage(stage, seconds, floor, used)
    total = sum(trial.clock.seconds.values())
    loading = f", and {trial.loading:.1f} s to read the files" if trial.loading else ", reading the files included"
    yield ok("10 s of sound", f"{total:.2f} s{loading}", seconds=total, loading=trial.loading)
    if trial.device.type == "cuda":
        yield from _cuda(trial, total)


def _stage(stage: str, seconds: float, floor: float | None, dtype: torch.dtype) -> Result:
    if floor is None:
        return ok(TITLES[stage], duration(seconds), seconds=seconds)
    text = f"{duration(seconds)} in {name_of(dtype)}, {seconds / floor:.1f} times the floor of {duration(floor)}"
    return ok(TITLES[stage], text, seconds=seconds, floor=floor, type=name_of(dtype))


def check_memory(plan: MemoryPlan, watch: MemoryWatch) -> Iterator[Result]:
    """What each stage was to need and what it took. RAM seen is that of the whole process, libraries included."""
    planned = {stage.name: stage for stage in plan.stages}
    for name, ram in watch.ram.items():
        stage, vram = planned.get(PLANNED[name]), watch.vram.get(name)
        values = {"ram_seen": ram, "vram_seen": vram}
        if stage is None:
            continue
        values |= {"ram_planned": stage.ram, "vram_planned": stage.vram}
        text = f"planned {gb(stage.ram)} RAM, seen {gb(ram)} in the whole process"
        if vram is not None:
            text += f"; planned {gb(stage.vram)} VRAM, seen {gb(vram)}"
        if vram is not None and vram > OVER_PLAN * stage.vram:
            yield warning(TITLES[name], text, "Give --max-vram some room below what your card has.", **values)
        else:
            yield ok(TITLES[name], text, **values)


def _cuda(trial: Trial, total: float) -> Iterator[Result]:
    """Not seen to run on a GPU by its authors."""
    if trial.checkpoint.variant == "turbo" and not trial.is_demo:
        text = f"{1000 * total:.0f} ms for 10 s of sound; the goal is {1000 * GOAL_SECONDS:.0f} ms on an H200 in bf16"
        yield ok("goal", text, seconds=total, goal=GOAL_SECONDS)
    network, inner = trial.model.network(), trial.checkpoint.sizes["network"].transformer
    context = network.null_context(1, torch.empty(0, dtype=trial.dtypes.network, device=trial.device))
    latent = torch.zeros(1, inner.latent_channels, inner.latent_length, device=trial.device, dtype=context.dtype)
    if trial.plan.streaming.streamed:
        yield skipped("launches", "the network streams from RAM, which would be counted too")
        return
    with trial.model.on_device("network", network), torch.inference_mode():
        prepared, time = network.prepare(context), torch.full((1,), 0.5, device=trial.device)
        found = count_launches(lambda: network(latent, time, prepared, sdpa))
    text = f"{found.kernels} kernels, {found.copies} copies, {found.waits} waits of the host in one evaluation"
    values = {"kernels": found.kernels, "copies": found.copies, "waits": found.waits}
    if found.waits:
        yield warning("launches", text, "The host should not wait inside a step; please report it.", **values)
    else:
        yield ok("launches", text, **values)


def duration(seconds: float) -> str:
    """'1.25 s' or '12.5 ms'."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def name_of(dtype: torch.dtype) -> str:
    """'bfloat16'."""
    return str(dtype).removeprefix("torch.")
