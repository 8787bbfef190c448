"""Write the numbers that `audiox check` compares with: the demo's modules in float32 on a CPU, without oneDNN's help.

`python -m tools.make_check_golden [--distances]`; run it when the demo or an input of `audiox_core.check.cases`
changes. --distances writes nothing and shows how far each type is from the stored numbers on this machine, which is
what the limits in `audiox_core.check.parity` rest on.
"""

from __future__ import annotations

import json
import sys

import torch
from safetensors.torch import save_file

from audiox_core.check.answers import QUESTIONS
from audiox_core.check.cases import CASES
from audiox_core.check.fingerprint import Fingerprint
from audiox_core.check.golden import FILE, Stored, read_golden
from audiox_core.check.parity import TYPES, outcome
from audiox_core.check.trial import Trial
from audiox_core.checkpoint import open_checkpoint
from audiox_core.demo import demo_path
from audiox_core.memory import Dtypes
from audiox_core.stages import Stages


def write() -> None:
    """The golden file, from this machine's CPU."""
    stages = Stages(open_checkpoint(demo_path()))
    stored = {case.name: Stored.of(case.compute(stages)) for case in CASES}
    trial = Trial(None, "cpu")
    trial.dtypes = Dtypes()
    sound = {"fingerprint": Fingerprint.of(trial.sound).values, "right": len(QUESTIONS) - len(trial.wrong_answers())}
    metadata = {"norms": json.dumps({name: each.norm for name, each in stored.items()}), "sound": json.dumps(sound)}
    save_file({name: each.samples.float() for name, each in stored.items()}, FILE, metadata)
    print(f"{FILE}: {FILE.stat().st_size} bytes, {sound}")


def show_distances() -> None:
    """A table of the distances on this machine's CPU."""
    golden = read_golden()
    print(f"{'':20}" + "".join(f"{name:>10}" for name in TYPES))
    rows: dict[str, list[str]] = {case.name: [] for case in CASES}
    for dtype in TYPES.values():
        stages = Stages(open_checkpoint(demo_path()), dtype=dtype, vae_dtype=dtype)
        for case in CASES:
            found = outcome(case, stages, golden[case.name])
            rows[case.name].append(found.error or f"{found.distance:10.1e}")
    for name, cells in rows.items():
        print(f"{name:20}" + "".join(cells))


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    show_distances() if "--distances" in sys.argv else write()
