"""Turbo: four steps without guidance, distilled from Base.

Upstream matches distributions (DMD) with two more copies of the model. At this size a simpler distillation does: the
teacher's guided runs are solved once from known noise, and the student learns to jump to their ends. From pure noise
it learns the teacher's own pairing, which is what makes one jump sharp (rectified flow's second round, arXiv
2209.03003); from the three later times, freshly noised ends, as its sampler will show them.
"""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import torch
from torch import Tensor

from audiox_core.media.files import written_whole
from audiox_core.models.network import AudioXNetwork
from audiox_core.sampling import flow_sigmas
from audiox_core.sampling.presets import PRESETS

from .data import Batches
from .network import Context, Velocity, Weights, caller, in_half, matching_loss, prompts_in_half, trainable
from .state import Stage

BATCH = 32
GUIDANCES = (1.5, 3.0)
"""One student follows words better, the other films; the mean of their weights does both."""
TEACHER_STEPS = 16
TIMES = flow_sigmas(PRESETS["turbo"].steps)[:-1]


@torch.no_grad()
def guided_ends(velocity, weights: Weights, context: Tensor, noise: Tensor, guidance: float) -> Tensor:
    """Where the teacher's guided flow leads from the noise (B, 64, 236)."""
    both = torch.cat((context, torch.zeros_like(context)))
    x, times = noise, flow_sigmas(TEACHER_STEPS)
    for now, following in itertools.pairwise(times):
        t = x.new_full((2 * len(x),), now)
        towards, away = velocity(weights, torch.cat((x, x)).bfloat16(), t, both).float().chunk(2)
        x = x + (following - now) * (away + guidance * (towards - away))
    return x


def lessons(folder: Path, teacher: AudioXNetwork, batches: Batches, count: int, guidance: float) -> Tensor:
    """Where the teacher takes the noise of each seed below `count` (count, B, 64, 236); kept in a file."""
    path = folder / f"lessons_{guidance:g}.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    context, velocity = caller(Context(teacher)), caller(Velocity(teacher))
    weights = {name: w.detach() for name, w in in_half(teacher).items()}
    ends = []
    for step in range(count):
        _, prompts = batches.draw(step, BATCH, salt=29)
        with torch.no_grad():
            fused = context(weights, prompts_in_half(prompts))
        ends.append(guided_ends(velocity, weights, fused, noise_of(step), guidance).half())
        if step % 10 == 0:
            print("lessons", step, count, flush=True)
    stacked = torch.stack(ends)
    with written_whole(path) as temporary:
        torch.save(stacked, temporary)
    return stacked


def noise_of(seed: int) -> Tensor:
    return torch.randn(BATCH, 64, 236, generator=torch.Generator().manual_seed(1_000_000 + seed))


def train(folder: Path, steps: int, teacher: AudioXNetwork, batches: Batches, count: int) -> AudioXNetwork:
    """The trained Turbo: the mean of a student for each guidance, all of which begin as the teacher."""
    students = [taught(folder, steps, copy.deepcopy(teacher), batches, count, g) for g in GUIDANCES]
    states = [student.state_dict() for student in students]
    mean = {name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[0]}
    students[0].load_state_dict(mean)
    return students[0]


def taught(
    folder: Path, steps: int, student: AudioXNetwork, batches: Batches, count: int, guidance: float
) -> AudioXNetwork:
    """A student of a guidance; given as the teacher, it is trained on."""
    ends = lessons(folder, student, batches, count, guidance)
    trainable(student)
    stage = Stage(f"turbo_{guidance:g}", folder, student, steps, peak=5e-4, betas=(0.9, 0.98), average=0.995)
    context, velocity = caller(Context(student)), caller(Velocity(student))

    def losses(step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(step)
        lesson = step % count
        _, prompts = batches.draw(lesson, BATCH, salt=29)
        end, noise = ends[lesson].float(), noise_of(lesson)
        t = torch.tensor(TIMES)[(torch.arange(BATCH) + step // count) % len(TIMES)]
        fresh = torch.randn(noise.shape, generator=generator)
        noise = torch.where(t[:, None, None] == 1, noise, fresh)
        mixed = end + t[:, None, None] * (noise - end)
        weights = in_half(student)
        out = velocity(weights, mixed.bfloat16(), t, context(weights, prompts_in_half(prompts)))
        return {"loss": matching_loss(out, noise - end)}

    stage.run(losses)
    return stage.finish()
