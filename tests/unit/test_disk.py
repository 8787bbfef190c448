"""Disk space is known before a run, and what killed runs leave behind goes away."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from audiox_core import disk
from audiox_core.cli import main
from audiox_core.errors import AudioXError
from audiox_core.media.files import written_whole

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


def ended_process() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def named(folder: Path, *, host: str | None = None, process: int | None = None, age: float = 0.0) -> Path:
    """A temporary file of a process, written to some seconds ago."""
    _, _, end = disk.temporary_path(folder / "x.wav").name.removeprefix(".audiox-").split("-")
    path = folder / f".audiox-{host or disk._host()}-{process or os.getpid()}-{end}"
    path.write_bytes(b"half a sound")
    os.utime(path, (time.time() - age,) * 2)
    return path


@posix
def test_only_what_nobody_is_writing_is_removed(tmp_path):
    dead, day = ended_process(), disk.ABANDONED + 60
    gone = [named(tmp_path, process=dead), named(tmp_path, age=day), named(tmp_path, host="0123abcd", age=day)]
    stays = [named(tmp_path), named(tmp_path, host="0123abcd", process=dead), tmp_path / ".audiox-mine.wav"]
    stays += [tmp_path / "sound.wav", tmp_path / ".hidden.wav"]
    for path in stays:
        path.touch()
    assert disk.remove_leftovers(tmp_path) == sorted(gone)
    assert sorted(tmp_path.iterdir()) == sorted(stays)


def test_the_longest_name_that_a_disk_allows_can_be_written(tmp_path):
    path = tmp_path / ("x" * 251 + ".wav")
    with written_whole(path) as temporary:
        temporary.write_bytes(b"sound")
    assert path.read_bytes() == b"sound" and list(tmp_path.iterdir()) == [path]


def test_a_disk_with_room_is_fine_and_one_without_is_a_sentence(tmp_path, monkeypatch):
    disk.check_free(tmp_path / "none" / "x.wav", 1000, "give up")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: SimpleNamespace(free=2 * 10**8))
    with pytest.raises(AudioXError, match=r"needs 5\.7 GB, but only 200 MB are free there; make room, or give up\."):
        disk.check_free(tmp_path / "none" / "x.wav", 5_650_842_608, "give up")


def test_sounds_that_will_not_fit_are_refused_before_they_are_generated(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6))
    out = tmp_path / "rain.wav"
    assert main(["generate", "--prompt", "rain", "--seconds", "10", "--out", str(out)]) == 2
    assert "needs 4 MB, but only 1 MB are free there; make room, or give another folder" in capsys.readouterr().err
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text('{"id": "a", "prompt": "rain", "seconds": 10}\n')
    assert main(["batch", str(manifest), "--out", str(tmp_path / "sounds"), "--device", "cpu"]) == 2
    assert "needs 4 MB, but only 1 MB are free there" in capsys.readouterr().err
    assert not list((tmp_path / "sounds").glob("*.wav"))


CONVERT = """
import os, sys, time
from audiox_core import cli
from audiox_core.checkpoint import writer

whole = writer._bytes

def slow(entry, tensor):
    print("writing", flush=True)
    time.sleep(60)
    return whole(entry, tensor)

writer._bytes = slow
sys.exit(cli.main(sys.argv[1:]))
"""


def conversion(source: Path, output: Path) -> subprocess.Popen:
    """A conversion that is in the middle of its file."""
    command = [sys.executable, "-c", CONVERT, "convert", str(source), str(output)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    return process


@posix
def test_sigterm_cleans_up_as_ctrl_c_does(tmp_path, small_model_dir):
    process = conversion(small_model_dir, tmp_path / "small.safetensors")
    assert [path.suffix for path in tmp_path.iterdir()] == [".partial"]
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert said.splitlines()[-1] == "audiox convert: ended by SIGTERM."
    assert not list(tmp_path.iterdir())


@posix
def test_the_next_conversion_removes_what_a_killed_one_left(tmp_path, small_model_dir):
    process = conversion(small_model_dir, tmp_path / "small.safetensors")
    process.kill()
    process.communicate(timeout=60)
    assert [path.suffix for path in tmp_path.iterdir()] == [".partial"]
    assert main(["convert", str(small_model_dir), str(tmp_path / "other.safetensors")]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["other.safetensors"]
