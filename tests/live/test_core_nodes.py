"""Core's nodes that change the guidance, the prompt or the network: each works as in docs/nodes.md or says why not.

The demo tells whether the words are still followed; its sounds are judged as in the evaluation.
"""

import re

import pytest

from audiox_core.demo import NAMES
from devtools.comfy_server import PromptError
from devtools.demo_checks import heard_in
from devtools.graphs import latent, node, text_to_latent

WORDS, HEARD = "slow ticking", "slow ticking"
OTHER = "a falling siren"
STEPS = 12


def asking(text: str = WORDS, **sample) -> dict:
    """The demo of Base asked for a sound, decoded and saved: load, text, sample, save, out."""
    prompt = text_to_latent(NAMES["base"], text=text, seed=1, **{"steps": STEPS, "cfg": 2.0, **sample})
    prompt["decode"] = node("AudioXVAEDecode", vae=["load", 1], latent=["sample", 0])
    prompt["out"] = node("AudioXSaveSound", audio=["decode", 0], filename_prefix="core/x", picture=False)
    return prompt


def patched(class_type: str, **inputs) -> dict:
    prompt = asking()
    prompt["patch"] = node(class_type, model=["load", 0], **inputs)
    prompt["sample"]["inputs"]["model"] = ["patch", 0]
    return prompt


def answer(lab, prompt: dict):
    """The latent and the kind of sound that is heard."""
    run = lab.run(prompt)
    return latent(lab, run), heard_in(lab.output_path(run.files("out")[0]))


@pytest.fixture(scope="module")
def plain(lab):
    found, heard = answer(lab, asking())
    assert heard == HEARD
    return found


def available(lab, class_type: str) -> None:
    if class_type not in lab.object_info():
        pytest.skip(f"this ComfyUI has no {class_type}")


GUIDANCE = {
    "CFGZeroStar": {},
    "CFGNorm": {"strength": 1.0},
    "TCFG": {},
    "Mahiro": {},
    "APG": {"eta": 0.5, "norm_threshold": 5.0, "momentum": 0.0},
    "RenormCFG": {"cfg_trunc": 100.0, "renorm_cfg": 1.0},
    "Epsilon Scaling": {"scaling_factor": 1.05},
    "TemporalScoreRescaling": {"tsr_k": 0.95, "tsr_sigma": 1.0},
}
CACHES = {
    "EasyCache": {"reuse_threshold": 0.2, "start_percent": 0.15, "end_percent": 0.95, "verbose": False},
    "LazyCache": {"reuse_threshold": 0.5, "start_percent": 0.15, "end_percent": 0.95, "verbose": False},
}


@pytest.mark.parametrize("class_type", [*GUIDANCE, *CACHES])
def test_it_changes_the_sound_and_keeps_the_words(lab, plain, class_type):
    available(lab, class_type)
    before = len(lab.log())
    found, heard = answer(lab, patched(class_type, **{**GUIDANCE, **CACHES}[class_type]))
    assert heard == HEARD
    change = ((found - plain).square().mean() / plain.square().mean()).sqrt().item()
    print(f"{class_type}: changes the latent by {change:.1%}")
    assert 1e-4 < change < 1
    if class_type in CACHES:
        skipped = re.search(rf"{class_type} - skipped (\d+)/{STEPS} steps", lab.log()[before:])
        assert skipped, "the cache did not run"
        print(f"{class_type}: {skipped[0]}")
        assert int(skipped[1]) > 0


