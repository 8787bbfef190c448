"""What Base and Turbo train on: latents of the world's sounds beside the encoders' view of their prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from audiox_core.lengths import SAMPLES_PER_LATENT
from audiox_core.media.files import written_whole
from audiox_core.models.encoders import TEXT_TOKENS
from audiox_core.models.vae import OobleckVAE
from training.world import films, scenes, sounds

from . import words
from .network import PROMPT_LATENTS
from .sight import see

SCENES = 640
FILMS = 500
ENCODE_BATCH = 4

TEMPLATES = 7
"""Encoded examples of each short sound that answers a film."""
APART, BEFORE, AFTER = 30, 1, 14
"""Latent frames from one example to the next, and those before and after its begin that it touches."""


SPARSE = {"slow ticking", "fast ticking", "silence", "noise bursts", "slow beat"}
"""Kinds with little in them to learn from."""

CUTTABLE = tuple(kind for kind in scenes.STEADY if not kind.endswith("sweep"))
"""Kinds that may be cut short and still are what they are called."""


def encoded(vae: OobleckVAE, sounds: list[np.ndarray]) -> Tensor:
    """Means of the latents (N, 64, 236) in float16, as the Base learns them."""
    stacks = [np.stack(sounds[i : i + ENCODE_BATCH]) for i in range(0, len(sounds), ENCODE_BATCH)]
    return torch.cat([vae.encode(torch.from_numpy(stack)) for stack in stacks]).half()


class Words:
    """Token embeddings of captions, each computed once. Text tokens are (32, W) here; the rest is zeros."""

    def __init__(self, t5: nn.Module) -> None:
        self.t5, self.json, self.known = t5, words.tokenizer_json().encode(), {}

    def __call__(self, caption: str) -> Tensor:
        if caption not in self.known:
            self.known[caption] = words.embed(self.t5, self.json, caption)[: words.LENGTH]
        return self.known[caption]


def build(folder: Path, vae: OobleckVAE, clip: nn.Module, sync: nn.Module) -> dict[str, Tensor]:
    """All latents and all views of films, computed once and kept in `data.pt`."""
    path = folder / "data.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    data: dict[str, list[Tensor]] = {"scenes": [], "films": [], "clip": [], "sync": []}
    for start in range(0, SCENES, 100):
        drawn = [scene_of(i) for i in range(start, min(SCENES, start + 100))]
        data["scenes"].append(encoded(vae, [scenes.render(scene) for scene in drawn]))
        print("scenes", start, flush=True)
    hits = hit_latents(vae)
    quiet = encoded(vae, [np.zeros((2, scenes.LATENTS * SAMPLES_PER_LATENT), np.float32)])[0]
    for index in range(FILMS):
        film = films.film(index)
        tokens, features = see(clip, sync, film, np.random.default_rng((19, index)))
        data["films"].append(pasted(film, hits, quiet)[None])
        data["clip"].append(tokens.half()[None])
        data["sync"].append(features.half()[None])
        if index % 50 == 0:
            print("films", index, flush=True)
    stacked = {name: torch.cat(parts) for name, parts in data.items()}
    with written_whole(path) as temporary:
        torch.save(stacked, temporary)
    return stacked


def hit_latents(vae: OobleckVAE) -> dict[str, Tensor]:
    """Latents (TEMPLATES, 64, BEFORE + AFTER) around examples of each short sound."""
    places = [(1 + i) * APART for i in range(TEMPLATES)]
    out = {}
    for kind in sounds.HITS:
        times = tuple(sounds.seconds_of(place) for place in places)
        latent = encoded(vae, [scenes.render_hits(kind, times, seed=0)])[0]
        out[kind] = torch.stack([latent[:, place - BEFORE : place + AFTER] for place in places])
    return out


def pasted(film: films.Film, hits: dict[str, Tensor], quiet: Tensor) -> Tensor:
    """Latent (64, 236) of a film's sounds, put together from examples: encoding is local, and this is quick."""
    latent, rng = quiet.clone(), np.random.default_rng(film.seed)
    for time in film.times:
        place = round(time * sounds.GRID)
        first, last = max(0, place - BEFORE), min(scenes.LATENTS, place + AFTER)
        example = hits[film.kind][rng.integers(TEMPLATES)]
        latent[:, first:last] = example[:, first - place + BEFORE : last - place + BEFORE]
    return latent


def scene_of(index: int) -> scenes.Scene:
    """The scene of an index; a third are pairs, all kinds equally often."""
    kind = list(scenes.WORDS)[index % len(scenes.WORDS)]
    pair = index % 5 in (1, 3) and kind in scenes.STEADY
    return scenes.scene(index, kind=kind, pair=pair)


