"""AudioX, AudioX-MAF and AudioX-MAF-MMDiT in a real ComfyUI: our sampler, core's sampler, prompts of every kind."""

import pytest

from audiox_core.checkpoint import open_checkpoint
from audiox_core.pipeline import AudioX, Prompt
from audiox_core.sampling.presets import resolve_settings
from devtools.comfy_server import PromptError
from devtools.graphs import node, run_latent, text_to_latent
from devtools.small_family import FOLDERS

SAME = 2e-4
"""What core's sampler may differ from ours on the same sigmas, of the latent's largest value."""

CLOSE = 1e-2
"""The same for KSampler's exponential schedule, whose last digits differ: Brownian noise is drawn at the very sigmas,
and a model of random weights makes much of it."""


@pytest.fixture(scope="module")
def family() -> dict[str, str]:
    """Variant -> the checkpoint's name in Load AudioX."""
    return {variant: f"{name}/model.ckpt" for variant, name in FOLDERS.items()}


def core_sampler(prompt: dict, class_type: str, **settings) -> dict:
    """The same run with core's nodes, from Empty Latent Audio on."""
    given = prompt["sample"]["inputs"]
    links = {"model": given["model"], "positive": given["positive"], "negative": ["nothing", 0]}
    return {
        **prompt,
        "nothing": node("ConditioningZeroOut", conditioning=["text", 0]),
        "latent": node("EmptyLatentAudio", seconds=11.0, batch_size=1),
        "sample": node(class_type, **links, latent_image=["latent", 0], cfg=7.0, **settings),
    }


@pytest.mark.parametrize("variant", FOLDERS)
def test_core_s_nodes_do_what_the_reference_settings_do(variant, lab, family):
    prompt = text_to_latent(family[variant], seed=3, steps=6)
    ours = run_latent(lab, prompt)
    assert ours.shape == (1, 64, 236) and ours.isfinite().all()
    largest = ours.abs().max()
    settings = {"steps": 6, "sampler_name": "dpmpp_3m_sde", "scheduler": "exponential", "denoise": 1.0, "seed": 3}
    assert (ours - run_latent(lab, core_sampler(prompt, "KSampler", **settings))).abs().max() < CLOSE * largest
    custom = core_sampler(
        prompt, "SamplerCustom", add_noise=True, noise_seed=3, sampler=["sampler", 0], sigmas=["sigmas", 0]
    )
    custom["sampler"] = node("KSamplerSelect", sampler_name="dpmpp_3m_sde")
    custom["sigmas"] = node("PolyexponentialScheduler", steps=6, sigma_max=500.0, sigma_min=0.3, rho=1.0)
    assert (ours - run_latent(lab, custom)).abs().max() < SAME * largest


@pytest.mark.parametrize("variant", FOLDERS)
def test_a_video_and_a_sound_are_prompts(variant, lab, family):
    prompt = text_to_latent(family[variant], seed=3, steps=2)
    alone = run_latent(lab, prompt)
    prompt["video"] = node("LoadVideo", file="example.mp4")
    prompt["seen"] = node("AudioXEncodeVideo", video_encoder=["load", 3], video=["video", 0], conditioning=["text", 0])
    prompt["parts"] = node("GetVideoComponents", video=["video", 0])
    prompt["heard"] = node("AudioXEncodeAudio", vae=["load", 1], audio=["parts", 1], conditioning=["seen", 0])
    prompt["sample"]["inputs"]["positive"] = ["heard", 0]
    assert not run_latent(lab, prompt).equal(alone)


def test_an_audio_prompt_of_another_model_is_refused(lab, family):
    prompt = text_to_latent(family["maf"], seed=3, steps=2)
    prompt["other"] = {**prompt["load"], "inputs": {**prompt["load"]["inputs"], "checkpoint": family["v1"]}}
    prompt["video"] = node("LoadVideo", file="example.mp4")
    prompt["parts"] = node("GetVideoComponents", video=["video", 0])
    prompt["heard"] = node("AudioXEncodeAudio", vae=["other", 1], audio=["parts", 1], conditioning=["text", 0])
    prompt["sample"]["inputs"]["positive"] = ["heard", 0]
    with pytest.raises(PromptError, match="expected a log mel spectrogram"):
        lab.run(prompt)


def test_rescaled_guidance_is_the_library_s(lab, family):
    """The nodes guide estimates, the library the network's outputs: the same numbers."""
    prompt = text_to_latent(family["v1"], seed=3, steps=4, cfg_rescale=0.7)
    ours = run_latent(lab, prompt)
    model = AudioX(open_checkpoint(lab.base / "models" / "audiox" / family["v1"]))
    rain = Prompt(text=model.encode_text("rain")[0])
    core = model.sample(rain, resolve_settings("v1", steps=4, rescale=0.7), seeds=[3])
    assert (ours - core).abs().max() < SAME * core.abs().max()
    assert (
        ours - model.sample(rain, resolve_settings("v1", steps=4), seeds=[3])
    ).abs().max() > CLOSE * core.abs().max()
