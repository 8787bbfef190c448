"""AudioX, AudioX-MAF and AudioX-MAF-MMDiT through the same entry as Turbo: files, settings, samplers, prompts."""

import itertools
import json
from dataclasses import replace

import pytest
import torch

from audiox_core import sampling
from audiox_core.checkpoint import open_checkpoint
from audiox_core.checkpoint.convert import convert
from audiox_core.checkpoint.key_mapping import map_keys
from audiox_core.cli import main
from audiox_core.errors import AudioXError
from audiox_core.models.dit import DiT, DiTSizes
from audiox_core.models.network import RELEASED_SIZES, AudioXNetwork, NetworkSizes, architecture_of
from audiox_core.pipeline import AudioX, Prompt
from audiox_core.release.variants import VARIANTS
from audiox_core.sampling.objectives import FLOW, V
from audiox_core.sampling.presets import PRESETS, resolve_settings
from devtools import small_family
from devtools import small_model as small

FAMILY = tuple(small_family.SHAPES)
COUNTS = {"v1": (1357, 1_489_174_804), "maf": (1110, 1_392_887_321), "maf-mmdit": (1384, 2_710_741_752)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict:
    """Variant -> a released folder whose name does not tell."""
    root = tmp_path_factory.mktemp("family")
    return {variant: small_family.make_family_model(root / f"m{i}", variant) for i, variant in enumerate(FAMILY)}


@pytest.fixture(scope="module")
def models(folders) -> dict[str, AudioX]:
    return {variant: AudioX(open_checkpoint(folder)) for variant, folder in folders.items()}


@pytest.mark.parametrize("variant", FAMILY)
def test_small_models_have_the_released_names_and_counts(variant):
    shapes = small_family.SHAPES[variant](small.RELEASED)
    assert (len(shapes), small.count(shapes)) == COUNTS[variant]


@pytest.mark.parametrize("variant", FAMILY)
def test_every_released_name_becomes_a_weight_of_the_model_or_is_dead(variant):
    shapes = small_family.SHAPES[variant](small.RELEASED)
    planned = map_keys(shapes)
    assert not planned.unknown
    made = {
        recipe.name: recipe.transform.shape(*(shapes[source] for source in recipe.sources))
        for recipe in planned.recipes
        if recipe.part == "network"
    }
    architecture = architecture_of(made)
    assert architecture == VARIANTS[variant].architecture
    assert NetworkSizes.from_shapes(made) == RELEASED_SIZES[architecture]
    network = AudioXNetwork(RELEASED_SIZES[architecture], device="meta")
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if "silence" not in name}
    assert made == wanted


@pytest.mark.parametrize(
    ("variant", "source", "tokens"),
    [("v1", "tensors", 471), ("maf", "tensors", 1979), ("maf-mmdit", "config.json", 384)],
)
def test_a_released_folder_opens_and_converts(variant, source, tokens, folders, tmp_path):
    opened = open_checkpoint(folders[variant])
    assert (opened.variant, opened.variant_source) == (variant, source)
    assert opened.sizes["network"].context_tokens == tokens
    assert ("synchformer" in opened.parts) == (variant != "v1")
    convert(folders[variant], tmp_path / "one.safetensors")
    converted = open_checkpoint(tmp_path / "one.safetensors")
    assert (converted.variant, converted.variant_source) == (variant, "metadata")
    ours, theirs = converted.state_dict("network"), opened.state_dict("network")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_tensors_beat_what_is_said(folders):
    with pytest.raises(AudioXError, match="is AudioX by its tensors, but the given variant is 'turbo'"):
        open_checkpoint(folders["v1"], variant="turbo")
    with pytest.raises(AudioXError, match="AudioX-Turbo, AudioX-Base or AudioX-MAF-MMDiT by its tensors"):
        open_checkpoint(folders["maf-mmdit"], variant="maf")
    assert open_checkpoint(folders["maf-mmdit"], variant="base").variant == "base"


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("audio_prompt.empty_audio_feat", None, r"lacks \S+empty_audio_feat \(ours: audio\.empty_tokens\.weight\)"),
        ("layers.1.cross_attn.to_kv.weight", None, r"lacks \S+layers\.1\.cross_attn\.to_kv\.weight"),
        ("layers.0.pre_norm.gamma", (3,), "transformer.layers.0.attn_norm.weight"),
    ],
)
def test_missing_keys_and_wrong_shapes_are_refused(name, change, said, folders, tmp_path):
    tensors = torch.load(folders["v1"] / "model.ckpt", weights_only=True)["state_dict"]
    key = next((key for key in tensors if key.endswith(name)), f"model.model.transformer.{name}")
    tensors.pop(key, None)
    if change is not None:
        tensors[key] = torch.zeros(change)
    small.save_pickle({"state_dict": tensors}, tmp_path / "model.ckpt")
    with pytest.raises(AudioXError, match=said):
        open_checkpoint(tmp_path)


