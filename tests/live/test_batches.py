"""Edits through core's batch nodes: each item comes out as alone, or the prompt ends with a sentence."""

import re

import numpy as np
import pytest

from devtools.comfy_server import PromptError
from devtools.graphs import TURBO, load, node, read_audio

RATE = 44100
KSAMPLER = {"steps": 4, "cfg": 1.0, "sampler_name": "lcm", "scheduler": "simple", "denoise": 1.0}


def edit(name: str, kind: str, *ranges: tuple[float, float], batch: int = 1) -> dict:
    """A second of sound, encoded, with ranges to regenerate; its last node is called `name`."""
    audio, encoded = f"{name} audio", f"{name} encoded" if ranges else name
    graph = {
        audio: node("LabAudio", kind=kind, channels=2, samples=RATE, batch=batch),
        encoded: node("AudioXVAEEncode", vae=["load", 1], audio=[audio, 0]),
    }
    for i, (start, end) in enumerate(ranges, 1):
        key = name if i == len(ranges) else f"{name} range {i}"
        graph[key] = node("AudioXMaskRange", latent=[list(graph)[-1], 0], start=start, end=end)
    return graph


RANGE, LATER = (0.2, 0.5), (0.6, 0.9)
A, B = edit("A", "noise", RANGE), edit("B", "constant", RANGE)
EMPTY = {"empty": node("AudioXEmptyLatent", seconds=5.0)}
BATCH = {**A, **B, "batch": node("LatentBatch", samples1=["A", 0], samples2=["B", 0])}


def sampled(graph: dict, latent: str, core: bool = False, **settings) -> dict:
    """The graph with a text prompt and a sampler, ours or core's, for one of its latents."""
    graph = {**graph, "load": load(TURBO), "text": node("AudioXEncodeText", clip=["load", 2], text="rain")}
    links = {"model": ["load", 0], "positive": ["text", 0], "seed": 3}
    if not core:
        return {**graph, "sample": node("AudioXSample", **links, latent=[latent, 0], **settings)}
    links |= {"negative": ["text", 0], "latent_image": [latent, 0]}
    return {**graph, "sample": node("KSampler", **links, **{**KSAMPLER, **settings})}


def sounds(lab, graph: dict, latent: str = "sample", **decode) -> list[np.ndarray]:
    """Decode a latent of the graph, save it and read each sound."""
    prompt = {
        **graph,
        "decode": node("AudioXVAEDecode", vae=["load", 1], latent=[latent, 0], **decode),
        "save": node("AudioXSaveSound", audio=["decode", 0], filename_prefix="batches/x", format="wav", picture=False),
    }
    return [read_audio(lab.output_path(item))[0] for item in lab.run(prompt).files("save")]


def alone(lab, graph: dict, latent: str, **settings) -> np.ndarray:
    [sound] = sounds(lab, sampled(graph, latent, **settings))
    return sound


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert [sound.shape for sound in found] == [sound.shape for sound in expected]
    for mine, theirs in zip(found, expected, strict=True):
        assert np.abs(mine - theirs).max() < 1e-4


def assert_refused(lab, graph: dict, at: str, words: str, **decode) -> None:
    with pytest.raises(PromptError) as caught:
        sounds(lab, graph, **decode)
    assert caught.value.node_id == at, str(caught.value)
    assert re.search(words, caught.value.message), caught.value.message
    assert caught.value.exception_type.rpartition(".")[2] == "AudioXError"
    assert re.fullmatch(r"[A-Z].{10,400}\.", caught.value.message), caught.value.message


def picked(source: str, index: int, length: int = 1) -> dict:
    return {"picked": node("LatentFromBatch", samples=[source, 0], batch_index=index, length=length)}


@pytest.mark.parametrize("core", [False, True], ids=["AudioX-Sample", "KSampler"])
def test_each_of_two_joined_edits_keeps_its_own_sound(lab, core):
    found = sounds(lab, sampled(BATCH, "batch", core))
    expected = [alone(lab, A, "A", core=core), alone(lab, B, "B", core=core)]
    if core:  # its lcm draws one noise for both
        found, expected = ([sound[:, round(0.5 * RATE) :] for sound in each] for each in (found, expected))
    assert_same(found, expected)
    assert np.all(found[1][:, -1000:] == 1.0)
    assert found[0][:, -1000:].std() == pytest.approx(0.1, rel=0.1)


