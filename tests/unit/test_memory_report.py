"""The memory report and the switches of the command line."""

import argparse

import pytest
import torch

from audiox_core.checkpoint import open_checkpoint
from audiox_core.cli import main, memory
from audiox_core.memory import GB, Dtypes, Limits, Machine, Workload, plan_memory, report
from audiox_core.memory import dtypes as precision
from audiox_core.memory.report import MemoryWatch, plan_report
from devtools.released_model import released_model

HALF = Dtypes(torch.float16, torch.float16)
EXAMPLE = Machine("cuda", int(7.6 * GB), int(7.2 * GB), int(61.3 * GB), int(41.9 * GB))
UPSTREAM = """\
==================================================
VRAM Optimization Settings:
  - FP16 (half precision): Enabled by default
  - CPU offloading: Enabled by default

System Memory Detection:
  - VRAM: 7.6GB total, 7.2GB available
  - RAM: 61.3GB total, 41.9GB available

Planned Memory Allocation:
  - Using: 6.5GB VRAM (90% of available)
  - Using: 33.5GB RAM (80% of available)
"""


def test_the_report_begins_as_upstream_shows_it():
    said = plan_report(plan_memory(released_model(), Workload(), EXAMPLE, None, HALF))
    assert said.startswith(UPSTREAM)
    assert said.splitlines()[-1] == "=" * 50 == said.splitlines()[0]


def test_every_stage_has_a_line():
    found = plan_memory(released_model(), Workload(video=True), EXAMPLE, Limits(max_vram=3 * GB), HALF)
    said = plan_report(found)
    assert "  - Using: 3.0GB VRAM (as limited)" in said
    streamed = found.streaming.streamed
    assert f"{24 - streamed} of 24 blocks on the device, {streamed} stream" in said
    for name in ("encode text (t5)", "encode video (clip_vision)", "encode video (synchformer)", "decode (vae)"):
        assert f"  - {name}: " in said


def test_settings_are_told_as_they_are():
    roomy = Machine("cpu", 0, 0, 64 * GB, 60 * GB)
    by_hand = plan_report(
        plan_memory(released_model(), Workload(), roomy, Limits(offload=False), Dtypes()), by_hand=True
    )
    assert "FP16 (half precision): Disabled\n" in by_hand and "CPU offloading: Disabled\n" in by_hand
    assert "VRAM: none (cpu works in RAM)" in by_hand and "GB VRAM" not in by_hand
    half = plan_report(plan_memory(released_model(), Workload(), roomy, None, Dtypes(torch.bfloat16, torch.bfloat16)))
    assert "Enabled by default (as BF16)" in half


def test_the_watch_sees_a_stage_s_peak():
    watch = MemoryWatch(torch.device("cpu"))
    with watch.stage("sample"):
        held = torch.ones(64 * 2**20)  # 256 MB
        del held
    with watch.stage("decode"):
        pass
    assert watch.ram["sample"] > watch.ram["decode"] + 200 * 2**20
    assert [line.split(":")[0] for line in watch.seen().splitlines()[2:4]] == ["  - sample", "  - decode"]


def test_generate_prints_both_reports(small_model_dir, tmp_path, capsys):
    out = tmp_path / "a.wav"
    arguments = ["generate", "--model", str(small_model_dir), "--prompt", "rain", "--out", str(out), "--no-half"]
    assert main([*arguments, "--max-ram", "2", "--no-cpu-offload"]) == 0
    said = capsys.readouterr().err
    assert "  - FP16 (half precision): Disabled\n  - CPU offloading: Disabled\n" in said
    assert "  - Using: 2.0GB RAM (as limited)\n" in said
    assert said.index("Planned Stages:") < said.index("Peak Memory:") and "torch.float32" in said


BAD = {
    "contradiction": (["--no-half", "--dtype", "bf16"], "--no-half means fp32"),
    "no memory": (["--max-ram", "0"], "--max-ram is 0 GB"),
    "negative memory": (["--max-vram", "-3"], "--max-vram is -3 GB"),
    "too little memory": (["--max-ram", "0.2"], "raise --max-ram"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_work_is_one_sentence(case, small_model_dir, tmp_path, capsys):
    options, words = BAD[case]
    out = tmp_path / "a.wav"
    assert main(["generate", "--model", str(small_model_dir), "--prompt", "x", "--out", str(out), *options]) == 2
    assert words in capsys.readouterr().err.splitlines()[-1] and not out.exists()


def options(*arguments):
    parser = argparse.ArgumentParser()
    memory.add_arguments(parser, "")
    return parser.parse_args(arguments)


def test_types_are_the_asked_ones_or_the_default():
    asked = memory.chosen_dtypes(options("--dtype", "fp16", "--vae-dtype", "bf16"), None)
    assert asked == Dtypes(torch.float16, torch.float16, torch.bfloat16)
    assert memory.chosen_dtypes(options("--no-half"), None) == Dtypes()
    assert memory.chosen_dtypes(options(), lambda: torch.bfloat16).network == torch.bfloat16


@pytest.mark.parametrize(("half_is", "chosen"), [(3.0, torch.bfloat16), (1.2, torch.float32), (0.1, torch.float32)])
def test_a_cpu_computes_in_what_it_is_faster_with(half_is, chosen, monkeypatch):
    clock = [0.0]

    def linear(x, weight):
        clock[0] += 1.0 / half_is if x.dtype == torch.bfloat16 else 1.0

    monkeypatch.setattr(precision.F, "linear", linear)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: clock[0])
    assert precision.default_dtype("cpu") == chosen


def test_a_vae_in_half_precision_stays_near(small_model_dir):
    from audiox_core.pipeline import AudioX

    latent = torch.randn(1, 64, 236, generator=torch.Generator().manual_seed(0))
    full, half = (
        AudioX(open_checkpoint(small_model_dir), vae_dtype=dtype).decode(latent)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert 0 < (full - half).norm() / full.norm() < 0.1


def test_gigabytes_are_those_of_drivers():
    assert report.gb(8 * 2**30) == "8.0GB"
