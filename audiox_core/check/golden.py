"""The numbers that every module of the demo should give, computed in float32 on a CPU.

`python -m tools.make_check_golden` writes them. An output is stored as a sample of its values and its norm.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoint.reader import TensorFile

FILE = Path(__file__).parent / "golden.safetensors"
SAMPLES = 2000
"""Values stored of each output, evenly spaced."""


@dataclass(frozen=True)
class Stored:
    """What is stored of an output: samples (up to SAMPLES,) and norm, as float64."""

    samples: Tensor
    norm: float

    @classmethod
    def of(cls, output: Tensor) -> Stored:
        """From the whole output of a module, on any device, in any type."""
        flat = output.detach().cpu().double().flatten()
        positions = torch.linspace(0, len(flat) - 1, min(SAMPLES, len(flat)), dtype=torch.float64).round().long()
        return cls(flat[positions], flat.norm().item())

    def distance(self, expected: Stored) -> float:
        """Relative to the expected: of the samples together, or of the norms, whichever is larger."""
        if self.samples.shape != expected.samples.shape:
            return float("inf")
        samples = ((self.samples - expected.samples).norm() / expected.samples.norm()).item()
        norms = abs(self.norm / expected.norm - 1)
        return samples if samples != samples else max(samples, norms)  # NaN stays NaN


def read_golden(path: Path = FILE) -> dict[str, Stored]:
    """Stored outputs by the name of their case."""
    file = TensorFile(path)
    tensors, norms = file.open(), json.loads(file.metadata["norms"])
    return {name: Stored(tensors.read(name).double(), norms[name]) for name in file.shapes}


def read_expected(path: Path = FILE) -> dict[str, Any]:
    """What the demo's sound is like (see `fingerprint`) and how many prompts it answers."""
    return dict(json.loads(TensorFile(path).metadata["sound"]))
