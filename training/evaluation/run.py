"""An evaluation of Base and Turbo from beginning to end; see `evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audiox_core.errors import AudioXError
from audiox_core.models.network import AudioXNetwork
from audiox_core.pipeline import AudioX, Prompt
from audiox_core.progress import Progress, no_progress
from audiox_core.sampling.presets import RunSettings, resolve_settings
from training.evaluation import batches, cases, events, judge, measures
from training.evaluation.cases import FilmCase
from training.evaluation.gallery import Shown, Verdict
from training.evaluation.measures import Answer
from training.world import films, scenes
from training.world.scenes import Scene

SECTIONS = ("prompts", "films", "guidance", "negative", "vae", "compare")
"""What can be measured, in the order of measuring."""

SCALES = (1.0, 4.0, 6.0)
"""Guidance scales that are measured beside Base's own."""


@dataclass(frozen=True)
class EvaluationPlan:
    """How much is measured. All but seed, sections and shown are counts of cases."""

    seed: int = 0
    sections: tuple[str, ...] = SECTIONS
    singles: int = 48
    pairs: int = 32
    films: int = 24
    text_only: int = 12
    guided: int = 24
    negatives: int = 24
    reconstructed: int = 24
    shown: bool = False
    """Keep the spectrograms for the picture."""

    def __post_init__(self) -> None:
        unknown = set(self.sections) - set(SECTIONS)
        if unknown:
            raise AudioXError(
                f"There is no section {sorted(unknown)[0]!r} of the evaluation, expected some of {', '.join(SECTIONS)}."
            )
        if self.seed < 0:
            raise AudioXError(f"The seed is {self.seed}, expected 0 or more.")


QUICK = EvaluationPlan(
    sections=("prompts", "films", "vae", "compare"), singles=16, pairs=6, films=6, text_only=4, reconstructed=6
)
"""About a minute on two cores."""


