"""The sound check: does the judge hear what is there, and nothing else, and does the evaluation measure it?"""

import json

import numpy as np
import pytest
import torch

from audiox_core.checkpoint import open_checkpoint
from audiox_core.errors import AudioXError
from audiox_core.lengths import SAMPLE_RATE
from audiox_core.measure.spectra import mel_levels
from audiox_core.media.spectrogram import spectrogram_picture
from audiox_core.pipeline import AudioX, Prompt
from audiox_core.sampling.presets import PRESETS, RunSettings
from training.evaluation import batches, cases, cli, events, gallery, judge, measures, report, run
from training.world import films, scenes, sounds


def hear(scene, change=lambda sound: sound):
    return judge.hear(change(cases.true_sound(scene)), len(scene.kinds))


def hiss(sound):
    """White noise 45 dB below full scale, and a little softer."""
    rng = np.random.default_rng(0)
    return 0.9 * sound + 10 ** (-45 / 20) * rng.standard_normal(sound.shape)


def warble(sound):
    """Louder and softer by 30 % with every latent frame, as a decoder may do."""
    times = np.arange(sound.shape[1]) / SAMPLE_RATE
    return sound * (1 + 0.3 * np.sin(2 * np.pi * sounds.GRID * times))


def smeared(sound):
    """Each moment spread over 46 ms."""
    kernel = np.random.default_rng(0).standard_normal(2048) * np.hanning(2048)
    length = sound.shape[1] + 2048
    spread = np.fft.irfft(np.fft.rfft(sound, length) * np.fft.rfft(kernel / np.linalg.norm(kernel), length), length)
    return spread[:, 1024 : 1024 + sound.shape[1]]


@pytest.mark.parametrize("kind", scenes.WORDS)
def test_every_kind_is_heard_as_itself(kind):
    for seed, change in enumerate((lambda sound: sound, hiss, warble)):
        scene = scenes.scene(seed, kind=kind, pair=False)
        heard = hear(scene, change)
        assert judge.is_right(scene, heard), f"{scene.caption}: heard {heard.words}"


@pytest.mark.parametrize("kind", [kind for kind in sounds.PERIODS if kind != "plucked notes"])
def test_blurred_events_are_still_told_apart(kind):
    scene = scenes.scene(7, kind=kind, pair=False)
    assert hear(scene, smeared).kinds == (kind,)


def test_pairs_are_heard_in_their_order():
    for seed, first in enumerate(scenes.STEADY):
        scene = scenes.scene(seed, kind=first, pair=True)
        assert hear(scene).kinds == scene.kinds, scene.caption


def test_wrong_sounds_are_judged_wrong():
    rising = scenes.scene(0, kind="rising sweep", pair=False)
    assert hear(rising, lambda sound: sound[:, ::-1]).kinds == ("falling sweep",)
    pair = scenes.Scene("a low tone then noise", ("low tone", "noise"), switch=110)
    assert judge.is_right(pair, hear(pair)) and not judge.is_right(pair, hear(pair, lambda sound: sound[:, ::-1]))
    left = scenes.Scene("a hum on the left", ("hum",), "left")
    assert judge.is_right(left, hear(left)) and not judge.is_right(left, hear(left, lambda sound: sound[::-1]))
    asked = [scenes.scene(3, kind=kind, pair=False) for kind in scenes.WORDS]
    heard = [hear(scene) for scene in asked]
    assert measures.accuracy(asked, heard[1:] + heard[:1])["prompt_accuracy"] == 0


def test_what_is_no_sound_of_the_world_is_unclear():
    times = np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE
    two = 0.2 * np.sin(2 * np.pi * 350 * times) + 0.2 * np.sin(2 * np.pi * 800 * times)
    assert judge.kind_of(np.stack((two, two))) == judge.UNCLEAR


