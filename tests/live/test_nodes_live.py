"""The nodes in a real ComfyUI: seeds and batches, core's nodes on our types, LoRA, memory, interrupts."""

import time

import pytest
import torch
from safetensors.torch import save_file

from devtools.comfy_server import PromptError
from devtools.graphs import BASE, TURBO, latent, load, node, run_latent, text_to_latent
from devtools.small_model import RELEASED, ModelSizes, make_small_model, t5_shapes

PARITY = 1e-4
"""What KSampler may differ from AudioX Sample, on latents of about 1."""


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return (a - b).abs().max().item()


def ksampler(prompt: dict, **settings) -> dict:
    """The same prompt with core's latent and core's sampler."""
    given = prompt["sample"]["inputs"]
    links = {"model": given["model"], "positive": given["positive"], "negative": ["nothing", 0]}
    return {
        **prompt,
        "nothing": node("ConditioningZeroOut", conditioning=["text", 0]),
        "latent": node("EmptyLatentAudio", seconds=11.0, batch_size=1),
        "sample": node(
            "KSampler",
            **links,
            latent_image=["latent", 0],
            seed=given["seed"],
            denoise=1.0,
            scheduler="simple",
            **settings,
        ),
    }


# Seeds and batches


def test_another_seed_encodes_nothing_again(lab):
    prompt = text_to_latent(seed=1)
    prompt["video"] = node("LoadVideo", file="example.mp4")
    prompt["seen"] = node("AudioXEncodeVideo", video_encoder=["load", 3], video=["video", 0], conditioning=["text", 0])
    prompt["sample"]["inputs"]["positive"] = ["seen", 0]
    first = lab.run(prompt)
    assert "sample" in first.executed
    prompt["sample"]["inputs"]["seed"] = 2
    second = lab.run(prompt)
    assert second.executed == ["sample", "save"]
    assert set(second.cached) == {"load", "text", "latent", "video", "seen"}
    assert difference(latent(lab, first), latent(lab, second)) > 0.1


def test_the_same_seed_gives_the_same_bytes(lab):
    first = lab.run(text_to_latent(seed=7))
    free(lab)
    second = lab.run(text_to_latent(seed=7))
    assert "sample" in second.executed
    assert torch.equal(latent(lab, first), latent(lab, second))


@pytest.mark.parametrize("checkpoint", [TURBO, BASE])
def test_a_batch_is_its_single_runs(lab, checkpoint):
    batch = run_latent(lab, text_to_latent(checkpoint, seed=2**64 - 2, batch=3))
    assert batch.shape == (3, 64, 236)
    for item, seed in enumerate((2**64 - 2, 2**64 - 1, 0)):
        alone = run_latent(lab, text_to_latent(checkpoint, seed=seed))
        assert difference(batch[item : item + 1], alone) < PARITY
    assert difference(batch[0], batch[1]) > 0.1


def test_only_the_text_counts_not_the_task(lab):
    prompt = text_to_latent(seed=8)
    without = run_latent(lab, prompt)
    prompt["text"]["inputs"]["task"] = "video to music"
    assert torch.equal(without, run_latent(lab, prompt))


# Core's nodes on our MODEL and CONDITIONING


def test_ksampler_equals_our_sampler_for_base(lab):
    """This also shows that ConditioningZeroOut is guidance against nothing, which ours does without a negative."""
    prompt = text_to_latent(BASE, seed=3, cfg=6.0, steps=5)
    ours = run_latent(lab, prompt)
    core = run_latent(lab, ksampler(prompt, steps=5, cfg=6.0, sampler_name="euler"))
    assert difference(ours, core) < PARITY
    unguided = run_latent(lab, text_to_latent(BASE, seed=3, cfg=1.0, steps=5))
    assert difference(ours, unguided) > 1e-2


def test_ksampler_equals_our_sampler_for_turbo_on_the_same_noise(lab):
    prompt = text_to_latent(TURBO, seed=3)
    ours = run_latent(lab, prompt)
    prompt["nothing"] = node("ConditioningZeroOut", conditioning=["text", 0])
    prompt["lcm"] = node("LabLCM", seed=3)
    prompt["sigmas"] = node("BasicScheduler", model=["load", 0], scheduler="simple", steps=4, denoise=1.0)
    prompt["sample"] = node(
        "SamplerCustom",
        model=["load", 0],
        add_noise=True,
        noise_seed=3,
        cfg=1.0,
        positive=["text", 0],
        negative=["nothing", 0],
        sampler=["lcm", 0],
        sigmas=["sigmas", 0],
        latent_image=["latent", 0],
    )
    assert difference(ours, run_latent(lab, prompt)) < PARITY


