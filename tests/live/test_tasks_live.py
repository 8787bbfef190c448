"""Lengths, loops, kept parts and guidance apart in a real ComfyUI, by our sampler and by core's."""

import numpy as np
import pytest
import torch

from devtools.graphs import BASE, TURBO, node, read_audio, run_latent, text_to_latent

RATE = 44100


def sound_of(server, prompt: dict) -> np.ndarray:
    """Run a prompt whose sampler is `sample`, decode and save; the sound that was written."""
    prompt = dict(prompt)
    prompt.pop("save", None)
    prompt["decode"] = node("AudioXVAEDecode", vae=["load", 1], latent=["sample", 0])
    prompt["out"] = node("SaveAudio", audio=["decode", 0], filename_prefix="audio/task")
    item, *_ = server.run(prompt).files("out")
    sound, rate = read_audio(server.output_path(item))
    assert rate == RATE
    return sound


def working_on(
    checkpoint: str = TURBO,
    *,
    samples: int = 5 * RATE,
    channels: int = 2,
    rate: int = RATE,
    batch: int = 1,
    before: float = 0.0,
    after: float = 0.0,
    **sample,
) -> dict:
    """A sound to work on, sampled as it is."""
    prompt = text_to_latent(checkpoint, **sample)
    prompt["audio"] = node("LabAudio", kind="noise", channels=channels, samples=samples, rate=rate, batch=batch)
    prompt["latent"] = node("AudioXVAEEncode", vae=["load", 1], audio=["audio", 0], before=before, after=after)
    return prompt


def with_range(prompt: dict, start: float, end: float) -> dict:
    prompt = {**prompt, "range": node("AudioXMaskRange", latent=["latent", 0], start=start, end=end)}
    key = "latent" if "latent" in prompt["sample"]["inputs"] else "latent_image"
    prompt["sample"]["inputs"][key] = ["range", 0]
    return prompt


def by_core(prompt: dict, **settings) -> dict:
    """The same with KSampler."""
    given = prompt["sample"]["inputs"]
    links = {"model": given["model"], "positive": given["positive"], "negative": ["nothing", 0]}
    return {
        **prompt,
        "nothing": node("ConditioningZeroOut", conditioning=["text", 0]),
        "sample": node("KSampler", **links, latent_image=given["latent"], seed=given["seed"], **settings),
    }


TURBO_SETTINGS = {"steps": 4, "cfg": 1.0, "sampler_name": "lcm", "scheduler": "simple", "denoise": 1.0}
BASE_SETTINGS = {"steps": 4, "cfg": 6.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}


def original(lab, **audio) -> np.ndarray:
    """The lab's sound as a file would hold it."""
    prompt = {
        "audio": node("LabAudio", **{"kind": "noise", "channels": 2, "samples": 5 * RATE, **audio}),
        "out": node("SaveAudio", audio=["audio", 0], filename_prefix="audio/original"),
    }
    [item] = lab.run(prompt).files("out")
    return read_audio(lab.output_path(item))[0]


# What is kept


@pytest.mark.parametrize(
    "checkpoint, core", [(TURBO, None), (BASE, None), (TURBO, TURBO_SETTINGS), (BASE, BASE_SETTINGS)]
)
def test_all_but_the_range_is_kept_to_the_sample(lab, checkpoint, core):
    prompt = working_on(checkpoint, seed=5)
    if core:
        prompt = by_core(prompt, **core)
    prompt = with_range(prompt, 1.0, 2.5)
    known = original(lab)
    sound = sound_of(lab, prompt)
    assert sound.shape == known.shape
    assert np.array_equal(sound[:, :RATE], known[:, :RATE])
    assert np.array_equal(sound[:, round(2.5 * RATE) :], known[:, round(2.5 * RATE) :])
    assert np.abs(sound[:, RATE : 2 * RATE] - known[:, RATE : 2 * RATE]).max() > 0.01


def test_core_s_sampler_keeps_and_makes_the_same(lab):
    ours = run_latent(lab, with_range(working_on(BASE, seed=5, cfg=6.0), 1.0, 2.5))
    core = run_latent(lab, with_range(by_core(working_on(BASE, seed=5), **BASE_SETTINGS), 1.0, 2.5))
    assert (ours - core).abs().max() < 1e-4


def test_several_ranges_add_up_and_a_batch_varies(lab):
    prompt = with_range(working_on(seed=1), 0.5, 1.0)
    prompt["second"] = node("AudioXMaskRange", latent=["range", 0], start=3.0, end=0.0)
    prompt["twice"] = node("RepeatLatentBatch", samples=["second", 0], amount=2)
    prompt["sample"]["inputs"]["latent"] = ["twice", 0]
    prompt["decode"] = node("AudioXVAEDecode", vae=["load", 1], latent=["sample", 0])
    prompt["out"] = node("SaveAudio", audio=["decode", 0], filename_prefix="audio/ranges")
    del prompt["save"]
    first, second = (read_audio(lab.output_path(item))[0] for item in lab.run(prompt).files("out"))
    known = original(lab)
    for sound in (first, second):
        assert np.array_equal(sound[:, RATE : 3 * RATE], known[:, RATE : 3 * RATE])
        assert not np.array_equal(sound[:, 4 * RATE :], known[:, 4 * RATE :])
    assert not np.array_equal(first, second)