def test_batch_latents_does_the_same(lab):
    if "BatchLatentsNode" not in lab.object_info():
        pytest.skip("this ComfyUI has no Batch Latents")
    links = {"latents.latent0": ["B", 0], "latents.latent1": ["A", 0], "latents.latent2": ["B", 0]}
    graph = {**A, **B, "batch": node("BatchLatentsNode", **links)}
    a, b = alone(lab, A, "A"), alone(lab, B, "B")
    assert_same(sounds(lab, sampled(graph, "batch")), [b, a, b])


def test_each_edit_keeps_its_own_ranges(lab):
    graph = {**A, **edit("B", "constant", LATER), "batch": BATCH["batch"]}
    assert_same(sounds(lab, sampled(graph, "batch")), [alone(lab, graph, "A"), alone(lab, graph, "B")])
    assert_refused(lab, sampled(graph, "batch", core=True), "decode", "Sound 2.*Use AudioX|Sound 2.*AudioX Sample")


def test_ranges_after_the_batch_hold_for_core_s_sampler_too(lab):
    joined = {"joined": node("LatentBatch", samples1=["A", 0], samples2=["B", 0])}
    graph = {**edit("A", "noise"), **edit("B", "constant"), **joined}
    graph["batch"] = node("AudioXMaskRange", latent=["joined", 0], start=0.2, end=0.5)
    assert_same(sounds(lab, sampled(graph, "batch")), [alone(lab, A, "A"), alone(lab, B, "B")])
    assert np.all(sounds(lab, sampled(graph, "batch", core=True))[1][:, -1000:] == 1.0)


@pytest.mark.parametrize("core", [False, True], ids=["AudioX-Sample", "KSampler"])
@pytest.mark.parametrize("index", [0, 1])
def test_one_of_a_batch_is_one_sound(lab, core, index):
    graph = {**BATCH, **picked("batch", index)}
    assert_same(sounds(lab, sampled(graph, "picked", core)), [alone(lab, BATCH, "AB"[index], core=core)])
    later = {**sampled(BATCH, "batch"), **picked("sample", index)}
    assert_same(sounds(lab, later, "picked"), [alone(lab, BATCH, "AB"[index])])


