"""The demo checkpoints that come along: they load, they are small, and what they make is what was asked for."""

import pytest
import torch

from audiox_core.checkpoint import open_checkpoint
from audiox_core.checkpoint.convert import convert
from audiox_core.cli import main
from audiox_core.demo import FOLDER, NAMES, demo_path
from audiox_core.errors import AudioXError
from audiox_core.sampling.presets import resolve_settings
from devtools.demo_checks import FILM, check_answer, check_words, heard_in
from training.evaluation import judge
from training.evaluation.cases import write_film

MEGABYTE = 1e6


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "flashes.mp4"
    write_film(path, FILM)
    return path


# The files


def test_all_files_together_are_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 12 * MEGABYTE


@pytest.mark.parametrize("variant", NAMES)
def test_they_load_like_released_files_and_say_what_they_are(variant):
    checkpoint = open_checkpoint(demo_path(variant))
    assert (checkpoint.variant, checkpoint.variant_source) == (variant, "metadata")
    assert set(checkpoint.parts) == {"network", "vae", "clip_vision", "synchformer", "t5", "tokenizer"}
    assert all(file.metadata["license"].startswith("Apache-2.0") for file in checkpoint.files)
    assert any(name.startswith("model.model.transformer.layers.0.") for name in checkpoint.files[0].shapes)


def test_base_asks_for_its_own_guidance():
    assert open_checkpoint(demo_path("base")).guidance == 2
    assert resolve_settings("base", guidance=2.0).cfg == 2
    assert resolve_settings("base", cfg=5.0, guidance=2.0).cfg == 5
    assert open_checkpoint(demo_path("turbo")).guidance is None


def test_a_conversion_keeps_what_a_checkpoint_asks_for(tmp_path):
    convert(demo_path("base"), tmp_path / "one.safetensors", dtype=torch.bfloat16)
    assert open_checkpoint(tmp_path / "one.safetensors").guidance == 2


def test_guidance_that_is_no_number_is_refused(tmp_path):
    path = tmp_path / "demo_base.safetensors"
    path.write_bytes(demo_path("base").read_bytes().replace(b'"audiox.cfg":"2"', b'"audiox.cfg":"x"'))
    with pytest.raises(AudioXError, match="states the guidance scale 'x'"):
        _ = open_checkpoint(path).guidance


# The command line


def test_generate_uses_the_demo_and_says_so(tmp_path, capsys):
    out = tmp_path / "tone.wav"
    assert main(["generate", "--prompt", "a high tone", "--out", str(out)]) == 0
    assert "this is the demo" in capsys.readouterr().err
    assert heard_in(out) == "high tone"


def test_an_untrained_demo_is_not_heard_as_what_was_asked_for(tmp_path):
    from audiox_core.pipeline import AudioX, Prompt
    from training.evaluation.batches import sample_many, untrained_network

    checkpoint = open_checkpoint(demo_path("turbo"))
    model = AudioX(checkpoint)
    network = untrained_network(checkpoint, seed=0)
    prompt = Prompt(model.encode_text("a high tone")[0])
    latent = sample_many(model, [prompt], resolve_settings("turbo"), [0], network=network)
    assert judge.hear(model.decode(latent)[0].numpy()).kinds[0] != "high tone"


def test_base_follows_words_in_few_steps(tmp_path):
    out = tmp_path / "ticks.wav"
    arguments = ["--variant", "base", "--steps", "12", "--prompt", "slow ticking", "--out", str(out)]
    assert main(["generate", *arguments]) == 0
    assert heard_in(out) == "slow ticking"


# ComfyUI


def test_the_loader_lists_the_demo_last(comfy):
    offered = comfy.options("AudioXLoad", "checkpoint")
    assert offered[-2:] == list(NAMES.values())
    assert len(offered) > 2


@pytest.mark.parametrize("name", ["t2a_turbo", "t2a_base", "t2a_turbo_core_nodes", "t2a_base_core_nodes"])
@pytest.mark.parametrize("text, kind", [("a falling siren", "falling sweep"), ("slow ticking", "slow ticking")])
def test_words_become_the_right_sound_in_comfyui(name, text, kind, comfy):
    check_words(comfy, name, text, kind)


@pytest.mark.parametrize("name", ["v2a_turbo", "v2a_base", "v2a_turbo_core_nodes", "v2a_base_core_nodes"])
def test_a_video_is_answered_in_comfyui(name, comfy, film):
    check_answer(comfy, name, film)
