"""A run that is killed or interrupted at any stage leaves the file of the run before as it was."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from audiox_core.disk import remove_leftovers
from devtools.paths import ROOT

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals"),
]


PROGRAM = """
import os, signal, sys
from audiox_core import cli, pipeline

signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs without it

stage, signal_number = sys.argv.pop(1), int(sys.argv.pop(1))
place = os if stage == "replace" else pipeline.AudioX
whole = getattr(place, stage)

def cut_off(*args, **kwargs):
    os.kill(os.getpid(), signal_number)
    return whole(*args, **kwargs)

setattr(place, stage, cut_off)
sys.exit(cli.main(sys.argv[1:]))
"""

STAGES = ("sample", "decode", "replace")
"""What is running when the signal comes; os.replace is what gives a whole file its name."""


def run(stage: str, number: signal.Signals, out: Path) -> int:
    command = [sys.executable, "-c", PROGRAM, stage, str(int(number))]
    command += ["generate", "--prompt", "rain", "--dtype", "fp32", "--seconds", "0.5", "--out", str(out)]
    return subprocess.run(command, cwd=ROOT, stderr=subprocess.DEVNULL, timeout=200).returncode


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_run_leaves_the_old_file(stage, tmp_path):
    out = tmp_path / "sound.wav"
    out.write_bytes(b"the sound of the run before")
    assert run(stage, signal.SIGKILL, out) == -signal.SIGKILL
    assert out.read_bytes() == b"the sound of the run before"
    others = [path.name for path in tmp_path.iterdir() if path != out]
    assert all(name.startswith(".audiox-") for name in others) and len(others) <= (stage == "replace")
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_nothing_but_the_old_file(number, code, tmp_path):
    out = tmp_path / "sound.wav"
    out.write_bytes(b"the sound of the run before")
    assert run("replace", number, out) == code
    assert [path.name for path in tmp_path.iterdir()] == ["sound.wav"]
    assert out.read_bytes() == b"the sound of the run before"