def test_plain_lcm_differs_only_by_its_noise(lab):
    """KSampler's lcm draws its noise otherwise, so the sound is another one of the same loudness."""
    prompt = text_to_latent(TURBO, seed=3)
    ours = run_latent(lab, prompt)
    core = run_latent(lab, ksampler(prompt, steps=4, cfg=1.0, sampler_name="lcm"))
    assert difference(ours, core) > 0.1
    assert core.std().item() == pytest.approx(ours.std().item(), rel=0.1)


def test_an_explicit_zeroed_negative_is_no_negative(lab):
    prompt = text_to_latent(BASE, seed=4, cfg=6.0)
    without = run_latent(lab, prompt)
    prompt["nothing"] = node("ConditioningZeroOut", conditioning=["text", 0])
    prompt["sample"]["inputs"]["negative"] = ["nothing", 0]
    assert torch.equal(without, run_latent(lab, prompt))
    prompt["nothing"] = node("AudioXEncodeText", clip=["load", 2], text="music")
    assert difference(without, run_latent(lab, prompt)) > 1e-3


@pytest.fixture(scope="module")
def wide_model(lab, tmp_path_factory):
    """Names of a small model with prompts as wide as the released one, without T5, and of a random T5-base."""
    folder = tmp_path_factory.mktemp("wide")
    make_small_model(folder / "wide_turbo", with_t5=False, sizes=ModelSizes(context=768))
    generator = torch.Generator().manual_seed(0)
    shapes = t5_shapes(RELEASED)
    t5 = {name: torch.randn(shape, generator=generator).mul_(0.02).half() for name, shape in shapes.items()}
    save_file(t5, folder / "t5-base.safetensors")
    lab.place_model(folder / "wide_turbo")
    return "wide_turbo/audiox_turbo/audiox_turbo.ckpt", lab.place_model(folder / "t5-base.safetensors", "text_encoders")


def test_cliploader_gives_the_text_encoder(lab, wide_model):
    checkpoint, t5 = wide_model
    prompt = text_to_latent(checkpoint)
    prompt["clip"] = node("CLIPLoader", clip_name=t5, type="stable_audio", device="default")
    prompt["text"]["inputs"]["clip"] = ["clip", 0]
    by_clip_loader = run_latent(lab, prompt)
    assert by_clip_loader.isfinite().all()
    prompt["text"]["inputs"]["text"] = "thunder"
    assert difference(by_clip_loader, run_latent(lab, prompt)) > 1e-3
    prompt = text_to_latent(checkpoint)
    prompt["load"]["inputs"]["text_encoder"] = t5
    assert torch.equal(by_clip_loader, run_latent(lab, prompt))


def test_a_text_encoder_of_another_width_is_refused(lab, wide_model):
    prompt = text_to_latent(TURBO)
    prompt["load"]["inputs"]["text_encoder"] = wide_model[1]
    with pytest.raises(PromptError, match=r"\[1, \d+, 768\], expected \[batch, tokens, 64\].*T5-base") as caught:
        lab.run(prompt)
    assert caught.value.node_id == "sample"


@pytest.fixture(scope="module")
def lora(lab, tmp_path_factory) -> str:
    """Name of a LoRA of rank 2 on two layers of the transformer and one of the fusion."""
    generator = torch.Generator().manual_seed(1)
    rank, tensors = 2, {}
    for name, rows, columns in (
        ("transformer.layers.0.qkv", 144, 48),
        ("transformer.layers.1.modulation", 288, 48),
        ("maf.gating_network.0", 64, 192),
    ):
        tensors[f"diffusion_model.{name}.lora_up.weight"] = torch.randn(rows, rank, generator=generator)
        tensors[f"diffusion_model.{name}.lora_down.weight"] = torch.randn(rank, columns, generator=generator)
        tensors[f"diffusion_model.{name}.alpha"] = torch.tensor(float(rank))
    path = tmp_path_factory.mktemp("lora") / "lora.safetensors"
    save_file(tensors, path)
    return lab.place_model(path, "loras")


def test_lora(lab, lora):
    plain = run_latent(lab, text_to_latent(seed=5))

    def with_lora(strength: float) -> torch.Tensor:
        prompt = text_to_latent(seed=5)
        prompt["lora"] = node("LoraLoaderModelOnly", model=["load", 0], lora_name=lora, strength_model=strength)
        prompt["sample"]["inputs"]["model"] = ["lora", 0]
        return run_latent(lab, prompt)

    before = len(lab.log())
    assert difference(plain, with_lora(1.0)) > 1e-2
    assert "lora key not loaded" not in lab.log()[before:]
    assert torch.equal(plain, with_lora(0.0))