def recaption(scene: scenes.Scene, rng: np.random.Generator) -> str:
    """Other words of the training part for the same scene."""
    while True:
        named = [str(rng.choice(scenes.WORDS[kind])) for kind in scene.kinds]
        if len(named) > 1:
            caption = str(rng.choice(scenes.PAIRS)).format(*named)
        else:
            caption = str(rng.choice(scenes.FRAMES)).format(named[0] + str(rng.choice(scenes.SIDES[scene.side])))
        if not scenes.held_out(caption):
            return caption


class Batches:
    """Random prompts with their latents, by step."""

    def __init__(self, data: dict[str, Tensor], text: Words, silence: Tensor) -> None:
        """silence: the latent (1, 64, 215) of an absent audio prompt."""
        self.data, self.text, self.silence = data, text, silence
        self.scenes = [scene_of(i) for i in range(len(data["scenes"]))]
        self.films = [films.film(i) for i in range(len(data["films"]))]
        self.sparse = [i for i, scene in enumerate(self.scenes) if set(scene.kinds) & SPARSE]
        self.steady = [
            i
            for i, scene in enumerate(self.scenes)
            if len(scene.kinds) == 1 and scene.side == "centre" and scene.kinds[0] in CUTTABLE
        ]

    def draw(self, step: int, size: int, salt: int, sparse: float = 0.0) -> tuple[Tensor, dict[str, Tensor]]:
        """Latents (size, 64, 236) and prompts as `network.context_of` takes them.

        sparse: share of the scenes that are drawn from those with mostly silence in them.
        """
        rng = np.random.default_rng((salt, step))
        rows = [self.film_row(rng) if rng.random() < 0.33 else self.scene_row(rng, sparse) for _ in range(size)]
        text = torch.zeros(size, TEXT_TOKENS, words.WIDTH)
        for i, row in enumerate(rows):
            if row["text"] is not None:
                text[i, : words.LENGTH] = row["text"]
        prompts = {
            "text": text,
            "clip": torch.stack([self.data["clip"][row["film"]] for row in rows]).float(),
            "sync": torch.stack([self.data["sync"][row["film"]] for row in rows]).float(),
            "has_video": torch.tensor([row["has_video"] for row in rows]),
            "audio": torch.cat([row["audio"] for row in rows]),
        }
        return torch.stack([row["latent"] for row in rows]).float(), prompts

    def scene_row(self, rng: np.random.Generator, sparse: float) -> dict:
        """A text prompt, or the sound itself as a prompt."""
        index, audio = int(rng.integers(len(self.scenes))), self.silence
        quiet = rng.random() < sparse
        if quiet:
            index = int(rng.choice(self.sparse))
        scene, latent = self.scenes[index], self.data["scenes"][index]
        if rng.random() < 0.25:
            scene, latent = self.spliced(rng, index if quiet and index in self.steady else None)
        text = self.text(recaption(scene, rng))
        if rng.random() < 0.15:
            audio = self.heard(latent, rng)
            if rng.random() < 0.6:
                text = None if rng.random() < 0.5 else self.text("")
        return {"latent": latent, "text": text, "film": 0, "has_video": False, "audio": audio}

    def spliced(self, rng: np.random.Generator, wanted: int | None) -> tuple[scenes.Scene, Tensor]:
        """A scene of two sounds, cut together from the latents of two scenes of one, of which one may be given."""
        first, second = rng.choice(self.steady, size=2)
        if wanted is not None:
            first, second = (wanted, second) if rng.random() < 0.5 else (first, wanted)
        while scenes.alike(self.scenes[first].kinds[0], self.scenes[second].kinds[0]):
            first, second = (rng.choice(self.steady), second) if second == wanted else (first, rng.choice(self.steady))
        switch, latents = int(rng.integers(80, 136)), self.data["scenes"]
        latent = torch.cat((latents[first][:, :switch], latents[second][:, : scenes.LATENTS - switch]), dim=1)
        kinds = (self.scenes[first].kinds[0], self.scenes[second].kinds[0])
        return scenes.Scene("", kinds, switch=switch), latent

    def heard(self, latent: Tensor, rng: np.random.Generator) -> Tensor:
        """The latent as an audio prompt, in half of the cases with a silent span as upstream masks prompts."""
        audio = latent[None, :, :PROMPT_LATENTS].float()
        if rng.random() < 0.5:
            length = int(PROMPT_LATENTS * rng.uniform(0.25, 0.75))
            first = int(rng.integers(PROMPT_LATENTS - length + 1))
            audio = audio.clone()
            audio[..., first : first + length] = self.silence[..., first : first + length]
        return audio

    def film_row(self, rng: np.random.Generator) -> dict:
        index = int(rng.integers(len(self.films)))
        choice = rng.random()
        text = None
        if choice < 0.25:
            text = self.text("")
        elif choice < 0.6:
            text = self.text(films.GENERIC)
        elif choice < 0.8:
            text = self.text(words.hit_caption(self.films[index].kind, rng))
        return {
            "latent": self.data["films"][index],
            "text": text,
            "film": index,
            "has_video": True,
            "audio": self.silence,
        }
