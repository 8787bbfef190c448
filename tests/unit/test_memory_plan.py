"""The planner on a table of machines, with the real sizes of the released models."""

from dataclasses import replace

import pytest
import torch

from audiox_core.checkpoint import open_checkpoint
from audiox_core.errors import AudioXError
from audiox_core.memory import (
    GB,
    Budget,
    Decoding,
    Dtypes,
    Limits,
    Machine,
    ModelFootprint,
    Workload,
    largest_need,
    plan_memory,
)
from audiox_core.models.tiling import CPU_TILE_SIZE, GPU_TILE_SIZE
from audiox_core.pipeline import AudioX, Prompt
from audiox_core.sampling.presets import resolve_settings
from devtools.released_model import released_model

HALF, FULL = Dtypes(torch.bfloat16, torch.bfloat16), Dtypes()
VIDEO = Workload(video=True)
ALL = {"network", "vae", "t5", "clip_vision", "synchformer"}


@pytest.fixture(scope="module")
def turbo():
    return released_model("mmdit")


def machine(vram: float, ram: float, device: str = "") -> Machine:
    """A machine as it comes: 7 % of the VRAM and a quarter of the RAM are taken by others."""
    device = device or ("cuda" if vram else "cpu")
    return Machine(device, int(vram * GB), int(0.93 * vram * GB), int(ram * GB), int(0.75 * ram * GB))


def within(plan) -> bool:
    """Whether every stage keeps to what may be used."""
    return all(stage.ram <= plan.budget.ram and stage.vram <= plan.budget.vram for stage in plan.stages)


@pytest.mark.parametrize(
    ("vram", "ram", "dtypes", "streamed", "resident", "dropped"),
    [
        # Graphics memory that holds everything
        (80, 64, FULL, 0, ALL, set()),
        (24, 64, FULL, 0, ALL, set()),
        (12, 32, HALF, 0, ALL, set()),
        (8, 16, HALF, 0, ALL, set()),
        # that holds the network and what fits beside it
        (12, 32, FULL, 0, {"network", "synchformer", "vae"}, set()),
        # that holds the network in its stage alone; with 8 GB of RAM the small parts are read again
        (6, 16, HALF, 0, {"t5", "clip_vision"}, set()),
        # that holds a part of the network
        (4, 16, HALF, 5, set(), set()),
        (4, 8, HALF, 5, set(), {"vae", "t5", "clip_vision", "synchformer"}),
        (2, 16, HALF, 17, set(), set()),
        (8, 32, FULL, 4, set(), set()),
        # no graphics memory
        (0, 64, FULL, 0, ALL, set()),
        (0, 16, HALF, 0, ALL, set()),
        (0, 16, FULL, 0, {"network", "vae"}, {"t5", "clip_vision", "synchformer"}),
    ],
)
def test_machines(turbo, vram, ram, dtypes, streamed, resident, dropped):
    plan = plan_memory(turbo, VIDEO, machine(vram, ram), None, dtypes)
    assert (plan.streaming.streamed, plan.resident, plan.dropped) == (streamed, resident, dropped)
    assert plan.streaming.prompt_layers == (streamed > 0)
    assert within(plan)
    assert plan.budget == Budget(int(0.9 * int(0.93 * vram * GB)), int(0.8 * int(0.75 * ram * GB)))


@pytest.mark.parametrize(("dtypes", "rows"), [(FULL, 1), (HALF, 1), (HALF, 2)])
def test_with_the_largest_need_nothing_streams(turbo, dtypes, rows):
    job = Workload(video=True, rows=rows)
    need = largest_need(turbo, job, dtypes, torch.device("cuda"))

    def streams(vram: int) -> bool:
        return plan_memory(turbo, job, machine(24, 64), Limits(max_vram=vram), dtypes).streaming.prompt_layers

    assert streams(need - 1) and not streams(need)
    assert need > turbo.weights("network", dtypes)


def test_unified_memory_counts_once(turbo):
    """On MPS the device's memory is the system's: everything in it adds up, and nothing streams."""
    apple = Machine("mps", 12 * GB, 12 * GB, 16 * GB, 10 * GB)
    found = plan_memory(turbo, VIDEO, apple, None, HALF)
    assert found.resident == ALL and not found.streaming.streamed
    assert all(stage.vram == 0 and stage.ram <= 0.8 * 10 * GB for stage in found.stages)
    with pytest.raises(AudioXError, match="--dtype bf16"):
        plan_memory(turbo, VIDEO, apple, None, FULL)


def test_less_memory_streams_more_blocks(turbo):
    streamed = [
        plan_memory(turbo, Workload(), machine(vram, 32), None, HALF).streaming.streamed for vram in (2, 3, 4, 5, 6, 8)
    ]
    assert streamed == sorted(streamed, reverse=True)
    assert streamed[0] > 10 and streamed[-1] == 0