@dataclass
class Evaluation:
    """The state of one evaluation: models, cases, and what each section leaves for later ones."""

    models: dict[str, AudioX]
    plan: EvaluationPlan
    progress: Progress = no_progress
    results: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    latents: dict[str, Tensor] = field(default_factory=dict)
    shown: dict[str, Shown] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plan, turbo = self.plan, self.models["turbo"]
        self.scenes = cases.single_scenes(plan.singles, plan.seed) + cases.pair_scenes(plan.pairs, plan.seed)
        self.films = cases.film_cases(plan.films, plan.seed)
        self.untrained = batches.untrained_network(turbo.checkpoint, plan.seed, turbo.dtype)

    def seeds(self, count: int, section: int) -> list[int]:
        """Seeds of the noise: the same for every model, others in each section."""
        return [self.plan.seed * 1_000_000 + section * 1000 + i for i in range(count)]

    def note(self, name: str, values: dict[str, Any]) -> None:
        """Add results under a name."""
        self.results.setdefault(name, {}).update(values)

    # Prompts

    def measure_prompts(self) -> None:
        """Held-out captions: Base, Turbo, and a network that was never trained, with Turbo's settings."""
        for name in ("base", "turbo", "untrained"):
            self.latents[name], self.answers[name] = self.answer_scenes(name, range(len(self.scenes)))
            heard = [answer.heard for answer in self.answers[name]]
            self.note(name, measures.accuracy(self.scenes, heard))

    def answer_scenes(self, name: str, places: Sequence[int], cfg: float = 0) -> tuple[Tensor, list[Answer]]:
        """Latents and answers of a model ("untrained" too) for the captions of the scenes at these places."""
        model, network, settings = self.setup(name)
        settings = replace(settings, cfg=cfg) if cfg else settings
        asked, seeds = [self.scenes[i] for i in places], self.seeds(len(self.scenes), 0)
        prompts = batches.text_prompts(model, [scene.caption for scene in asked])
        latents = batches.sample_many(
            model, prompts, settings, [seeds[i] for i in places], network=network, progress=self.progress
        )
        answers = []
        for scene, sound in zip(asked, batches.decode_many(model, latents, self.progress), strict=True):
            answers.append(measures.answer(sound, len(scene.kinds)))
            if not cfg:
                verdict = (answers[-1].heard.words, judge.is_right(scene, answers[-1].heard))
                self.show(scene.caption, name, sound, verdict, kinds=len(scene.kinds))
        return latents, answers

    def setup(self, name: str) -> tuple[AudioX, AudioXNetwork | None, RunSettings]:
        """The model, the network to use in place of its own, and the settings."""
        if name == "untrained":
            return self.models["turbo"], self.untrained, resolve_settings("turbo")
        return self.models[name], None, resolve_settings(name, guidance=self.models[name].checkpoint.guidance)

    def sample(self, model: AudioX, prompts: list[Prompt], settings: RunSettings, section: int, **more) -> Tensor:
        seeds = self.seeds(len(prompts), section)
        return batches.sample_many(model, prompts, settings, seeds, progress=self.progress, **more)

    def show(self, prompt: str, name: str, sound: np.ndarray, verdict: Verdict, **about) -> None:
        """Keep a sound's spectrogram for the picture."""
        if self.plan.shown and name != "untrained":
            self.shown.setdefault(prompt, Shown(prompt, **about)).add(name, sound, verdict)

    # Films

    def measure_films(self) -> None:
        """Held-out films, and words alone held against films that were not given."""
        with batches.film_files(self.films) as files:
            prompts = {name: batches.film_prompts(model, files, self.films) for name, model in self.models.items()}
        for name in ("base", "turbo", "untrained"):
            model, network, settings = self.setup(name)
            given = prompts["turbo" if name == "untrained" else name]
            latents = self.sample(model, given, settings, 1, network=network)
            self.note(name, self.film_results(name, model, latents))
            if name != "untrained":
                self.note(name, {"text_only": self.text_only(model, settings)})

    def film_results(self, name: str, model: AudioX, latents: Tensor) -> dict[str, Any]:
        asked, onsets, right = [case.film for case in self.films], [], []
        for case, sound in zip(self.films, batches.decode_many(model, latents, self.progress), strict=True):
            onsets.append(events.heard_times(sound))
            hit = events.hit_kind(sound)
            right.append(hit == case.film.kind)
            self.show_film(case, name, sound, hit, onsets[-1])
        return {
            **events.fit(onsets, asked),
            "by_style": events.fit_by_style(onsets, asked),
            "what_accuracy": measures.share(right),
            "what_by_colour": {
                kind: measures.share([r for film, r in zip(asked, right, strict=True) if film.kind == kind])
                for kind in films.COLOURS
            },
            "onset_chance": events.by_chance(onsets, asked),
        }

    def show_film(self, case: FilmCase, name: str, sound: np.ndarray, hit: str, onsets: np.ndarray) -> None:
        film = case.film
        fit = events.align(onsets, film.times)
        words = f"{hit}, {fit.answered}/{len(film.times)} in time"
        prompt = f"Film {film.seed}: {film.style}, {film.kind}" + (f'; "{case.text}"' if case.text else "; no words")
        right = hit == film.kind and fit.answered == len(film.times) == fit.heard
        self.show(prompt, name, sound, (words, right), times=film.times)

    def text_only(self, model: AudioX, settings: RunSettings) -> dict[str, Any]:
        """Words for the right sound without the film: its onsets must fit the film no better than other films."""
        asked = self.films[: self.plan.text_only]
        words = [films.WORDS[case.film.kind][i % 2] for i, case in enumerate(asked)]
        latents = self.sample(model, batches.text_prompts(model, words), settings, 2)
        onsets = [events.heard_times(sound) for sound in batches.decode_many(model, latents, self.progress)]
        given = [case.film for case in asked]
        return {**events.fit(onsets, given), "onset_chance": events.by_chance(onsets, given)}

    # Guidance, negative prompts

    def measure_guidance(self) -> None:
        """Accuracy of Base on a part of the prompts at several scales, its own one included."""
        places = self.some_places(self.plan.guided)
        asked, answers = [self.scenes[i] for i in places], {}
        own = self.answers.get("base")
        answers[self.setup("base")[2].cfg] = [own[i] for i in places] if own else self.answer_scenes("base", places)[1]
        for scale in SCALES:
            answers[scale] = self.answer_scenes("base", places, scale)[1]
        right = {
            f"{scale:g}": measures.accuracy(asked, [answer.heard for answer in answers[scale]])["prompt_accuracy"]
            for scale in sorted(answers)
        }
        self.note("base", {"guidance": right})

    def some_places(self, count: int) -> list[int]:
        """Places of `count` scenes, spread evenly."""
        return sorted({i * len(self.scenes) // count for i in range(count)})

    def measure_negative(self) -> None:
        """Share of a kind among Base's sounds for no words, without and with that kind as negative prompt.

        The two most frequent kinds are taken; each is the other one's control: a negative prompt for another kind.
        """
        before = self.kinds_without_words(None)
        frequent = sorted(set(before) - {judge.UNCLEAR}, key=lambda kind: (-before.count(kind), kind))[:2]
        after = {kind: self.kinds_without_words(scenes.WORDS[kind][0]) for kind in frequent}
        self.note(
            "base",
            {
                "negative": {
                    kind: {
                        "without": before.count(kind) / len(before),
                        "with": after[kind].count(kind) / len(before),
                        "with_another": after[other].count(kind) / len(before) if other != kind else None,
                    }
                    for kind, other in zip(frequent, reversed(frequent), strict=True)
                }
            },
        )

    def kinds_without_words(self, negative: str | None) -> list[str]:
        model = self.models["base"]
        against = None if negative is None else batches.text_prompts(model, [negative])[0]
        prompts = batches.text_prompts(model, [""]) * self.plan.negatives
        latents = self.sample(model, prompts, self.setup("base")[2], 3, negative=against)
        return [judge.hear(sound).kinds[0] for sound in batches.decode_many(model, latents, self.progress)]

    # The autoencoder, and one model against the other

    def measure_vae(self) -> None:
        """Held-out scenes through the autoencoder and back."""
        asked = [self.scenes[i] for i in self.some_places(self.plan.reconstructed)]
        distances, ratios, heard = [], [], []
        self.progress("vae", 0, len(asked))
        for i, scene in enumerate(asked):
            sound, back = self.reconstructed(scene)
            heard.append(judge.hear(back, len(scene.kinds)))
            if scene.kinds != ("silence",):  # both are shares of a power that silence has not
                distances.append(measures.stft_distance(sound, back))
                ratios.append(measures.signal_to_noise(sound, back))
            self.progress("vae", i + 1, len(asked))
        self.note(
            "vae",
            {
                "stft_distance": float(np.mean(distances)),
                "snr_db": float(np.mean(ratios)),
                "prompt_accuracy": measures.accuracy(asked, heard)["prompt_accuracy"],
            },
        )

    def reconstructed(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """A scene's sound (2, 441000), and what the autoencoder makes of it."""
        model = self.models["turbo"]
        latent = model.encode_audio(torch.from_numpy(scenes.render(scene)), use_mean=True)
        return cases.true_sound(scene), next(batches.decode_many(model, latent))

    def measure_compare(self) -> None:
        """Turbo against Base at equal prompts and seeds, and how far apart what they make is as a whole."""
        if "turbo" not in self.answers:
            raise AudioXError("The section 'compare' compares what the section 'prompts' makes: choose both.")
        made = {name: measures.levels_of(answers) for name, answers in self.answers.items()}
        truth = np.stack([measures.answer(cases.true_sound(scene)).levels for scene in self.scenes])
        same = [t.heard == b.heard for t, b in zip(self.answers["turbo"], self.answers["base"], strict=True)]
        self.note(
            "turbo_against_base",
            {
                **measures.latent_likeness(self.latents["base"], self.latents["turbo"]),
                "same_heard": measures.share(same),
                "frechet": measures.frechet(made["base"], made["turbo"]),
                "frechet_truth_base": measures.frechet(truth, made["base"]),
                "frechet_truth_turbo": measures.frechet(truth, made["turbo"]),
                "frechet_truth_untrained": measures.frechet(truth, made["untrained"]),
            },
        )

    def truth(self) -> None:
        """The judge on what the scenes really sound like: the most that a model can reach."""
        heard = [judge.hear(cases.true_sound(scene), len(scene.kinds)) for scene in self.scenes]
        self.note("truth", {"prompt_accuracy": measures.accuracy(self.scenes, heard)["prompt_accuracy"]})


def evaluate(models: dict[str, AudioX], plan: EvaluationPlan, progress: Progress = no_progress) -> Evaluation:
    """Measure the models {"base": ..., "turbo": ...} as a plan says; the same plan gives the same numbers.

    Raises:
        AudioXError: a model lacks a part that is needed, or the sections do not go together.
    """
    evaluation = Evaluation(models, plan, progress)
    evaluation.note("plan", {name: value for name, value in asdict(plan).items() if name != "shown"})
    evaluation.truth()
    for section in SECTIONS:
        if section in plan.sections:
            getattr(evaluation, f"measure_{section}")()
    return evaluation
