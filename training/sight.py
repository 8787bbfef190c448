"""The two video encoders: a CLIP tower that knows colours and shapes, and a Synchformer that sees events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Linear

from audiox_core.media.pixels import resize_pictures
from audiox_core.models.encoders import ClipSizes, build_clip, encode_clip, normalise_clip
from audiox_core.models.synchformer import Synchformer, SynchformerSizes, encode, normalise
from training.world import films

from .state import Stage
from .words import WIDTH

CLIP = ClipSizes(width=WIDTH, depth=2, ffn_width=128, patch_size=16, image_size=48)
SYNC = SynchformerSizes(width=WIDTH, depth=2, ffn_width=128, patch_size=16, patch_frames=1, times=8, positions=9)
"""One token a frame in segments of 8 frames that do not overlap: 248 rows that run straight through the clip."""

KINDS, STYLES = list(films.COLOURS), list(films.STYLES)
BATCH = 96


def film_pictures(film: films.Film, fps: int, count: int, rng: np.random.Generator) -> Tensor:
    """uint8 (count, 3, 48, 48) as a video file would give them, a little brighter, darker or noisier."""
    pictures = torch.from_numpy(films.draw(film, 96, fps, count)).permute(0, 3, 1, 2)
    pictures = resize_pictures(pictures, CLIP.image_size).float()
    pictures = pictures * rng.uniform(0.85, 1.1) + rng.uniform(-8, 8)
    noise = torch.from_numpy(rng.normal(0, rng.uniform(0, 6), pictures.shape).astype(np.float32))
    return (pictures + noise).clamp(0, 255).round().to(torch.uint8)


def clip_shapes(s: ClipSizes) -> dict[str, tuple[int, ...]]:
    shapes = {
        "embeddings.class_embedding": (s.width,),
        "embeddings.patch_embedding.weight": (s.width, 3, s.patch_size, s.patch_size),
        "embeddings.position_embedding.weight": (s.tokens_per_frame, s.width),
        "pre_layrnorm.weight": (s.width,),
        "pre_layrnorm.bias": (s.width,),
    }
    for index in range(s.depth):
        layer = f"encoder.layers.{index}."
        for name in ("self_attn.k_proj", "self_attn.q_proj", "self_attn.v_proj", "self_attn.out_proj"):
            shapes |= {f"{layer}{name}.weight": (s.width, s.width), f"{layer}{name}.bias": (s.width,)}
        shapes |= {
            f"{layer}mlp.fc1.weight": (s.ffn_width, s.width),
            f"{layer}mlp.fc1.bias": (s.ffn_width,),
            f"{layer}mlp.fc2.weight": (s.width, s.ffn_width),
            f"{layer}mlp.fc2.bias": (s.width,),
        }
        for name in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{layer}{name}.weight": (s.width,), f"{layer}{name}.bias": (s.width,)}
    return shapes


def drawn_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """Ones for norms, zeros for biases, small normal numbers for the rest."""
    if "norm" in name:
        return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
    return torch.zeros(shape) if name.endswith("bias") else torch.randn(shape) * 0.05


def new_clip() -> nn.Module:
    weights = {name: drawn_weight(name, shape) for name, shape in clip_shapes(CLIP).items()}
    return build_clip(CLIP, weights).requires_grad_(True)


class Looker(nn.Module):
    """CLIP with a linear reading of the mean of a picture's tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.clip = new_clip()
        self.read = Linear(WIDTH, len(KINDS) + len(STYLES))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.read(self.clip(pixel_values=normalise_clip(pictures)).last_hidden_state.mean(dim=1))


def train_clip(folder: Path, steps: int) -> nn.Module:
    """A tower whose tokens tell what makes the sound, and how the film shows it."""
    torch.manual_seed(2)
    looker = Looker()
    stage = Stage("clip", folder, looker, steps, peak=2e-3)

    def losses(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((13, step))
        drawn = [films.film(int(rng.integers(2**31))) for _ in range(BATCH // 4)]
        pictures = torch.cat([film_pictures(film, 5, 50, rng)[rng.integers(0, 50, 4)] for film in drawn])
        kinds = torch.tensor([KINDS.index(film.kind) for film in drawn]).repeat_interleave(4)
        styles = torch.tensor([STYLES.index(film.style) for film in drawn]).repeat_interleave(4)
        logits = looker(pictures)
        kind, style = logits.split((len(KINDS), len(STYLES)), dim=1)
        kind, style = F.cross_entropy(kind, kinds), F.cross_entropy(style, styles)
        return {"loss": kind + style, "kind": kind, "style": style}

    stage.run(losses)
    return stage.finish().clip


class Watcher(nn.Module):
    """Synchformer with a linear reading of each frame's features."""

    def __init__(self) -> None:
        super().__init__()
        self.sync = Synchformer(SYNC)
        for name, parameter in self.sync.named_parameters():
            parameter.data = drawn_weight(name, tuple(parameter.shape))
        self.read = Linear(WIDTH, 1)

    def forward(self, segments: Tensor) -> Tensor:
        return self.read(self.sync(normalise(segments)))[..., 0]  # (S, 8)


def event_frames(film: films.Film) -> Tensor:
    """1 for each of the 250 frames in which an event is seen first."""
    marks = torch.zeros(250)
    marks[[min(249, round(time * films.FPS)) for time in film.times]] = 1
    return marks


def train_sync(folder: Path, steps: int) -> Synchformer:
    """A Synchformer whose features say in which frames something happens."""
    torch.manual_seed(3)
    watcher = Watcher()
    stage = Stage("sync", folder, watcher, steps, peak=2e-3)

    def losses(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((17, step))
        drawn = [films.film(int(rng.integers(2**31))) for _ in range(4)]
        pictures = torch.stack([film_pictures(film, 25, 248, rng) for film in drawn])
        marks = torch.stack([event_frames(film)[:248] for film in drawn])
        logits = watcher(pictures.view(-1, 8, *pictures.shape[2:]))
        loss = F.binary_cross_entropy_with_logits(logits, marks.view(-1, 8), pos_weight=torch.tensor(10.0))
        found = (logits[marks.view(-1, 8) > 0] > 0).float().mean()
        return {"loss": loss, "found": found}

    stage.run(losses)
    return stage.finish().sync


def see(clip: nn.Module, sync: Synchformer, film: films.Film, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """CLIP tokens (500, WIDTH) and synchronisation features (248, WIDTH) of a film."""
    tokens = encode_clip(clip, film_pictures(film, 5, 50, rng))
    features = encode(sync, film_pictures(film, 25, 250, rng), segments_per_call=31)
    return tokens[0], features[0]
