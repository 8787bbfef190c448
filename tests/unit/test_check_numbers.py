"""`audiox check`: the numbers of the modules, of a sound, and of a stage's work."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from audiox_core.check.answers import QUESTIONS, SECONDS, wrong_answers
from audiox_core.check.cases import CASES, Case
from audiox_core.check.fingerprint import Fingerprint, is_sound
from audiox_core.check.floors import sampling_work, stage_work
from audiox_core.check.golden import FILE, SAMPLES, Stored, read_expected, read_golden
from audiox_core.check.inputs import frames, noise
from audiox_core.check.launches import Launches
from audiox_core.check.parity import LIMITS, Outcome, check_parity, judged
from audiox_core.check.result import State
from audiox_core.check.sound import _answered, _compared
from audiox_core.check.timing import check_memory, duration
from audiox_core.checkpoint import open_checkpoint
from audiox_core.demo import demo_path
from audiox_core.memory import NetworkParameters
from audiox_core.memory.report import MemoryWatch
from audiox_core.models.network import AudioXNetwork, NetworkSizes
from audiox_core.sampling.presets import PRESETS, RunSettings
from benchmarks import floors as benchmark
from benchmarks.runner import Options
from training.world.scenes import Scene, render

KINDS = (
    Scene("slow ticking", ("slow ticking",)),
    Scene("fast ticking", ("fast ticking",)),
    Scene("a rising siren", ("rising sweep",)),
    Scene("a falling siren", ("falling sweep",)),
    Scene("a low tone", ("low tone",)),
    Scene("a high tone on the left", ("high tone",), side="left"),
    Scene("white noise", ("noise",)),
    Scene("silence", ("silence",)),
)

# Modules


def test_the_golden_file_is_small_and_has_every_case():
    golden = read_golden()
    assert list(golden) and set(golden) == {case.name for case in CASES}
    assert FILE.stat().st_size < 200_000
    assert all(0 < len(stored.samples) <= SAMPLES and stored.norm > 0 for stored in golden.values())


def test_inputs_are_the_same_numbers_everywhere():
    assert noise("a", 3).tolist() == pytest.approx([1.6906159, -1.5214765, -0.6243653], abs=2e-7)
    many = noise("b", 100_000)
    assert abs(many.mean()) < 0.02 and abs(many.std() - 1) < 0.01
    assert frames("c", 2, 48).shape == (2, 3, 48, 48)


def test_every_module_agrees_here_in_float32_and_half_precision():
    results = {result.name: result for result in check_parity("cpu")}
    assert results["fp32"].state is State.OK
    assert results["fp32"].values["mel"] < LIMITS["fp32"]
    assert results["fp16"].state in (State.OK, State.SKIPPED)
    # PyTorch 2.11 computes a strided bfloat16 convolution of 8 channels wrongly on processors with AMX.
    assert results["bf16"].state in (State.OK, State.WARNING)


def test_a_weight_that_is_off_by_a_hundredth_names_its_module():
    case = next(case for case in CASES if case.name == "fusion")

    def disturbed(stages):
        next(stages.network().maf.layers[0].parameters()).data *= 1.01
        return case.compute(stages)

    result = next(check_parity("cpu", (Case("fusion", disturbed),)))
    assert (result.name, result.state) == ("fp32", State.PROBLEM)
    assert ": fusion " in result.text


def test_not_a_number_is_never_close():
    stored = Stored.of(torch.ones(10))
    broken = Stored.of(torch.full((10,), float("nan")))
    assert not broken.distance(stored) <= 1
    assert Stored.of(torch.ones(11)).distance(stored) == float("inf")
    assert judged("bf16", "cpu", {"T5": Outcome(broken.distance(stored))}).state is State.PROBLEM


def test_a_device_without_a_type_is_no_problem_and_one_without_kernels_is():
    missing = Outcome(error="\"addmm_impl_cpu_\" not implemented for 'Half'")
    assert judged("fp16", "cpu", {"T5": missing}).state is State.SKIPPED
    broken = Outcome(error="CUDA error: no kernel image is available for execution on the device")
    assert judged("fp32", "cuda", {"T5": broken, "CLIP": Outcome(0.0)}).state is State.STOP
    assert judged("fp16", "cuda", {"T5": broken}).state is State.PROBLEM


def test_a_vae_that_is_wrong_in_half_precision_is_a_warning_for_it_runs_in_float32():
    assert judged("bf16", "cpu", {"VAE encoder": Outcome(1.0), "T5": Outcome(0.0)}).state is State.WARNING
    assert judged("fp32", "cpu", {"VAE encoder": Outcome(1.0), "T5": Outcome(0.0)}).state is State.PROBLEM
    assert judged("bf16", "cpu", {"VAE encoder": Outcome(1.0), "T5": Outcome(1.0)}).state is State.PROBLEM


# Sounds


def test_each_question_knows_its_sound_from_the_others():
    assert [scene.caption for scene in KINDS] == [question.prompt for question in QUESTIONS]
    sounds = np.stack([render(scene)[:, : round(44100 * SECONDS)] for scene in KINDS])
    assert wrong_answers(sounds) == []
    for shift in range(1, len(KINDS)):
        assert len(wrong_answers(np.roll(sounds, shift, axis=0))) == len(KINDS)


def test_a_fingerprint_tells_level_pitch_and_beats():
    time = torch.arange(3 * 44100) / 44100
    tone = 0.1 * torch.sin(2 * torch.pi * 1000 * time) * ((time % 0.5) < 0.2)
    found = Fingerprint.of(torch.stack([tone, tone]))
    assert found.centroid == 1000
    assert found.onsets == pytest.approx((0.0, 0.5, 1.0, 1.5, 2.0, 2.5), abs=0.02)
    assert found.shares[2] + found.shares[3] >= 99
    assert found.resembles(found.values)
    louder = Fingerprint.of(torch.stack([tone, tone]) * 2)
    assert not louder.resembles(found.values)
    assert "1000 Hz" in found.words


def test_silence_and_not_a_number_are_no_sound():
    assert not is_sound(torch.zeros(2, 100))
    assert not is_sound(torch.full((2, 100), float("nan")))
    assert is_sound(torch.ones(2, 100))
    assert not Fingerprint.of(torch.zeros(2, 44100)).resembles(read_expected()["fingerprint"])


def test_the_demo_is_compared_with_what_it_should_sound_like():
    expected = read_expected()
    found = Fingerprint(**expected["fingerprint"])
    assert _compared(found).state is State.OK
    assert _compared(Fingerprint(-40.0, found.centroid, found.shares, found.onsets)).state is State.WARNING
    assert expected["right"] == len(QUESTIONS)
    assert _answered(["silence"]).state is State.OK
    assert _answered(["silence", "white noise"]).state is State.PROBLEM


# Work, launches, memory


def test_the_work_of_sampling_is_that_of_the_benchmarks():
    shapes = {name: tuple(x.shape) for name, x in AudioXNetwork(NetworkSizes(), device="meta").state_dict().items()}
    model = SimpleNamespace(network=NetworkParameters.from_shapes(shapes))
    expected = benchmark.sampling(Options(depth=24))
    found = sampling_work(NetworkSizes(), model, PRESETS["turbo"])
    assert found.operations == expected.operations
    assert found.weights == pytest.approx(expected.weights, rel=0.25)  # the conditioners are read once, too


@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_more_steps_are_more_work(scale):
    checkpoint = open_checkpoint(demo_path())
    four, eight = (stage_work(checkpoint, RunSettings(steps, scale, "euler"), 228) for steps in (4, 8))
    assert four["sample"].operations < eight["sample"].operations < 2 * four["sample"].operations
    assert four["decode"] == eight["decode"]
    assert set(four) == {"encode", "sample", "decode"}


def test_launches_are_counted_by_kind():
    counts = [("cudaLaunchKernel", 690), ("cuLaunchKernelEx", 10), ("cudaMemcpyAsync", 3), ("aten::mm", 50)]
    assert Launches.of([*counts, ("cudaStreamSynchronize", 1)]) == Launches(700, 3, 1)


def test_memory_beyond_the_plan_is_a_warning():
    stage = SimpleNamespace(name="sample", ram=2**30, vram=2**32)
    watch = MemoryWatch(torch.device("cpu"), ram={"sample": 2**31}, vram={"sample": 2**33})
    [result] = check_memory(SimpleNamespace(stages=[stage]), watch)
    assert result.state is State.WARNING
    assert "planned 4.0GB VRAM, seen 8.0GB" in result.text


def test_short_times_are_told_in_milliseconds():
    assert (duration(12.345), duration(0.01234), duration(0.0000123)) == ("12.35 s", "12.3 ms", "0.0123 ms")
