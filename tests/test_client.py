"""The client that the README shows, against a real ComfyUI with the demo checkpoint."""

import subprocess
import sys

import av
import numpy as np
import pytest
from comfy_server import free_port
from graphs import ROOT, read_audio, video_packets
from media_maker import make_demo_video


def client(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "tools" / "client_example.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A video whose name needs escaping on its way."""
    return make_demo_video(tmp_path_factory.mktemp("clip") / "my clip 1.mp4", seconds=2.0)


def test_a_video_comes_back_with_sound(comfy, clip, tmp_path):
    target = tmp_path / "with sound.mp4"
    answer = client(clip, target, "--server", f"http://{comfy.address}", "--seed", 3)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == str(target)
    assert "4 of 4" in answer.stdout  # the steps of Turbo
    with av.open(str(target)) as container:
        assert container.duration / av.time_base == pytest.approx(2.0, abs=1e-3)
    sound, rate = read_audio(target)
    assert rate == 44100
    assert np.sqrt(np.mean(sound**2)) > 1e-3
    assert video_packets(target) == video_packets(clip)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_a_refusal_is_told_and_leaves_no_file(comfy, clip, tmp_path):
    answer = client(clip, tmp_path / "out.mp4", "--server", f"http://{comfy.address}", "--checkpoint", "none.ckpt")
    assert answer.returncode == 1
    assert "none.ckpt" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not list(tmp_path.iterdir())


def test_a_failure_is_told_and_leaves_no_file(comfy, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    answer = client(broken, tmp_path / "out.mp4", "--server", f"http://{comfy.address}")
    assert answer.returncode == 1
    assert answer.stderr.startswith("client_example.py: ")
    assert "Traceback" not in answer.stderr
    assert list(tmp_path.iterdir()) == [broken]


def test_a_server_that_is_not_there_is_told(clip, tmp_path):
    answer = client(clip, tmp_path / "out.mp4", "--server", f"http://127.0.0.1:{free_port()}")
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
