"""The planner's formulae against the lifetimes of the tensors that the models really make.

Small models run for real on the CPU; the released sizes run on the meta device, where tensors have sizes and no
contents. An estimate is never below what was seen, and at most a sixth and 1 MB above it.
"""

from dataclasses import replace

import pytest
import torch
import transformers

from audiox_core.memory import activations
from audiox_core.models.dit import DiTSizes
from audiox_core.models.encoders import ClipSizes, T5Sizes, encode_clip, encode_text
from audiox_core.models.mmdit import MMDiTSizes
from audiox_core.models.network import RELEASED_SIZES, AudioXNetwork
from audiox_core.models.synchformer import Synchformer, SynchformerSizes, encode
from audiox_core.models.tiling import CPU_TILE_SIZE, GPU_TILE_SIZE
from audiox_core.models.vae import OobleckVAE, VAESizes
from devtools.memory_tracker import Tracker, peak_of

HALF = torch.bfloat16
BOTH = pytest.mark.parametrize("dtype", [torch.float32, HALF])
FRAMES = 236


def check(estimate: int, seen: int) -> None:
    assert seen <= estimate <= seen * 7 / 6 + 1e6, (estimate, seen)


def small(sizes, **transformer):
    """The sizes with a small transformer of two layers; its conditioners are not run then."""
    sizes = replace(sizes, transformer=replace(sizes.transformer, depth=2, **transformer))
    if not transformer:
        return sizes
    return replace(sizes, maf=sizes.maf and replace(sizes.maf, depth=0), video=replace(sizes.video, depth=0))


SIZES = {
    "mmdit": (RELEASED_SIZES["mmdit"], {"width": 240, "ffn_width": 480}),
    "mmdit, narrow": (RELEASED_SIZES["mmdit"], {"width": 480, "ffn_width": 120}),
    "maf-dit": (RELEASED_SIZES["maf-dit"], {"width": 768, "ffn_width": 1024}),
    "dit": (RELEASED_SIZES["dit"], {"width": 768, "ffn_width": 1024}),
}


def network_run(sizes, prompts: int, rows: int, dtype, device):
    """Functions that fuse, prepare and evaluate, on made-up inputs."""
    network = AudioXNetwork(sizes, dtype=dtype, device=device)
    network.requires_grad_(False)

    def zeros(*shape, dtype=dtype):
        return torch.zeros(*shape, dtype=dtype, device=device)

    attention = no_scores if device == "meta" else torch_attention
    context = zeros(prompts, sizes.context_tokens, 768)
    prepared = network.prepare(context)
    x, t = zeros(rows, 64, FRAMES), zeros(rows, dtype=torch.float32)
    text, clip = zeros(1, 128, 768), zeros(1, 2500, 768)
    sync = zeros(1, sizes.video.sync_rows, 768) if sizes.video.sync_rows else None
    return {
        "prepared": lambda: prepared.clone(),
        "prepare": lambda: network.prepare(context),
        "evaluation": lambda: network(x, t, prepared, attention),
        "context": lambda: network.context(text, attention=attention),
        "video": lambda: network.context(text, clip, sync, attention=attention),
    }


def no_scores(q, k, v, heads):
    """Attention that makes its result alone, as the fused kernels do; the meta device has none."""
    return q.new_empty(q.shape[0], q.shape[2], q.shape[1] * q.shape[3])


def torch_attention(q, k, v, heads):
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return out.transpose(1, 2).flatten(2)


@BOTH
@pytest.mark.parametrize(
    ("name", "device"), [*((name, "meta") for name in RELEASED_SIZES), *((name, "cpu") for name in SIZES)]
)
@pytest.mark.parametrize(("prompts", "rows"), [(1, 1), (2, 6)])
def test_network(name, device, prompts, rows, dtype):
    sizes = small(SIZES[name][0], **(SIZES[name][1] if device == "cpu" else {}))
    run, size = network_run(sizes, prompts, rows, dtype, device), dtype.itemsize
    check(activations.prepared(sizes, prompts, size), peak_of(run["prepared"]))
    check(activations.prepare(sizes, prompts, size), peak_of(run["prepare"]))
    check(activations.evaluation(sizes, prompts, rows, FRAMES, size), peak_of(run["evaluation"]))
    if device == "meta" and prompts == rows == 1:
        check(activations.context(sizes, 1, size, False), peak_of(run["context"]))
        check(activations.context(sizes, 1, size, True), peak_of(run["video"]))