def test_a_tensor_of_the_other_transformer_is_left_out(folders, tmp_path):
    tensors = torch.load(folders["v1"] / "model.ckpt", weights_only=True)["state_dict"]
    tensors["model.model.transformer.layers.0.adaLN_modulation.1.bias"] = torch.zeros(3)
    small.save_pickle({"state_dict": tensors}, tmp_path / "model.ckpt")
    assert "layers.0.adaLN_modulation.1.bias" in open_checkpoint(tmp_path).opening_notices[0]


def test_the_vae_file_beside_maf_mmdit_does_not_count(folders, tmp_path):
    """Upstream reads it first and overwrites it with what the model file holds."""
    (tmp_path / "model.ckpt").symlink_to(folders["maf-mmdit"] / "model.ckpt")
    (tmp_path / "config.json").write_text((folders["maf-mmdit"] / "config.json").read_text())
    other = {name: tensor + 1 for name, tensor in small.weights(small.vae_shapes(small.ModelSizes())).items()}
    small.save_pickle({"state_dict": other}, tmp_path / "VAE.ckpt")
    ours = open_checkpoint(tmp_path).state_dict("vae")
    theirs = open_checkpoint(folders["maf-mmdit"]).state_dict("vae")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


# settings


def test_each_model_has_the_reference_settings_and_its_own_samplers():
    for variant in FAMILY:
        settings = resolve_settings(variant)
        assert (settings.steps, settings.cfg, settings.sampler) == (250, 7.0, "dpmpp-3m-sde")
        assert all(resolve_settings(variant, sampler=name).sampler == name for name in V.samplers)
        with pytest.raises(AudioXError, match=f"expected auto, .* for {VARIANTS[variant].title}"):
            resolve_settings(variant, sampler="euler")
    with pytest.raises(AudioXError, match="expected auto, renoise or euler for AudioX-Base"):
        resolve_settings("base", sampler="heun")
    with pytest.raises(AudioXError, match="0 \\(none\\) to 1"):
        resolve_settings("v1", rescale=2.0)
    assert set(PRESETS) == set(VARIANTS)


# prompts and runs


@pytest.mark.parametrize("variant", FAMILY)
def test_a_run_depends_on_its_prompt_and_a_batch_is_its_single_runs(variant, models):
    model, settings = models[variant], resolve_settings(variant, steps=3)
    rain = Prompt(text=model.encode_text("rain")[0])
    both = model.sample(rain, settings, seeds=[5, 6])
    assert both.shape == (2, 64, 236) and both.isfinite().all()
    alone = model.sample(rain, settings, seeds=[6])[0]
    assert (alone - both[1]).abs().max() < 2e-4 * both.abs().max()  # guidance of 7 makes rounding larger
    assert not torch.allclose(both[0], both[1], atol=1e-2)
    other = model.sample(Prompt(text=model.encode_text("loud drums")[0]), settings, seeds=[5])
    assert not torch.allclose(other[0], both[0], atol=1e-4)
    sound = model.encode_audio(torch.rand(2, 441000, generator=torch.Generator().manual_seed(0)) - 0.5)
    heard = model.sample(replace(rain, audio=sound), settings, seeds=[5])
    assert not torch.allclose(heard[0], both[0], atol=1e-5)
    rescaled = model.sample(rain, replace(settings, rescale=0.7), seeds=[5], negative=replace(rain, audio=sound))
    assert rescaled.isfinite().all()


def test_the_kinds_of_audio_prompts_are_told_apart(models):
    sound = torch.full((2, 441000), 0.1)
    latent, mel = models["v1"].encode_audio(sound), models["maf"].encode_audio(sound)
    assert latent.shape == (1, 64, 215) and mel.shape == (1, 256, 1723)
    text = models["v1"].encode_text("rain")[0]
    settings = resolve_settings("v1", steps=1)
    with pytest.raises(AudioXError, match="expected a VAE latent"):
        models["v1"].sample(Prompt(text, audio=mel), settings)
    with pytest.raises(AudioXError, match="expected a log mel spectrogram"):
        models["maf"].sample(Prompt(text, audio=latent), settings)
    with pytest.raises(AudioXError, match="was not trained with masked"):
        models["v1"].encode_audio(sound, random_mask=True)
    masked = models["maf"].encode_audio(sound, random_mask=True)
    assert (masked == 0).all(dim=1).float().mean() >= 0.69