def test_repetitions_keep_their_sound(lab):
    graph = {**BATCH, "four": node("RepeatLatentBatch", samples=["batch", 0], amount=2)}
    found = sounds(lab, sampled(graph, "four"))
    assert len(found) == 4
    assert_same(found[:2], [alone(lab, A, "A"), alone(lab, B, "B")])
    assert np.array_equal(found[0][:, RATE // 2 :], found[2][:, RATE // 2 :])
    assert np.array_equal(found[1][:, RATE // 2 :], found[3][:, RATE // 2 :])
    assert not np.array_equal(found[0], found[2])


def test_rebatched_edits(lab):
    two = edit("two", "noise", RANGE, batch=2)
    together = sounds(lab, sampled(two, "two"))
    assert not np.array_equal(together[0], together[1])
    for batch in ({**two, "batch": two["two"]}, BATCH):
        graph = {**batch, "one": node("RebatchLatents", latents=["batch", 0], batch_size=1)}
        assert_same(sounds(lab, sampled(graph, "one")), sounds(lab, sampled(batch, "batch")))


@pytest.mark.parametrize("behaviour", ["fixed", "random"])
def test_seed_behaviour_keeps_the_sounds(lab, behaviour):
    two = edit("two", "noise", RANGE, batch=2)
    graph = {**two, "seeds": node("LatentBatchSeedBehavior", samples=["two", 0], seed_behavior=behaviour)}
    first, second = sounds(lab, sampled(graph, "seeds"))
    expected = sounds(lab, sampled(two, "two"))
    assert_same([first], expected[:1])
    assert np.array_equal(second[:, RATE // 2 :], expected[1][:, RATE // 2 :])


def test_a_batch_whose_sounds_are_no_longer_told_apart(lab):
    graph = {**BATCH, "seeds": node("LatentBatchSeedBehavior", samples=["batch", 0], seed_behavior="random")}
    assert_refused(lab, sampled(graph, "seeds"), "sample", "has 2 sounds.*of 1.*Latent Batch Seed Behavior")
    graph["seeds"]["inputs"]["seed_behavior"] = "fixed"
    assert_refused(lab, sampled(graph, "seeds"), "sample", "Sound 2 .*no longer its source")


@pytest.mark.parametrize("order", [("A", "empty"), ("empty", "A")], ids="-".join)
def test_an_edit_beside_an_empty_latent(lab, order):
    graph = {**A, **EMPTY, "batch": node("LatentBatch", samples1=[order[0], 0], samples2=[order[1], 0])}
    batch = sampled(graph, "batch")
    assert_refused(lab, batch, "decode", r"1\.00 s, 5\.00 s.*Latent From Batch")
    for index, name in enumerate(order):
        expected = [alone(lab, graph, name)]
        assert_same(sounds(lab, {**batch, **picked("sample", index)}, "picked"), expected)
        assert_same(sounds(lab, sampled({**graph, **picked("batch", index)}, "picked")), expected)
    core = {**sampled(graph, "batch", core=True), **picked("sample", 1)}  # masks the second sound like the first
    words = "ranges of another" if order[0] == "A" else "no longer its source"
    assert_refused(lab, core, "decode", f"Sound 1 .*{words}", latent="picked")


MIXERS = {
    "LatentBlend": {"blend_factor": 0.5},
    "LatentInterpolate": {"ratio": 0.5},
    "LatentAdd": {},
    "LatentSubtract": {},
}


@pytest.mark.parametrize("mixer", MIXERS)
def test_mixed_edits_are_refused(lab, mixer):
    graph = {**A, **B, "mix": node(mixer, samples1=["A", 0], samples2=["B", 0], **MIXERS[mixer])}
    assert_refused(lab, sampled(graph, "mix"), "sample", "Sound 1 .*mixed, changed")
    after = {**sampled(BATCH, "A"), "other": node("LatentMultiply", samples=["sample", 0], multiplier=0.9)}
    assert_refused(lab, after, "decode", "Sound 1 .*mixed, changed", latent="other")


def test_sounds_without_ranges_may_be_mixed(lab):
    graph = {**edit("A", "noise"), **edit("B", "constant")}
    graph["mix"] = node("LatentBlend", samples1=["A", 0], samples2=["B", 0], blend_factor=0.5)
    [sound] = sounds(lab, sampled(graph, "mix", denoise=0.5))
    assert sound.shape == (2, RATE)
    graph["range"] = node("AudioXMaskRange", latent=["mix", 0], start=0.2, end=0.5)
    assert_refused(lab, sampled(graph, "range"), "range", "Sound 1 .*mixed, changed")


def test_joined_or_cut_latents_have_no_length_of_their_own(lab):
    graph = {**edit("A", "noise"), **edit("B", "constant")}
    graph["joined"] = node("LatentConcat", samples1=["A", 0], samples2=["B", 0], dim="x")
    joined = sampled(graph, "joined", denoise=0.5)
    assert_refused(lab, joined, "decode", r"472 frames.*236.*1\.00 s.*Set seconds")
    [sound] = sounds(lab, joined, seconds=15.0)
    assert sound.shape == (2, 15 * RATE)
    graph = {**A, **B, "joined": graph["joined"]}
    assert_refused(lab, sampled(graph, "joined"), "sample", "Sound 1 .*mixed, changed")
    graph["joined"]["inputs"]["dim"] = "t"  # of three axes that is the batch
    assert_refused(lab, sampled(graph, "joined"), "sample", "2 sounds.*numbers 1")


def test_loops_and_lengths_stay_with_their_sound(lab):
    graph = {
        "loop": node("AudioXEmptyLatent", seconds=10.95, loop=True),
        "line": node("AudioXEmptyLatent", seconds=5.0),
        "batch": node("LatentBatch", samples1=["loop", 0], samples2=["line", 0]),
    }
    assert_refused(lab, sampled(graph, "batch"), "sample", "loops and some are not")
    for index, name in enumerate(("loop", "line")):
        expected = alone(lab, graph, name)
        assert_same(sounds(lab, sampled({**graph, **picked("batch", index)}, "picked")), [expected])


def test_a_longer_sound_than_the_edited_one_is_refused(lab):
    assert_refused(lab, sampled(A, "A"), "decode", r"5\.00 s was requested.*1\.00 s.*after", seconds=5.0)
    [sound] = sounds(lab, sampled(A, "A"), seconds=0.75)
    assert np.array_equal(sound, alone(lab, A, "A")[:, : round(0.75 * RATE)])
