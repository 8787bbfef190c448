"""The command line makes sound for every task, and the headless pipeline keeps its promises."""

import json
import subprocess
import sys

import av
import numpy as np
import pytest
import torch

from audiox_core import lengths
from audiox_core.checkpoint import open_checkpoint
from audiox_core.cli import main
from audiox_core.media.audio import read_audio
from audiox_core.pipeline import AudioX, Prompt
from audiox_core.sampling.presets import resolve_settings
from devtools import media_maker
from devtools.graphs import video_packets
from devtools.paths import ROOT

PROMPT = "rain on a car"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return media_maker.make_demo_video(tmp_path_factory.mktemp("media") / "clip.mp4")


@pytest.fixture(scope="module")
def picture(clip, tmp_path_factory):
    path = tmp_path_factory.mktemp("media") / "picture.png"
    with av.open(str(clip)) as container:
        next(container.decode(video=0)).to_image().save(path)
    return path


@pytest.fixture(scope="module")
def turbo(small_model_dir):
    return AudioX(open_checkpoint(small_model_dir))


def generate(model, out, *options):
    return main(["generate", "--model", str(model), "--out", str(out), *map(str, options)])


def sound_of(path):
    waveform, rate = read_audio(path)
    assert rate == lengths.SAMPLE_RATE
    assert waveform.shape[0] == 2
    assert torch.isfinite(waveform).all()
    assert waveform.abs().max() <= 1
    assert waveform.std() > 1e-4
    return waveform


@pytest.mark.parametrize("task", ["text", "video", "image", "audio", "text and video", "all"])
def test_every_task_makes_ten_seconds_of_sound(task, small_model_dir, clip, picture, tmp_path):
    options = []
    if task in ("text", "text and video", "all"):
        options += ["--prompt", PROMPT]
    if task in ("video", "text and video", "all"):
        options += ["--video", clip]
    if task in ("audio", "all"):
        options += ["--audio", clip]
    if task == "image":
        options += ["--image", picture]
    assert generate(small_model_dir, tmp_path / "out.wav", *options) == 0
    assert sound_of(tmp_path / "out.wav").shape == (2, 441000)