CONTEXT = {
    "context_length": 100,
    "context_overlap": 20,
    "context_schedule": "standard_static",
    "context_stride": 1,
    "closed_loop": False,
    "fuse_method": "pyramid",
    "dim": 2,
    "freenoise": False,
    "cond_retain_index_list": "",
    "split_conds_to_windows": False,
    "latent_retain_index_list": "",
    "causal_window_fix": True,
}
REFUSED = {
    "PerturbedAttentionGuidance": ({"scale": 3.0}, "'attn1'.*Perturbed"),
    "SelfAttentionGuidance": ({"scale": 0.5, "blur_sigma": 2.0}, "'attn1'.*Self-Attention"),
    "SkipLayerGuidanceDiT": (
        {
            "double_layers": "0",
            "single_layers": "0",
            "scale": 3.0,
            "start_percent": 0.0,
            "end_percent": 1.0,
            "rescaling_scale": 0.0,
        },
        "'dit'.*Skip Layer",
    ),
    "SkipLayerGuidanceSD3": (
        {"layers": "0", "scale": 3.0, "start_percent": 0.0, "end_percent": 1.0},
        "'dit'.*Skip Layer",
    ),
    "TomePatchModel": ({"ratio": 0.3}, "'attn1_patch'.*ToMe"),
    "HyperTile": ({"tile_size": 256, "swap_size": 2, "max_depth": 0, "scale_depth": False}, "'attn1_patch'.*HyperTile"),
    "NAGuidance": ({"nag_scale": 5.0, "nag_alpha": 0.5, "nag_tau": 1.5}, "'attn1_output_patch'.*Normalized"),
    "ScaleROPE": (
        {"scale_x": 2.0, "shift_x": 0.0, "scale_y": 1.0, "shift_y": 0.0, "scale_t": 1.0, "shift_t": 0.0},
        "ScaleROPE.*positions",
    ),
    "PatchModelAddDownscale": (
        {
            "block_number": 3,
            "downscale_factor": 2.0,
            "start_percent": 0.0,
            "end_percent": 0.35,
            "downscale_after_skip": True,
            "downscale_method": "bicubic",
            "upscale_method": "bicubic",
        },
        "'input_block_patch_after_skip'.*Deep Shrink",
    ),
    "ContextWindowsManual": (CONTEXT, "Context Windows.*windows by itself"),
}


def assert_refused(lab, prompt: dict, at: str, words: str) -> None:
    with pytest.raises(PromptError) as caught:
        lab.run(prompt)
    assert caught.value.node_id == at, str(caught.value)
    assert re.search(words, caught.value.message), caught.value.message
    assert re.fullmatch(r"Remove [A-Za-z(].{10,300}\.|The text .{10,300}\.", caught.value.message), caught.value.message


@pytest.mark.parametrize("class_type", REFUSED)
def test_it_is_refused_with_the_reason(lab, class_type):
    available(lab, class_type)
    inputs, words = REFUSED[class_type]
    known = {**lab.object_info(class_type)[class_type]["input"].get("optional", {})}
    known |= lab.object_info(class_type)[class_type]["input"]["required"]
    assert_refused(
        lab, patched(class_type, **{name: value for name, value in inputs.items() if name in known}), "sample", words
    )


@pytest.mark.parametrize("class_type", ["FreeU", "FreeU_V2"])
def test_nodes_for_u_nets_say_so(lab, class_type):
    assert_refused(lab, patched(class_type, b1=1.1, b2=1.2, s1=0.9, s2=0.2), "patch", "FreeU.*'model_channels'")


def test_attention_multiply_finds_nothing_to_multiply(lab, plain):
    prompt = patched("UNetSelfAttentionMultiply", q=2.0, k=1.0, v=1.0, out=1.0)
    assert (answer(lab, prompt)[0] - plain).abs().max() == 0


# Prompts


def with_condition(class_type: str, *, core: bool = False, **inputs) -> dict:
    """Words and other words, put through a conditioning node."""
    prompt = asking()
    prompt["other"] = node("AudioXEncodeText", clip=["load", 2], text=OTHER)
    prompt["condition"] = node(class_type, **inputs)
    prompt["sample"]["inputs"]["positive"] = ["condition", 0]
    if core:
        prompt["sample"] = node(
            "KSampler",
            model=["load", 0],
            positive=["condition", 0],
            negative=["text", 0],
            latent_image=["latent", 0],
            seed=0,
            steps=2,
            cfg=2.0,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        )
    return prompt


def other(lab):
    return latent(lab, lab.run(asking(OTHER)))