def test_a_prompt_of_turbo_takes_what_the_model_says():
    """210 MB of modulation in float32, as `MMDiT.prepare` tells."""
    assert activations.prepared(RELEASED_SIZES["mmdit"], 1, 4) == 24 * 6 * 237 * 1536 * 4 == 209_682_432
    assert activations.prepared(RELEASED_SIZES["maf-dit"], 1, 4) == 24 * 2 * 768 * 1979 * 4


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize("tile_size", [CPU_TILE_SIZE, 2**22, GPU_TILE_SIZE])
@pytest.mark.parametrize(("sounds", "frames"), [(1, 120), (3, 40)])
def test_vae(device, tile_size, sounds, frames):
    sizes = VAESizes() if device == "meta" else VAESizes(channels=4, widths=(4, 8, 16, 32, 64))
    if device == "cpu":
        tile_size //= 2**5  # so that a small model has tiles too
    vae = OobleckVAE(sizes, device=device).requires_grad_(False)
    vae.set_tile_size(tile_size)
    latent, sound = torch.zeros(sounds, 64, frames, device=device), (sounds, 2, 2048 * frames)
    check(activations.decode(sizes, sounds, frames, 4, tile_size), peak_of(lambda: vae.decode(latent)))
    estimate = activations.encode(sizes, sounds, 4, tile_size, 2048 * frames)
    check(estimate, peak_of(lambda: vae.encode_statistics(torch.zeros(sound, device=device))))


def test_smaller_tiles_take_less():
    takes = [activations.decode(VAESizes(), 1, FRAMES, 4, size) for size in (CPU_TILE_SIZE, 2**22, GPU_TILE_SIZE)]
    assert takes == sorted(takes) and takes[0] < takes[-1] / 2


@BOTH
@pytest.mark.parametrize(("width", "ffn"), [(256, 1024), (64, 128)])
def test_encoders(width, ffn, dtype):
    size = dtype.itemsize
    shape = {"hidden_size": width, "intermediate_size": ffn, "num_hidden_layers": 2, "num_attention_heads": width // 64}
    tower = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**shape)).to(dtype).eval()
    frames = torch.zeros(50, 3, 224, 224, dtype=torch.uint8)
    estimate = activations.clip(ClipSizes(width=width, depth=2, ffn_width=ffn), size)
    check(estimate, frames.numel() + peak_of(lambda: encode_clip(tower, frames)))

    sizes = T5Sizes(width=width, depth=2, heads=width // 64, ffn_width=ffn, vocabulary=64)
    config = transformers.T5Config(
        vocab_size=64, d_model=width, d_ff=ffn, num_layers=2, num_heads=sizes.heads, dropout_rate=0.0
    )
    t5 = transformers.T5EncoderModel(config).to(dtype).eval()
    ids = torch.zeros(1, 128, dtype=torch.int64)
    check(activations.text(sizes, size), peak_of(lambda: encode_text(t5, ids, torch.ones_like(ids))))


@BOTH
@pytest.mark.parametrize(("width", "ffn"), [(256, 1024), (64, 128)])
@pytest.mark.parametrize("segments", [1, 2])
def test_synchformer(segments, width, ffn, dtype):
    sizes = SynchformerSizes(width=width, depth=1, ffn_width=ffn)
    model = Synchformer(sizes, dtype=dtype).requires_grad_(False)
    frames = torch.randint(0, 255, (24, 3, 224, 224), dtype=torch.uint8)
    peak = peak_of(lambda: encode(model, frames, segments_per_call=segments))
    seen = 250 * frames[0].numel() + peak  # a whole video has 250 frames
    check(activations.synchformer(sizes, dtype.itemsize, segments), seen)


def test_the_tracker_sees_what_lives_at_once():
    with Tracker() as tracker:
        a = torch.empty(1000)
        b = a[:500] * 2  # 500 more
        del a
        c = torch.empty(250).mul_(2)
    assert (tracker.peak, tracker.live) == (6000, 3000)
    del b, c
    assert tracker.live == 0


def test_the_margin_is_one(monkeypatch):
    """A formula that forgets a tensor is found: without the feed-forward's input the MMDiT's is too small."""
    sizes = small(RELEASED_SIZES["mmdit"])
    seen = peak_of(network_run(sizes, 1, 1, torch.float32, "meta")["evaluation"])
    monkeypatch.setattr(activations, "_mmdit_numbers", lambda inner, size, shared: 237 * 5 * inner.ffn_width)
    with pytest.raises(AssertionError):
        check(activations.evaluation(sizes, 1, 1, FRAMES, 4), seen)


def test_sizes_know_no_defaults():
    """Other sizes give other numbers: nothing is a constant of the released models."""
    assert activations.evaluation(replace(RELEASED_SIZES["mmdit"], transformer=MMDiTSizes(width=48)), 1, 1, 236, 4) < (
        activations.evaluation(RELEASED_SIZES["mmdit"], 1, 1, 236, 4)
    )
    assert activations.prepared(replace(RELEASED_SIZES["dit"], transformer=DiTSizes(depth=1)), 1, 4) * 24 == (
        activations.prepared(RELEASED_SIZES["dit"], 1, 4)
    )
