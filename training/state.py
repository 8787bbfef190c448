"""What every stage of the training shares: a schedule, a log of its curves, and going on where it stopped."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from audiox_core.media.files import written_whole

SAVE_EVERY = 250


def rate_at(step: int, steps: int, peak: float, warmup: int = 100) -> float:
    """Learning rate: a linear rise, then half a cosine down to a hundredth."""
    if step < warmup:
        return peak * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


@dataclass
class Stage:
    """One stage in a folder: `NAME.pt` holds its state, `NAME.jsonl` its curves."""

    name: str
    folder: Path
    model: nn.Module
    steps: int
    peak: float
    betas: tuple[float, float] = (0.9, 0.99)
    average: float = 0.0
    """Share of the past in the running average of the weights; 0 for none."""
    optimizer: torch.optim.Optimizer = field(init=False)
    averaged: dict[str, torch.Tensor] = field(init=False, default_factory=dict)
    start: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, self.peak, self.betas, weight_decay=0, fused=True)
        if self.state_file.exists():
            state = torch.load(self.state_file, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.averaged, self.start = state["averaged"], state["step"]
        elif self.average:
            self.averaged = {name: p.detach().clone() for name, p in self.model.state_dict().items()}

    @property
    def state_file(self) -> Path:
        return self.folder / f"{self.name}.pt"

    def run(self, loss_of: Callable[[int], dict[str, torch.Tensor]]) -> None:
        """Train to the last step. loss_of(step) gives named losses; `loss` is the one that is followed."""
        began, recent = time.monotonic(), {}
        for step in range(self.start, self.steps):
            for group in self.optimizer.param_groups:
                group["lr"] = rate_at(step, self.steps, self.peak)
            losses = loss_of(step)
            self.optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.follow(step)
            for name, value in losses.items():
                recent.setdefault(name, []).append(float(value.detach()))
            if (step + 1) % 25 == 0:
                self.log(step + 1, {name: sum(v) / len(v) for name, v in recent.items()}, time.monotonic() - began)
                recent = {}
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == self.steps:
                self.save(step + 1)

    def follow(self, step: int) -> None:
        """Move the averaged weights towards the present ones, fast at first."""
        if not self.average:
            return
        share = 1 - min(self.average, (1 + step) / (10 + step))
        for name, value in self.model.state_dict().items():
            self.averaged[name].lerp_(value, share)

    def save(self, step: int) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": step,
            "averaged": self.averaged,
        }
        with written_whole(self.state_file) as temporary:
            torch.save(state, temporary)
        self.start = step

    def log(self, step: int, values: dict[str, float], seconds: float) -> None:
        entry = {"step": step, "seconds": round(seconds, 1), **{k: round(v, 5) for k, v in values.items()}}
        with (self.folder / f"{self.name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        print(self.name, entry, flush=True)

    def finish(self) -> nn.Module:
        """The trained model, with averaged weights where there are any."""
        if self.averaged:
            self.model.load_state_dict(self.averaged)
        return self.model.eval().requires_grad_(False)


def curve(path: Path) -> Iterator[dict[str, float]]:
    """The logged entries of a stage."""
    for line in path.read_text("utf-8").splitlines():
        yield json.loads(line)
