"""Each side of a stage in a process of its own, run in turn, so that noise of the machine meets all sides alike."""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SETTLE_SECONDS = 0.3
"""Pause between two sides: a process's worker threads spin for a moment after their last task."""


@dataclass(frozen=True)
class Options:
    """What the command line chooses.

    depth, load_depth: transformer layers. segments: of Synchformer. device: "cpu" or "cuda". cpu_time: count the
    seconds that the processors worked for the process, not those of the wall clock.
    """

    official: str | None = None
    threads: int = 2
    depth: int = 6
    load_depth: int = 6
    segments: int = 4
    cpu_time: bool = False
    folder: str = ""
    device: str = "cpu"


@dataclass(frozen=True)
class Job:
    """What is timed. prepare: untimed, before each run. inference: run under torch.inference_mode."""

    run: Callable[[], Any]
    prepare: Callable[[], Any] = lambda: None
    inference: bool = True


@dataclass
class Result:
    """Times of one side in seconds, peak memory in bytes (see `peak_bytes`), and the first run's output."""

    seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None
    output: Any = None
    error: str | None = None


class Side:
    """A process that builds one side of a stage and runs it when asked."""

    def __init__(self, stage: str, label: str, options: Options) -> None:
        self.label, self.result = label, Result()
        context = multiprocessing.get_context("spawn")
        self.pipe, remote = context.Pipe()
        self.process = context.Process(target=_serve, args=(remote, stage, label, options), daemon=True)
        self.process.start()
        remote.close()
        self._receive()  # the side is built

    def run(self, keep: bool = True) -> None:
        """Run once; keep False for the warming run, whose output is taken and whose time is not."""
        if self.result.error is None:
            self.pipe.send("run" if keep else "warm")
            answer = self._receive()
            if answer is not None and keep:
                self.result.seconds.append(answer)
            elif answer is not None:
                self.result.output = answer[1]

    def finish(self) -> Result:
        """Ask for the peak memory and end the process."""
        if self.result.error is None:
            self.pipe.send("stop")
            self.result.peak_bytes = self._receive()
        self.process.join(10)
        self.process.kill()
        return self.result

    def _receive(self) -> Any:
        try:
            kind, value = self.pipe.recv()
        except EOFError:
            self.process.join(10)
            kind, value = "error", f"its process ended with exit code {self.process.exitcode}; see above"
        if kind == "error":
            self.result.error = value
            return None
        return value


def run_sides(stage: str, labels: list[str], options: Options, repeat: int, together: bool) -> dict[str, Result]:
    """Results by label. together: all sides stay in memory and run in turn, A B C A B C; else one after another."""
    groups = [labels] if together else [[label] for label in labels]
    results = {}
    for group in groups:
        sides = [Side(stage, label, options) for label in group]
        for run in range(repeat + 1):
            for side in sides:
                time.sleep(SETTLE_SECONDS)
                side.run(keep=run > 0)
        results |= {side.label: side.finish() for side in sides}
    return results


def _serve(pipe, stage: str, label: str, options: Options) -> None:
    """The process's life: build, then run on request; answers are ("ok", value) or ("error", sentence).

    An exception ends the process, with its traceback on stderr.
    """
    os.dup2(2, 1)  # what libraries print must not mix with the table
    try:
        import torch

        torch.set_num_threads(options.threads)
        torch.set_float32_matmul_precision("highest")
        base = memory("VmRSS")
        job = build(stage, label, options, torch)
        gc.collect()
        reset_peak()
        pipe.send(("ok", None))
        while (order := pipe.recv()) != "stop":
            pipe.send(("ok", _run(job, options, torch, with_output=order == "warm")))
        pipe.send(("ok", peak_bytes(options, base, torch)))
    except SystemExit as error:
        pipe.send(("error", str(error)))


def build(stage: str, label: str, options: Options, torch) -> Job:
    """The job of a stage on one side: "official", or "ours" followed by a type."""
    side, _, dtype = label.partition(" ")
    with torch.inference_mode():
        builder = getattr(importlib.import_module(f"benchmarks.{side}"), stage)
        return builder(options) if side == "official" else builder(options, getattr(torch, dtype))


def _run(job: Job, options: Options, torch, with_output: bool):
    """Seconds of one run, or with its output (as numpy)."""
    clock = time.process_time if options.cpu_time else time.perf_counter
    wait = torch.cuda.synchronize if options.device == "cuda" else lambda: None
    job.prepare()
    with torch.inference_mode(job.inference):
        wait()
        start = clock()
        output = job.run()
        wait()
        seconds = clock() - start
    if not with_output:
        return seconds
    if output is not None and output.dtype == torch.bfloat16:  # numpy has no such type
        output = output.float()
    return seconds, None if output is None else output.cpu().numpy()


def peak_bytes(options: Options, base: int | None, torch) -> int | None:
    """The most that was held: on the GPU, or in RAM above what the bare process has."""
    if options.device == "cuda":
        return torch.cuda.max_memory_allocated()
    peak = memory("VmHWM")
    return None if peak is None else peak - base


def memory(field_name: str) -> int | None:
    """Bytes of an entry of /proc/self/status; None where there is none."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    lines = status.read_text().splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(field_name + ":")), None)


def reset_peak() -> None:
    """Let the peak start again from now, so that building the model does not count."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def available_bytes() -> int | None:
    """Memory that processes can still have."""
    info = Path("/proc/meminfo")
    if not info.is_file():
        return None
    lines = info.read_text().splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def in_process(module_name: str, function: str, *arguments):
    """Call a function in a process of its own, so that its memory is given back; what it returns."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_call, module_name, function, arguments).result()


def _call(module_name: str, function: str, arguments: tuple):
    return getattr(importlib.import_module(module_name), function)(*arguments)