def test_room_before_and_after(lab):
    sound = sound_of(lab, working_on(before=2.0, after=7.25))
    assert sound.shape == (2, round(14.25 * RATE))
    assert np.array_equal(sound[:, 2 * RATE : 7 * RATE], original(lab))


# Lengths


@pytest.mark.parametrize("seconds", [0.5, 10.01, 33.0])
def test_any_length_to_the_sample(lab, seconds):
    prompt = text_to_latent()
    prompt["latent"]["inputs"]["seconds"] = seconds
    assert sound_of(lab, prompt).shape == (2, round(seconds * RATE))


def test_core_s_sampler_makes_long_sound_too(lab):
    prompt = text_to_latent(BASE, seed=3, cfg=6.0)
    prompt["latent"]["inputs"]["seconds"] = 20.0
    ours = run_latent(lab, prompt)
    assert ours.shape == (1, 64, 580)
    assert (ours - run_latent(lab, by_core(prompt, **BASE_SETTINGS))).abs().max() < 1e-4


def test_each_window_sees_its_own_part_of_a_video(lab, tmp_path):
    """What changes in the video's second half changes the sound there and not before the windows that see it."""
    from devtools.media_maker import corner_picture, make_video, numbered_picture

    latents = []
    for name, later in (("same", numbered_picture(3)), ("other", corner_picture())):
        pictures = [numbered_picture(3), later]
        path = make_video(tmp_path / f"{name}.mp4", count=600, picture=lambda i, p=pictures: p[i >= 300])
        prompt = text_to_latent(TURBO, seed=2, steps=1)
        prompt["video"] = node("LoadVideo", file=lab.place_input(path))
        prompt["seen"] = node("AudioXEncodeVideo", video_encoder=["load", 3], video=["video", 0], seconds=0.0)
        prompt["latent"]["inputs"]["seconds"] = ["seen", 1]
        prompt["sample"]["inputs"]["positive"] = ["seen", 0]
        latents.append(run_latent(lab, prompt))
    change = (latents[0] - latents[1]).abs().amax(dim=(0, 1))
    assert latents[0].shape[-1] == 236 + 2 * 172
    assert change[:172].max() < 1e-5  # the first window ends at 10 s and sees nothing of second 12
    assert change[300:].min() > 1e-4


SHAPES = [(1, 1, 8000), (2, 2, 44100), (5, 6, 48000), (1, 2, 192000)]


@pytest.mark.parametrize("batch, channels, rate", SHAPES)
@pytest.mark.parametrize("seconds", [0.5, 1.0, 9.99, 10.0, 10.01, 33.0])
def test_sounds_of_every_shape_are_worked_on(lab, batch, channels, rate, seconds):
    prompt = working_on(samples=round(seconds * rate), channels=channels, rate=rate, batch=batch, steps=1)
    prompt = with_range(prompt, 0.1, 0.3)
    saved = run_latent(lab, prompt)
    assert saved.shape == (batch, 64, 752 if seconds == 33 else 236)
    assert saved.isfinite().all()
    assert sound_of(lab, prompt).shape == (2, round(round(seconds * rate) * RATE / rate))


# Loops


def test_a_loop_has_its_length(lab):
    prompt = text_to_latent()
    prompt["latent"]["inputs"] |= {"seconds": 7.3, "loop": True}
    assert sound_of(lab, prompt).shape == (2, round(7.3 * RATE))
    latent = run_latent(lab, prompt)
    assert latent.shape == (1, 64, 158)
    prompt["latent"]["inputs"]["loop"] = False
    assert (run_latent(lab, prompt)[..., :158] - latent).abs().max() > 1e-2


# Guidance


def test_a_scale_for_the_video_apart(lab):
    prompt = text_to_latent(BASE, seed=2, cfg=6.0)
    prompt["video"] = node("LoadVideo", file="example.mp4")
    prompt["seen"] = node("AudioXEncodeVideo", video_encoder=["load", 3], video=["video", 0], conditioning=["text", 0])
    prompt["sample"]["inputs"]["positive"] = ["seen", 0]
    plain = run_latent(lab, prompt)
    latents = {}
    for scale in (6.0, 1.0, 3.0):
        prompt["sample"]["inputs"]["video_cfg"] = scale
        latents[scale] = run_latent(lab, prompt)
    assert torch.equal(plain, latents[6.0])
    assert (plain - latents[1.0]).abs().max() > 1e-3
    assert (latents[3.0] - latents[1.0]).abs().max() > 1e-3


# Words


def test_what_was_cut_off_is_told(lab):
    prompt = text_to_latent(text="rain " * 130 + "and thunder")
    run = lab.run(prompt)
    [text] = run["outputs"]["text"]["text"]
    assert "128 tokens" in text
    assert text.endswith("and thunder")


def test_a_task_fills_only_an_empty_text(lab):
    def latent(text: str, **task) -> torch.Tensor:
        prompt = text_to_latent(text=text)
        prompt["text"]["inputs"] |= task
        return run_latent(lab, prompt)

    sentence = latent("Generate general audio for the video")
    assert torch.equal(latent("", task="video to audio"), sentence)
    assert torch.equal(latent("rain", task="video to audio"), latent("rain"))
    assert not torch.equal(latent(""), sentence)
