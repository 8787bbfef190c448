"""A short run of a model: four steps with a fixed seed, each stage timed and its memory watched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint import Checkpoint, open_checkpoint
from ..demo import demo_path
from ..memory import Dtypes, MemoryPlan, ModelFootprint, Workload, detect, plan_memory
from ..memory.dtypes import default_dtype
from ..memory.report import MemoryWatch
from ..pipeline import AudioX
from ..release.components import T5, TOKENIZER
from ..sampling.presets import RunSettings, resolve_settings
from .answers import QUESTIONS, SECONDS, wrong_answers

STEPS, SEED = 4, 1
PROMPT = "slow ticking of a clock"
AFFORDABLE = 20.0
"""A run that took no more seconds than this is repeated, so that reading the files is not timed."""


@dataclass
class Clock:
    """Seconds of each stage, and the memory that it took."""

    watch: MemoryWatch
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; see `AudioX.stage`."""
        with self.watch.stage(name):
            start = time.perf_counter()
            yield
            synchronize(self.watch.device)
            self.seconds[name] = time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


class Trial:
    """A model on a device in its default types, with the memory plan that `audiox generate` makes."""

    def __init__(self, model: Path | None, device: str) -> None:
        """model: file or folder; None for the demo. Raises AudioXError as opening and planning do."""
        self.is_demo = model is None
        self.checkpoint: Checkpoint = open_checkpoint(demo_path() if model is None else model)
        self.dtypes = Dtypes(default_dtype(device), default_dtype(device))
        self.device = torch.device(device)
        workload = Workload(rows=self.settings.evaluations)
        footprint = ModelFootprint.of(self.checkpoint)
        self.plan: MemoryPlan = plan_memory(footprint, workload, detect(device), dtypes=self.dtypes)
        self.clock = Clock(MemoryWatch(self.device))
        self.loading = 0.0
        """Seconds that the first run took longer than the second; 0 if there was no second one."""

    @cached_property
    def model(self) -> AudioX:
        model = AudioX(self.checkpoint, self.device, self.dtypes.network, vae_dtype=self.dtypes.vae, plan=self.plan)
        model.stage = self.clock.stage
        return model

    @cached_property
    def settings(self) -> RunSettings:
        return resolve_settings(self.checkpoint.variant, steps=STEPS, guidance=self.checkpoint.guidance)

    @property
    def has_text(self) -> bool:
        """Whether a text can be encoded."""
        return {T5, TOKENIZER} <= set(self.checkpoint.parts)

    @cached_property
    def sound(self) -> Tensor:
        """The sound (2, samples), 10 s long; its stages are timed."""
        start = time.perf_counter()
        sound = self._generate()
        first = time.perf_counter() - start
        if first <= AFFORDABLE:
            sound = self._generate()
            self.loading = first - sum(self.clock.seconds.values())
        return sound

    def _generate(self) -> Tensor:
        prompt = self.model.prompt(PROMPT if self.has_text else "")
        return self.model.generate(prompt, seeds=[SEED], settings=self.settings)[0]

    def wrong_answers(self) -> list[str]:
        """Which of the demo's `answers.QUESTIONS` it gets wrong."""
        prompts = [self.model.prompt(each.prompt) for each in QUESTIONS]
        latents = self.model.sample(prompts, self.settings, range(len(QUESTIONS)))
        return wrong_answers(self.model.decode(latents, seconds=SECONDS).numpy())