def test_prompts_change_the_sound(turbo, clip):
    """Each modality reaches the output: the same noise with another prompt gives another latent."""
    text = turbo.encode_text(PROMPT)[0]
    other = turbo.encode_text("a dog")[0]
    sound = torch.rand(2, lengths.PROMPT_SAMPLES, generator=torch.Generator().manual_seed(0)) - 0.5
    frames = torch.randint(0, 256, (50, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    sync = frames.repeat(5, 1, 1, 1)
    tokens, features = turbo.encode_video(frames, sync)
    prompts = [
        Prompt(),
        Prompt(text=text),
        Prompt(text=other),
        Prompt(text=text, audio=turbo.encode_audio(sound)),
        Prompt(text=text, clip_tokens=tokens, sync_features=features),
    ]
    settings = resolve_settings("turbo", steps=1)
    latents = [turbo.sample(prompt, settings, [0]) for prompt in prompts]
    for i, one in enumerate(latents):
        for two in latents[i + 1 :]:
            assert (one - two).abs().max() > 1e-4


def test_a_black_video_is_no_video(turbo):
    black = torch.zeros(50, 3, 224, 224, dtype=torch.uint8)
    assert turbo.encode_video(black, torch.zeros(250, 3, 224, 224, dtype=torch.uint8)) == (None, None)


def test_an_mp4_keeps_the_pictures_and_gets_the_sound(small_model_dir, clip, tmp_path):
    out = tmp_path / "out.mp4"
    assert generate(small_model_dir, out, "--video", clip, "--prompt", PROMPT) == 0
    assert video_packets(out) == video_packets(clip)
    sound_of(out)


def test_a_batch_gives_what_single_runs_give(small_model_dir, tmp_path):
    full = ("--dtype", "fp32")
    assert generate(small_model_dir, tmp_path / "many.flac", "--prompt", PROMPT, "--seed", 5, "--batch", 2, *full) == 0
    assert generate(small_model_dir, tmp_path / "one.flac", "--prompt", PROMPT, "--seed", 6, *full) == 0
    batch, single = sound_of(tmp_path / "many_6.flac"), sound_of(tmp_path / "one.flac")
    assert torch.allclose(batch, single, atol=1e-4)


def test_same_seed_same_bytes(small_model_dir, tmp_path):
    for name in ("a", "b"):
        assert generate(small_model_dir, tmp_path / f"{name}.wav", "--prompt", PROMPT, "--seed", 3) == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_seconds_are_exact(small_model_dir, tmp_path):
    assert generate(small_model_dir, tmp_path / "short.wav", "--prompt", PROMPT, "--seconds", 2.5) == 0
    assert sound_of(tmp_path / "short.wav").shape == (2, 110250)


def test_a_converted_file_gives_the_same_bytes_of_sound(small_model_dir, tmp_path):
    converted = tmp_path / "converted.safetensors"
    assert main(["convert", str(small_model_dir), str(converted), "--dtype", "fp32"]) == 0
    for model, name in ((small_model_dir, "released"), (converted, "converted")):
        assert generate(model, tmp_path / f"{name}.wav", "--prompt", PROMPT) == 0
    assert (tmp_path / "released.wav").read_bytes() == (tmp_path / "converted.wav").read_bytes()


@pytest.mark.parametrize(("dtype", "limit"), [(torch.bfloat16, 0.05), (torch.float16, 0.008)])
def test_half_precision_stays_near(dtype, limit, small_model_dir):
    """Distance of a whole run's latent to float32's, relative to its size; far above rounding, far below wrong."""
    settings = resolve_settings("turbo")
    latents = []
    for precision in (torch.float32, dtype):
        model = AudioX(open_checkpoint(small_model_dir), dtype=precision)
        latents.append(model.sample(Prompt(text=model.encode_text(PROMPT)[0]), settings, [0]))
    distance = (latents[0] - latents[1]).norm() / latents[0].norm()
    assert 0 < distance < limit


def test_guidance_steers_and_a_negative_prompt_counts(small_model_dir, tmp_path):
    model = AudioX(open_checkpoint(small_model_dir, variant="base"))
    prompt, negative = (Prompt(text=model.encode_text(text)[0]) for text in (PROMPT, "a dog"))
    plain = model.sample(prompt, resolve_settings("base", steps=2, cfg=1.0), [0])
    guided = model.sample(prompt, resolve_settings("base", steps=2, cfg=6.0), [0])
    against = model.sample(prompt, resolve_settings("base", steps=2, cfg=6.0), [0], negative)
    assert (plain - guided).abs().max() > 1e-3
    assert (guided - against).abs().max() > 1e-4
    itself = model.sample(prompt, resolve_settings("base", steps=2, cfg=6.0), [0], prompt)
    assert torch.allclose(itself, plain, atol=1e-4)  # guidance away from the prompt itself cancels


BAD = {
    "no such model": (["--model", "nothing"], "nothing"),
    "no such video": (["--video", "nothing.mp4"], "nothing.mp4"),
    "no sound to edit": (["--edit", "nothing.wav"], "nothing.wav"),
    "no such sound": (["--audio", "nothing.wav"], "nothing.wav"),
    "guidance on turbo": (["--cfg", "5"], "distilled"),
    "negative without guidance": (["--negative", "noise"], "guidance"),
    "too long": (["--seconds", "601"], "at most 600"),
    "a range of nothing": (["--range", "1:2"], "--edit"),
    "a loop of a sound": (["--edit", "x.wav", "--loop"], "combined"),
    "no length": (["--seconds", "0"], "more than 0"),
    "unknown ending": (["--out", "sound.xyz"], ".wav"),
    "video out of nothing": (["--out", "film.mp4"], "--video"),
    "no such folder": (["--out", "nowhere/sound.wav"], "nowhere"),
    "no such device": (["--device", "foo"], "foo"),
    "seed below zero": (["--seed", "-1"], "0 or more"),
    "no sounds": (["--batch", "0"], "1 or more"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gives_one_sentence_and_no_file(case, small_model_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options, word = BAD[case]
    arguments = ["generate", "--model", str(small_model_dir), "--prompt", PROMPT, "--out", "sound.wav", *options]
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("audiox generate: ")
    assert word in said
    assert list(tmp_path.iterdir()) == []


def test_a_long_prompt_says_what_was_cut(small_model_dir, tmp_path, caplog):
    long = " ".join(["rain"] * 200)
    assert generate(small_model_dir, tmp_path / "long.wav", "--prompt", long) == 0
    assert "cut off: rain" in caplog.text


def test_inspect_tells_the_variant(small_model_dir, capsys):
    assert main(["inspect", str(small_model_dir), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checkpoint"]["variant"] == "turbo"


def test_sound_is_real_stereo(turbo):
    latent = turbo.sample(Prompt(), resolve_settings("turbo"), [0])
    sound = turbo.decode(latent)[0].numpy()
    assert abs(np.corrcoef(sound)[0, 1]) < 0.999


def test_help_waits_for_nothing_slow():
    code = "import sys, audiox_core.cli as cli; cli.build_parser(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
