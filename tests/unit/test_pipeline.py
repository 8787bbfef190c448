"""The library's front door: open, prompt, generate, edit, and a request that says the same as plain values."""

import itertools
from dataclasses import replace

import pytest
import torch

import audiox_core
from audiox_core import AudioX, Request
from audiox_core.errors import AudioXError
from audiox_core.lengths import CLIP_SECONDS, SAMPLE_RATE
from audiox_core.media.audio import read_audio, whole_sound, write_audio
from audiox_core.media.splice import FADE_SAMPLES
from audiox_core.request import parse_range
from devtools import media_maker


@pytest.fixture(scope="module")
def turbo() -> AudioX:
    return AudioX.open(device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module")
def base() -> AudioX:
    return AudioX.open(variant="base", device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A video of 1 s with sound."""
    return media_maker.make_demo_video(tmp_path_factory.mktemp("media") / "clip.mp4", seconds=1.0)


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """A sound of 2 s at another rate."""
    path = tmp_path_factory.mktemp("media") / "street.wav"
    write_audio(path, media_maker.tone(2.0, rate=48000), 48000)
    return path


def test_the_package_offers_the_front_door():
    assert set(audiox_core.__all__) == {"AudioX", "AudioXError", "Prompt", "Request"}
    assert all(hasattr(audiox_core, name) for name in audiox_core.__all__)
    with pytest.raises(AttributeError):
        _ = audiox_core.Nothing


def test_open_says_what_is_wrong_with_the_device_and_the_path(tmp_path):
    with pytest.raises(AudioXError, match="foo"):
        AudioX.open(device="foo")
    with pytest.raises(AudioXError, match="nothing"):
        AudioX.open(tmp_path / "nothing", device="cpu")


# Prompts


def test_a_prompt_is_what_the_stages_encode(turbo, clip):
    prompt = turbo.prompt("a high tone", video=clip, audio=clip, seconds=1.0)
    assert torch.equal(prompt.text, turbo.encode_text("a high tone")[0])
    assert prompt.clip_tokens is not None and prompt.sync_features is not None and prompt.audio is not None
    assert prompt.negative is None and not prompt.still
    assert turbo.prompt().clip_tokens is None


def test_samples_and_a_file_are_the_same_audio_prompt(turbo, street):
    from_file, from_samples = (turbo.prompt(audio=each).audio for each in (street, read_audio(street)))
    assert torch.equal(from_file, from_samples)
    later = turbo.prompt(audio=read_audio(street), audio_start=0.5).audio
    assert torch.allclose(later, turbo.prompt(audio=street, audio_start=0.5).audio, atol=1e-3)
    assert (later - from_file).abs().max() > 0.1


def test_a_negative_prompt_differs_in_its_text_alone(base, clip):
    prompt = base.prompt("a high tone", negative="noise", video=clip, seconds=1.0)
    assert torch.equal(prompt.negative.clip_tokens, prompt.clip_tokens)
    assert torch.equal(prompt.negative.text, base.encode_text("noise")[0])


def test_a_video_and_an_image_exclude_each_other(turbo, clip):
    with pytest.raises(AudioXError, match="not both"):
        turbo.prompt(video=clip, image=clip)
    with pytest.raises(AudioXError, match="beyond the end"):
        turbo.prompt(video=clip, video_start=5.0, seconds=0)


# Generate


def test_generate_is_sample_and_decode(turbo):
    prompt = turbo.prompt("slow ticking")
    sounds = turbo.generate(prompt, seconds=2, seeds=[3, 4])
    assert sounds.shape == (2, 2, 2 * SAMPLE_RATE) and sounds.dtype == torch.float32
    latent = turbo.sample(prompt, turbo.settings(), [3, 4], seconds=2)
    assert torch.equal(sounds, turbo.decode(latent, seconds=2))
    assert torch.equal(sounds, turbo.generate("slow ticking", seconds=2, seeds=[3, 4]))


def test_a_negative_prompt_counts_with_guidance_and_is_refused_without(turbo, base):
    settings = base.settings(steps=2)
    prompt = base.prompt("a high tone", negative="noise")
    against = base.generate(prompt, seconds=1, settings=settings)
    assert (against - base.generate(replace(prompt, negative=None), seconds=1, settings=settings)).abs().max() > 1e-3
    latent = base.sample(replace(prompt, negative=None), settings, negative=prompt.negative, seconds=1)
    assert torch.equal(against, base.decode(latent, seconds=1))
    with pytest.raises(AudioXError, match="guidance"):
        turbo.generate(replace(turbo.prompt("x"), negative=turbo.prompt("y")), seconds=1)
    with pytest.raises(AudioXError, match="1 of 2 prompts"):
        base.sample([prompt, replace(prompt, negative=None)], settings, [0, 1])


def test_progress_and_stages_are_reported(turbo):
    calls, stages = [], []
    turbo.stage = lambda name: stages.append(name) or torch.no_grad()
    try:
        turbo.generate("a tone", seconds=1, progress=lambda *call: calls.append(call))
    finally:
        del turbo.stage
    assert [stage for stage in stages_of(calls) if stage != "load"] == ["text", "sample", "decode"]
    assert [call for call in calls if call[0] == "sample"] == [("sample", done, 4) for done in range(5)]
    assert_each_stage_begins_and_ends(calls)
    assert stages == ["encode", "sample", "decode"]


def stages_of(calls):
    return [stage for stage, _ in itertools.groupby(calls, lambda call: call[0])]


def assert_each_stage_begins_and_ends(calls):
    for stage in {call[0] for call in calls}:
        counts = [(done, total) for name, done, total in calls if name == stage]
        assert counts[0][0] == 0 and counts[-1][0] == counts[-1][1] > 0, (stage, counts)


def test_reading_weights_and_encoding_are_reported_too(street, clip):
    model, calls = AudioX.open(variant="base", device="cpu", dtype=torch.float32), []
    prompt = model.prompt("a tone", video=clip, audio=street, seconds=1, progress=lambda *call: calls.append(call))
    assert stages_of(calls) == ["load", "video", "load", "video", "load", "text", "load", "audio"]
    loaded = [total for stage, done, total in calls if stage == "load" and done == 0]
    parts = ("clip_vision", "synchformer", "t5", "vae")
    assert loaded == [model.checkpoint.stored_bytes(part) for part in parts]
    assert_each_stage_begins_and_ends([call for call in calls if call[0] != "load"])
    calls.clear()
    settings = model.settings(steps=1)
    model.generate(prompt, seconds=1, settings=settings, seeds=[0, 1], progress=lambda *call: calls.append(call))
    assert stages_of(calls) == ["load", "sample", "decode"]
    decoded = [done for stage, done, total in calls if stage == "decode"]
    assert decoded == sorted(decoded) and len(decoded) > 5


@pytest.mark.parametrize("seconds, word", [(0.0, "more than 0"), (601.0, "at most 600"), (float("nan"), "nan")])
def test_lengths_that_cannot_be_are_refused(turbo, seconds, word):
    with pytest.raises(AudioXError, match=word):
        turbo.generate("a tone", seconds=seconds)


# Edit


def test_an_edit_keeps_the_rest_to_the_sample(turbo, street):
    source = whole_sound(*read_audio(street))
    edited = turbo.edit(street, "noise", ranges=[(0.5, 1.0)], after=1, seeds=[1, 2])
    assert edited.shape == (2, 2, 3 * SAMPLE_RATE)
    first, last = round(0.5 * SAMPLE_RATE), SAMPLE_RATE
    for sound in edited:
        assert torch.equal(sound[:, :first], source[:, :first])
        assert torch.equal(sound[:, last : 2 * SAMPLE_RATE], source[:, last:])
        middle = slice(first + FADE_SAMPLES, last - FADE_SAMPLES)
        assert (sound[:, middle] - source[:, middle]).abs().max() > 1e-3
    assert (edited[0] - edited[1]).abs().max() > 1e-3


def test_a_variation_stays_nearer_with_less_denoise(turbo, street):
    source = whole_sound(*read_audio(street))
    near, far = (turbo.edit(street, "noise", denoise=denoise)[0] for denoise in (0.05, 1.0))
    assert (near - source).norm() < (far - source).norm()


def test_a_range_outside_the_sound_is_refused(turbo, street):
    with pytest.raises(AudioXError, match="within the sound"):
        turbo.edit(street, ranges=[(3, 4)])


# Requests


def test_a_request_gives_what_the_methods_give(turbo, clip):
    request = Request(prompt="a bell", video=str(clip), seconds=0, seed=5, batch=2)
    sounds = turbo.run(request)
    length = request.with_length().seconds
    prompt = turbo.prompt("a bell", video=clip, seconds=length)
    assert torch.equal(sounds, turbo.generate(prompt, seconds=length, seeds=[5, 6]))


def test_a_request_to_edit_gives_what_edit_gives(turbo, street):
    request = Request(prompt="noise", edit=str(street), ranges=((0.5, 1.0),), before=0.5)
    assert torch.equal(turbo.run(request), turbo.edit(street, "noise", ranges=[(0.5, 1.0)], before=0.5))


def test_a_request_has_defaults_and_cannot_be_changed():
    request = Request()
    assert request.seconds == CLIP_SECONDS and list(request.seeds) == [0]
    with pytest.raises(AttributeError):
        request.seed = 1


@pytest.mark.parametrize(
    "values, word",
    [
        ({"seed": -1}, "0 or more"),
        ({"seed": 2**64}, "2\\^64"),
        ({"batch": 0}, "1 or more"),
        ({"sampler": "magic"}, "magic"),
        ({"mode": "loud"}, "loud"),
        ({"video": "a", "image": "b"}, "not both"),
        ({"edit": "a", "loop": True}, "combined"),
        ({"denoise": 0.5}, "--edit"),
        ({"ranges": ((0.0, 1.0),)}, "--edit"),
    ],
)
def test_requests_that_contradict_themselves_are_refused(values, word):
    with pytest.raises(AudioXError, match=word):
        Request(**values)


@pytest.mark.parametrize("text, span", [("2:4", (2.0, 4.0)), (":1.5", (0.0, 1.5)), ("3:", (3.0, 0.0))])
def test_ranges_are_read(text, span):
    assert parse_range(text) == span


@pytest.mark.parametrize("text", ["", "2", "a:b", "1:2:3"])
def test_other_ranges_are_refused(text):
    with pytest.raises(AudioXError, match="START:END"):
        parse_range(text)
