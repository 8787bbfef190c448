"""Video to sound at several lengths: peak memory, exact length, and whether sound and picture agree to the end.

    python -m benchmarks.memory length [--seconds 10 60 600] [--checkpoint PATH]

Each length is a process of its own that does the whole run with the demo checkpoint, or another one: read the video
(flashes, drawn for it), encode, sample, decode, measure. Counted is the largest resident memory (anonymous and file
pages) above that before the model is opened, less the sound itself, which grows with its length whoever makes it.
Exits with 1 where a length needs more than 1.1 times what the first one needs, or a sound is off by a sample.
Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from devtools.paths import ROOT

from .peak import Peak

LIMIT = 1.1
FLASH_EVERY = 1.3


def flash_times(seconds: float) -> tuple[float, ...]:
    """On the grid of 25 pictures a second, up to half a second before the end."""
    return tuple(round((0.8 + i * FLASH_EVERY) * 25) / 25 for i in range(int((seconds - 1.3) / FLASH_EVERY) + 1))


def write_video(path: Path, seconds: float) -> None:
    import av
    import numpy as np

    from training.world.films import COLOURS, GLOW

    times, colour = flash_times(seconds), np.array(COLOURS["ping"], np.float32)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width = stream.height = 96
        stream.pix_fmt = "yuv420p"
        for k in range(round(seconds * 25)):
            ages = [k / 25 - time for time in times if time <= k / 25 + 1e-6]
            light = np.exp(-ages[-1] / GLOW) if ages else 0.0
            level = np.clip(0.12 * colour + 20 + light * (0.88 * colour - 20), 0, 255).astype(np.uint8)
            picture = np.broadcast_to(level, (96, 96, 3))
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        output.mux(stream.encode())


def run_case(path: str, checkpoint: str, seconds: float) -> dict[str, float]:
    """One length in this process."""
    import time

    import torch

    from audiox_core.lengths import SAMPLE_RATE
    from audiox_core.measure.onsets import find_onsets
    from audiox_core.pipeline import AudioX
    from training.evaluation import events
    from training.world import films

    begin = time.perf_counter()
    with Peak() as peak:
        model = AudioX.open(checkpoint, device="cpu", dtype=torch.float32)
        prompt = model.prompt(films.GENERIC, video=path, seconds=seconds)
        sound = model.generate(prompt, seconds=seconds)[0]
    took = time.perf_counter() - begin
    times, heard = flash_times(seconds), find_onsets(sound.numpy())
    last = [t for t in times if t > seconds - 10]
    near = [t for t in heard if t > seconds - 10.1]
    return {
        "off": sound.shape[1] - round(seconds * SAMPLE_RATE),
        "peak": peak.most - sound.nbytes,
        "sound": sound.nbytes,
        "answered": events.align(heard, times).answered / len(times),
        "answered_last": events.align(near, last).answered / len(last),
        "took": took,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 60.0, 600.0])
    parser.add_argument("--checkpoint", default=str(ROOT / "audiox_core" / "demo" / "demo_turbo.safetensors"))
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    if options.case:
        path, seconds = options.case
        print(json.dumps(run_case(path, options.checkpoint, float(seconds))))
        return 0
    print(
        "| length | peak without the sound | against the first | sound | flashes answered within 100 ms | in the "
        "last 10 s | seconds |\n|---|---|---|---|---|---|---|"
    )
    first, failed = None, False
    for seconds in options.seconds:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "flashes.mp4"
            write_video(path, seconds)
            command = [sys.executable, "-m", "benchmarks.memory", "length", "--checkpoint", options.checkpoint]
            command += ["--case", str(path), str(seconds)]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])
        first = first or found["peak"]
        ratio = found["peak"] / first
        failed |= ratio > LIMIT or found["off"] != 0
        print(
            f"| {seconds:g} s | {found['peak'] / 2**20:.0f} MiB | {ratio:.2f} | {found['sound'] / 2**20:.0f} MiB, "
            f"{found['off']:+d} samples | {found['answered']:.0%} | {found['answered_last']:.0%} | "
            f"{found['took']:.1f} |",
            flush=True,
        )
    return int(failed)