@pytest.mark.parametrize(
    "name",
    [
        "maf.experts",
        "maf.bypass_gate_text",
        "video.empty_tokens",
        "maf.norm_text",
        "transformer.time_features",
    ],
)
def test_patches_reach_every_trained_tensor(name, lab, tmp_path):
    """Tables and scalars are layers too: LoRA files with whole differences change them like anything else."""
    shapes = {
        "maf.experts": (192, 64),
        "maf.bypass_gate_text": (1, 1),
        "video.empty_tokens": (128, 64),
        "maf.norm_text": (64,),
        "transformer.time_features": (128, 1),
    }
    path = tmp_path / f"{name}.safetensors"
    save_file({f"diffusion_model.{name}.diff": torch.full(shapes[name], 3.0)}, path)
    prompt = text_to_latent(seed=5)
    prompt["lora"] = node(
        "LoraLoaderModelOnly", model=["load", 0], lora_name=lab.place_model(path, "loras"), strength_model=1.0
    )
    prompt["sample"]["inputs"]["model"] = ["lora", 0]
    assert difference(run_latent(lab, text_to_latent(seed=5)), run_latent(lab, prompt)) > 1e-4


def test_a_saved_model_loads_again(lab, released_dir):
    plain = run_latent(lab, text_to_latent(seed=6))
    lab.run({"load": load(), "save": node("ModelSave", model=["load", 0], filename_prefix="models/resaved_turbo")})
    folder = lab.base / "models" / "audiox" / "resaved"
    folder.mkdir(parents=True)
    [saved] = (lab.base / "output" / "models").glob("resaved_turbo*.safetensors")
    saved.rename(folder / "resaved_turbo.safetensors")
    for companion in ("pretransform", "t5-base"):
        (folder / companion).symlink_to(released_dir / companion)
    again = run_latent(lab, text_to_latent("resaved/resaved_turbo.safetensors", seed=6))
    # ComfyUI does not align the tensors in the file, which changes the rounding of matrix products on them.
    assert difference(plain, again) < 1e-5


@pytest.mark.parametrize(("weight_dtype", "limit"), [("fp16", 0.002), ("bf16", 0.015), ("fp8_e4m3fn", 0.2)])
def test_smaller_weights_stay_close(lab, weight_dtype, limit):
    exact = run_latent(lab, text_to_latent(seed=8))
    near = run_latent(lab, text_to_latent(seed=8, weight_dtype=weight_dtype))
    relative = (difference(exact, near) / exact.abs().max()).item()
    assert 0 < relative < limit


# Management


def loaded_models(server) -> int:
    """How many models ComfyUI holds in its memory management."""
    run = server.run(
        {
            "count": node("LabLoadedModels"),
            "save": node("SaveLatent", samples=["count", 0], filename_prefix="latents/count"),
        }
    )
    return latent(server, run).shape[-1]


def free(server) -> None:
    """Drop models and caches; ComfyUI does so between two prompts, soon after it was told to."""
    server.free()
    deadline = time.monotonic() + 30
    while loaded_models(server):
        assert time.monotonic() < deadline, "the models are still loaded"


def test_free_gives_the_memory_back(lab):
    lab.run(text_to_latent(seed=9))
    assert loaded_models(lab) > 0
    free(lab)
    assert loaded_models(lab) == 0


def test_progress_is_reported_for_each_step(lab):
    run = lab.run(text_to_latent(BASE, seed=10, steps=6))
    seen = [(value, most) for name, value, most in run.progress if name == "sample"]
    assert (6, 6) in seen
    assert {most for _, most in seen} == {6}
    assert [value for value, _ in seen] == sorted(value for value, _ in seen)


def test_an_interrupt_stops_at_once_and_the_server_lives_on(lab):
    prompt_id = lab.queue(text_to_latent(BASE, seed=11, steps=1000))
    lab.wait_for_event(prompt_id, "progress", node="sample")
    started = time.monotonic()
    lab.interrupt()
    with pytest.raises(PromptError) as caught:
        lab.wait(prompt_id)
    assert time.monotonic() - started < 5
    assert caught.value.kind == "interrupted"
    assert caught.value.node_id == "sample"
    assert run_latent(lab, text_to_latent(seed=11)).isfinite().all()