@pytest.mark.parametrize("kind", films.COLOURS)
@pytest.mark.parametrize("change", [lambda sound: sound, hiss, smeared], ids=["true", "hiss", "smeared"])
def test_onsets_are_where_the_hits_are(kind, change):
    film = films.film(3, kind=kind)
    sound = change(scenes.render_hits(kind, film.times, 0))
    placed = np.round(np.array(film.times) * sounds.GRID) / sounds.GRID
    onsets = events.heard_times(sound)
    assert len(onsets) == len(placed) and np.abs(onsets - placed).max() < 0.02
    assert events.hit_kind(sound) == kind


def test_alignment_counts_each_onset_once_and_late_ones_not_at_all():
    assert events.align([1.0], [0.95, 1.05]).answered == 1
    assert events.align([1.0, 2.0], [1.2, 2.05]).answered == 1
    assert events.align([], [1.0]).errors == (10.0,)
    film = films.film(1, style="flash")
    late = events.align(np.array(film.times) + 0.15, film.times)
    assert late.answered < len(film.times) / 2 and np.median(late.errors) == pytest.approx(0.15)


def test_chance_is_what_other_prompts_sounds_would_score():
    asked = [scenes.Scene(str(i), (kind,)) for i, kind in enumerate(("hum", "hum", "noise"))]
    heard = [judge.Heard(scene.kinds, "centre") for scene in asked]
    assert measures.accuracy(asked, heard)["prompt_accuracy"] == 1
    assert measures.chance(asked, heard) == pytest.approx(2 / 6)
    far = [films.Film("flash", "click", (1.0, 4.0)), films.Film("flash", "click", (2.5, 7.0))]
    assert events.by_chance([film.times for film in far], far)["onset_within_100ms"] == 0


def test_distances_between_sets():
    rng = np.random.default_rng(0)
    made = rng.standard_normal((500, 4))
    assert measures.frechet(made, made) == pytest.approx(0, abs=1e-9)
    assert measures.frechet(made, made + 2) == pytest.approx(16)
    spread, place = np.trace(np.cov(made.T)), np.square(made.mean(axis=0)).sum()
    assert measures.frechet(made, 3 * made) == pytest.approx(4 * spread + 4 * place)
    sound = cases.true_sound(scenes.scene(0, kind="noise", pair=False))
    assert measures.stft_distance(sound, sound) == 0
    assert measures.signal_to_noise(sound, 0.9 * sound) == pytest.approx(20)


def test_cases_are_held_out_and_balanced():
    asked = cases.single_scenes(48, 0) + cases.pair_scenes(32, 0)
    assert all(scenes.held_out(scene.caption) for scene in asked)
    assert len({scene.caption for scene in asked}) >= 78
    assert {kind: sum(s.kinds == (kind,) for s in asked) for kind in scenes.WORDS} == dict.fromkeys(scenes.WORDS, 3)
    assert asked == cases.single_scenes(48, 0) + cases.pair_scenes(32, 0) != cases.single_scenes(48, 1)
    shown = cases.film_cases(24, 0)
    assert len({(case.film.style, case.film.kind) for case in shown}) == len(films.STYLES) * len(films.COLOURS)
    assert sum(case.text == "" for case in shown) == 12


def test_spectrograms_show_pitch_upwards_and_time_to_the_right():
    sound = cases.true_sound(scenes.scene(0, kind="rising sweep", pair=False))
    picture = spectrogram_picture(sound, 100, 60).astype(int).sum(axis=2)
    assert picture.shape == (60, 100) and picture[:, 20].argmax() > picture[:, 80].argmax() + 10
    times = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 1000 * times)[None]
    assert mel_levels(torch.from_numpy(tone), 5, 20)[:, 2].max() == pytest.approx(1.8, abs=1)  # full scale, main lobe
    with pytest.raises(AudioXError, match="channels, samples"):
        spectrogram_picture(sound[0], 10, 10)


@pytest.fixture(scope="module")
def models(released_dir):
    return {variant: AudioX(open_checkpoint(released_dir, variant=variant)) for variant in ("base", "turbo")}