def test_only_the_first_audiox_does_without_synchformer(models):
    frames = torch.zeros(50, 3, 224, 224, dtype=torch.uint8)
    frames[10:] = 128
    (request,) = models["v1"].frame_requests()
    assert (request.fps, request.count) == (5, 50)
    assert len(models["maf"].frame_requests()) == 2
    tokens, features = models["v1"].encode_video(frames)
    assert features is None
    settings = resolve_settings("v1", steps=1)
    assert models["v1"].sample(Prompt(clip_tokens=tokens), settings).isfinite().all()
    with pytest.raises(AudioXError, match="has no synchronisation features"):
        models["maf"].sample(Prompt(clip_tokens=tokens), settings)


def test_the_transformer_takes_any_length_and_a_zero_prompt_adds_nothing():
    sizes = DiTSizes(width=128, depth=2, ffn_width=64, context_width=64)
    torch.manual_seed(0)
    model = DiT(sizes).eval().requires_grad_(False)
    x, t = torch.randn(2, 64, 100), torch.tensor([0.3, 0.9])
    out = model(x, t, model.prepare(torch.zeros(1, 7, 64)))
    assert out.shape == x.shape
    torch.testing.assert_close(model(x, t, model.prepare(torch.zeros(2, 3, 64))), out)
    with pytest.raises(AudioXError, match="expected \\[batch, 64, frames\\]"):
        model(torch.zeros(1, 64, 8, 8), t[:1], model.prepare(torch.zeros(1, 7, 64)))
    with pytest.raises(AudioXError, match="expected multiples of 64"):
        DiTSizes(width=96)


def test_the_command_line_makes_a_sound(folders, tmp_path, capsys):
    out = tmp_path / "rain.wav"
    arguments = ["generate", "--model", str(folders["v1"]), "--prompt", "rain", "--steps", "2", "--out", str(out)]
    assert main(arguments) == 0
    assert out.stat().st_size > 441000 and "AudioX (tensors)" in capsys.readouterr().err
    assert main(["inspect", str(folders["maf"]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checkpoint"]["variant"] == "maf"


# samplers of v


def gaussian(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """The best estimate where the sound is normal noise of deviation one half around one."""
    return 1 + (x - 1) * 0.25 / (0.25 + sigma**2)


@pytest.mark.parametrize("name", V.samplers)
def test_samplers_reach_the_distribution(name):
    """With many steps a sampler turns noise into the distribution that the estimate belongs to."""
    seeds, schedule = range(2), sampling.polyexponential_sigmas(60, 0.01, 100)
    noise = sampling.SeededNoise(seeds)
    start = noise(torch.empty(2, 64, 64)) * schedule[0]
    out = V.samplers[name](gaussian, start, schedule, V.step_noise(noise, schedule))
    assert out.mean().item() == pytest.approx(1.0, abs=0.03)
    assert out.std().item() == pytest.approx(0.5, abs=0.03)


def test_brownian_noise_is_torchsde_s():
    torchsde = pytest.importorskip("torchsde")
    schedule = sampling.polyexponential_sigmas(9)
    noise = sampling.BrownianNoise([7, 2**63], schedule)
    like = torch.empty(2, 4, 9)
    trees = [torchsde.BrownianTree(schedule[-2], like[0] * 0, schedule[0], entropy=seed) for seed in noise.seeds]
    for sigma, following in itertools.pairwise(schedule[:-1]):
        expected = torch.stack([-tree(following, sigma) for tree in trees]) / (sigma - following) ** 0.5
        torch.testing.assert_close(noise(like, sigma, following), expected, rtol=0, atol=1e-5)


def test_more_steps_refine_the_same_noise():
    """The path's rise over two steps is the sum of the rises over each."""
    noise = sampling.BrownianNoise([3], [500.0, 0.3])
    like = torch.empty(1, 2, 5)
    whole = noise(like, 400.0, 1.0) * 399**0.5
    parts = noise(like, 400.0, 30.0) * 370**0.5 + noise(like, 30.0, 1.0) * 29**0.5
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-4)


def test_the_schedule_begins_where_ksampler_s_denoise_does():
    assert sampling.v_sigmas(250)[0] == pytest.approx(500, rel=1e-6)
    assert sampling.v_sigmas(250)[-2:] == [pytest.approx(0.3), 0.0]
    assert sampling.v_sigmas(10, 0.5)[0] == pytest.approx(12.247, rel=1e-4)
    with pytest.raises(AudioXError, match="at least 1"):
        sampling.v_sigmas(0)
    with pytest.raises(AudioXError, match="at most 1"):
        sampling.v_sigmas(4, 1.5)
    assert FLOW.sigmas(4, 1.0)[0] == 1.0