@pytest.mark.parametrize("architecture", ["mmdit", "maf-dit", "dit"])
@pytest.mark.parametrize(
    "job", [Workload(), Workload(rows=2, video=True, audio=True), Workload(sounds=4, prompts=4, rows=2)]
)
def test_every_model_runs_on_4_gb(architecture, job):
    found = plan_memory(released_model(architecture), job, machine(4, 16), None, HALF)
    assert within(found)
    names = {(stage.name, stage.part) for stage in found.stages}
    assert ("encode audio", "vae") in names or not job.audio
    assert (("encode video", "synchformer") in names) == (job.video and architecture != "dit")


def test_guidance_and_batches_need_more(turbo):
    def steps(job):
        return next(s.vram for s in plan_memory(turbo, job, machine(24, 64), None, FULL).stages if s.name == "sample")

    prompt = 24 * 6 * 237 * 1536 * 4
    assert steps(Workload(rows=2)) - steps(Workload()) >= prompt
    assert steps(Workload(sounds=4, prompts=4)) - steps(Workload()) >= 3 * prompt
    assert 0 < steps(Workload(sounds=4)) - steps(Workload()) < prompt


def test_decoding_takes_smaller_tiles_and_batches_where_memory_is_short(turbo):
    roomy, tight = (plan_memory(turbo, Workload(sounds=8), machine(vram, 32), None, HALF) for vram in (24, 2))
    assert roomy.decoding == Decoding(GPU_TILE_SIZE, 8)
    assert tight.decoding.tile_size < GPU_TILE_SIZE and tight.decoding.batch < 8
    assert plan_memory(turbo, Workload(), machine(0, 32), None, HALF).decoding.tile_size == CPU_TILE_SIZE


def test_limits_replace_the_shares(turbo):
    found = plan_memory(turbo, Workload(), machine(24, 64), Limits(max_vram=3 * GB, max_ram=8 * GB), HALF)
    assert found.budget == Budget(3 * GB, 8 * GB)
    assert found.streaming.streamed > 0 and within(found)
    assert (
        plan_memory(turbo, Workload(), machine(24, 64), Limits(max_vram=99 * GB), HALF).budget.vram
        == machine(24, 64).vram_free
    )


def test_without_offloading_everything_stays(turbo):
    found = plan_memory(turbo, VIDEO, machine(24, 64), Limits(offload=False), HALF)
    assert found.resident == ALL
    with pytest.raises(AudioXError, match=r"offloading .no --no-cpu-offload. would fit"):
        plan_memory(turbo, VIDEO, machine(4, 64), Limits(offload=False), HALF)


@pytest.mark.parametrize(
    ("machine", "job", "dtypes", "remedy"),
    [
        (machine(0, 8), VIDEO, FULL, "half precision (--dtype bf16, no --no-half) would fit"),
        (machine(4, 8), Workload(), FULL, "half precision (--dtype bf16, no --no-half) would fit"),
        (machine(0, 8), Workload(sounds=64, rows=2), HALF, "fewer sounds at a time (--batch 4) would fit"),
        (machine(1, 32), Workload(), HALF, "--device cpu would fit"),
        (machine(0, 4), Workload(), HALF, "close other programs, or use a machine with more memory"),
    ],
)
def test_when_nothing_fits_a_sentence_says_what_would(turbo, machine, job, dtypes, remedy):
    with pytest.raises(AudioXError) as caught:
        plan_memory(turbo, job, machine, None, dtypes)
    said = str(caught.value)
    assert remedy in said and said.endswith(".") and "GB may be used" in said


def test_the_remedy_works(turbo):
    """What the sentence above promises is a plan, not a guess."""
    assert within(plan_memory(turbo, VIDEO, machine(0, 8), None, HALF))
    assert within(plan_memory(turbo, Workload(sounds=4, rows=2), machine(0, 8), None, HALF))


def test_a_limit_too_low_is_named(turbo):
    with pytest.raises(AudioXError, match=r"raise --max-ram\.$"):
        plan_memory(turbo, Workload(), machine(0, 64), Limits(max_ram=GB), HALF)
    with pytest.raises(AudioXError, match="expected more than 0"):
        Limits(max_vram=0)


def test_planned_weights_are_those_that_load(small_model_dir):
    """Bytes of every part of a checkpoint against those of the modules that the pipeline builds of it."""
    checkpoint = open_checkpoint(small_model_dir)
    model, pipeline = ModelFootprint.of(checkpoint), AudioX(checkpoint)
    pipeline.encode_text("rain")
    pipeline.encode_video(*(torch.ones(frames, 3, 224, 224, dtype=torch.uint8) for frames in (50, 250)))
    pipeline.sample(Prompt(), resolve_settings("turbo", steps=1))
    for name, part in pipeline._parts.items():
        weights = [x for name, x in part.named_parameters() if "silence" not in name]  # computed, 110 kB
        held = sum({x.data_ptr(): x.numel() * x.element_size() for x in weights}.values())
        assert abs(model.weights(name, FULL) / held - 1) < 0.03, name
    assert model.network.total == checkpoint.numbers("network")


def test_half_precision_halves_the_weights(turbo):
    assert turbo.weights("network", FULL) == 2 * turbo.weights("network", HALF)
    assert turbo.weights("vae", FULL) == turbo.weights("vae", HALF)
    assert replace(HALF, vae=torch.bfloat16).of("vae") == torch.bfloat16