@pytest.mark.parametrize("negative", [None, "noise"])
@pytest.mark.parametrize("cfg", [1.0, 6.0])
def test_a_batch_of_prompts_gives_what_each_gives_alone(models, cfg, negative):
    model, settings = models["base"], RunSettings(2, cfg, "euler")
    prompts = batches.text_prompts(model, ["a bell", "rain on a road", "a dog"])
    against = negative and Prompt(text=model.encode_text(negative)[0])
    together = batches.sample_many(model, prompts, settings, [5, 6, 7], negative=against)
    alone = [model.sample(prompt, settings, [5 + i], against) for i, prompt in enumerate(prompts)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


def test_an_untrained_network_is_another_one_and_always_the_same(models):
    model, settings = models["turbo"], RunSettings(1, 1.0, "renoise")
    prompts = batches.text_prompts(model, ["a bell"])
    drawn = [batches.untrained_network(model.checkpoint, seed) for seed in (0, 0, 1)]
    first, again, other = (batches.sample_many(model, prompts, settings, [0], network=each) for each in drawn)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.isfinite(first).all()


def test_an_untrained_network_has_the_type_of_the_trained_one(models):
    half = AudioX(models["turbo"].checkpoint, dtype=torch.bfloat16)
    network = batches.untrained_network(half.checkpoint, 0, half.dtype)
    latent = half.sample(batches.text_prompts(half, ["a bell"]), RunSettings(1, 1.0, "renoise"), network=network)
    assert torch.isfinite(latent).all()


TINY = run.EvaluationPlan(singles=4, pairs=2, films=3, text_only=2, guided=2, negatives=2, reconstructed=2, shown=True)


@pytest.mark.live
def test_an_evaluation_measures_everything(models, tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "base", RunSettings(2, 6.0, "euler"))
    evaluation = run.evaluate(models, TINY)
    report.write_json(tmp_path / "all.json", evaluation.results)
    found = json.loads((tmp_path / "all.json").read_text())
    for name in ("base", "turbo", "untrained"):
        for key in ("prompt_accuracy", "onset_within_100ms", "onset_precision", "chance", "what_accuracy"):
            assert 0 <= found[name][key] <= 1, (name, key)
    assert found["truth"]["prompt_accuracy"] == 1
    assert set(found["base"]["guidance"]) == {"1", "4", "6"}
    assert {"frechet", "latent_cosine", "same_heard"} <= set(found["turbo_against_base"])
    assert {"snr_db", "stft_distance", "prompt_accuracy"} == set(found["vae"])
    text = report.table(evaluation.results)
    assert "cfg 4" in text and "high tone" in text and "within 100 ms" in text
    picture = gallery.grid(gallery.chosen(evaluation.shown))
    assert picture.mode == "RGB" and np.asarray(picture).min() < 50 and len(evaluation.shown) == 9


def test_an_evaluation_that_cannot_work_says_why(capsys, tmp_path):
    for arguments, words in (
        (["--json", str(tmp_path / "no" / "a.json")], "There is no folder"),
        (["--picture", str(tmp_path / "a.jpg")], "ends in .png"),
        (["--sections", "prompts,smell"], "no section 'smell'"),
        (["--seed", "-1"], "expected 0 or more"),
        (["--base", str(tmp_path / "none.ckpt")], "none.ckpt"),
    ):
        assert cli.main(arguments) == 2
        assert words in capsys.readouterr().err


@pytest.mark.live
def test_the_sound_check_reaches_its_bars(tmp_path):
    """A part of what `evaluate` measures; the bars are those that the full run has to reach."""
    found = tmp_path / "found.json"
    assert cli.main(["--quick", "--json", str(found)]) == 0
    results = json.loads(found.read_text("utf-8"))
    assert results["turbo"]["prompt_accuracy"] >= 0.85
    assert results["turbo"]["onset_within_100ms"] >= 0.85
    assert results["base"]["prompt_accuracy"] >= 0.9
    assert results["base"]["onset_within_100ms"] >= 0.85