def test_combined_prompts(lab, plain):
    same, heard = answer(
        lab, with_condition("ConditioningCombine", conditioning_1=["text", 0], conditioning_2=["text", 0])
    )
    assert heard == HEARD
    assert (same - plain).abs().max() < 1e-3
    both, _ = answer(
        lab, with_condition("ConditioningCombine", conditioning_1=["text", 0], conditioning_2=["other", 0])
    )
    assert (both - plain).abs().max() > 0.1
    assert (both - other(lab)).abs().max() > 0.1


def test_averaged_prompts(lab, plain):
    links = {"conditioning_to": ["text", 0], "conditioning_from": ["other", 0]}
    found = {
        strength: answer(lab, with_condition("ConditioningAverage", **links, conditioning_to_strength=strength))
        for strength in (0.0, 0.8, 1.0)
    }
    assert (found[1.0][0] - plain).abs().max() < 1e-4
    assert (found[0.0][0] - other(lab)).abs().max() < 1e-4
    assert found[0.8][1] == HEARD
    assert (found[0.8][0] - plain).abs().max() > 1e-2


def test_prompts_for_a_part_of_the_steps(lab, plain):
    whole = with_condition("ConditioningSetTimestepRange", conditioning=["text", 0], start=0.0, end=1.0)
    assert (answer(lab, whole)[0] - plain).abs().max() < 1e-4
    prompt = with_condition("ConditioningCombine", conditioning_1=["early", 0], conditioning_2=["late", 0])
    prompt["early"] = node("ConditioningSetTimestepRange", conditioning=["text", 0], start=0.0, end=0.8)
    prompt["late"] = node("ConditioningSetTimestepRange", conditioning=["other", 0], start=0.8, end=1.0)
    found, heard = answer(lab, prompt)
    assert heard == HEARD
    assert (found - plain).abs().max() > 1e-2


@pytest.mark.parametrize("core", [False, True], ids=["AudioX-Sample", "KSampler"])
def test_parts_of_an_image_are_refused(lab, core):
    masked = with_condition(
        "ConditioningSetMask",
        core=core,
        conditioning=["text", 0],
        mask=["mask", 0],
        strength=1.0,
        set_cond_area="default",
    )
    masked["mask"] = node("SolidMask", value=1.0, width=64, height=64)
    assert_refused(lab, masked, "sample", r"Conditioning \(Set Mask\).*AudioX Mask Time Range")
    area = {"width": 64, "height": 64, "x": 0, "y": 0, "strength": 1.0}
    prompt = with_condition("ConditioningSetArea", core=core, conditioning=["text", 0], **area)
    assert_refused(lab, prompt, "sample", r"Conditioning \(Set Area\)")


@pytest.mark.parametrize("core", [False, True], ids=["AudioX-Sample", "KSampler"])
def test_joined_texts_are_refused(lab, core):
    links = {"conditioning_to": ["text", 0], "conditioning_from": ["other", 0]}
    prompt = with_condition("ConditioningConcat", core=core, **links)
    assert_refused(lab, prompt, "sample", "256 tokens.*128.*into one text")


def test_hooks_reach_the_transformer(lab, plain, tmp_path):
    """A LoRA through conditioning hooks; half of the steps differ."""
    import torch
    from safetensors.torch import load_file, save_file

    from audiox_core.demo import demo_path

    name = "transformer.project_out.weight"
    [shape] = [tuple(x.shape) for key, x in load_file(demo_path("base")).items() if key.endswith(name)]
    path = tmp_path / "hooked.safetensors"
    save_file({f"diffusion_model.{name.removesuffix('.weight')}.diff": torch.full(shape, 0.01)}, path)
    prompt = with_condition("PairConditioningSetProperties", positive_NEW=["text", 0], negative_NEW=["zero", 0])
    prompt["zero"] = node("ConditioningZeroOut", conditioning=["text", 0])
    prompt["hook"] = node(
        "CreateHookLora", lora_name=lab.place_model(path, "loras"), strength_model=1.0, strength_clip=0.0
    )
    prompt["condition"]["inputs"] |= {"hooks": ["hook", 0], "strength": 1.0, "set_cond_area": "default"}
    prompt["sample"]["inputs"]["negative"] = ["condition", 1]
    found, _ = answer(lab, prompt)
    assert (found - plain).abs().max() > 1e-3
