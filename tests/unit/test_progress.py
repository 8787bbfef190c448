"""The line of progress: on a terminal and in a log, its clock, its units and what it claims about the time left."""

import io
from contextlib import redirect_stderr

import pytest
import torch

from audiox_core.cli import progress
from audiox_core.models.vae import OobleckVAE, VAESizes
from audiox_core.progress import Counter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


def shown(terminal) -> list[str]:
    return [line.split("] ")[-1].rstrip() for line in terminal.getvalue().split("\r")[1:]]


def test_the_clock_starts_with_the_stage(clock, terminal):
    with redirect_stderr(terminal), progress.Bar() as bar:
        bar("sample", 0, 4)
        clock.now += 53
        bar("sample", 1, 4)
    assert shown(terminal) == ["0/4 steps 0:00", "1/4 steps 0:53 0.0189/s, 2:39 left"]


def test_nothing_is_claimed_before_the_second_report(clock, terminal):
    with redirect_stderr(terminal), progress.Bar() as bar:
        bar("sample", 1, 4)  # work that did not report its beginning
        clock.now += 10
        bar("sample", 2, 4)
    assert shown(terminal) == ["1/4 steps 0:00", "2/4 steps 0:10 0.1/s, 0:20 left"]


def test_bytes_are_megabytes(clock, terminal):
    with redirect_stderr(terminal), progress.Bar() as bar:
        bar("load", 0, 10_843_476_061)
        clock.now += 20
        bar("load", 3_000_000_000, 10_843_476_061)
        clock.now += 30
        bar("load", 10_843_476_061, 10_843_476_061)
    assert shown(terminal) == [
        "0/10,843 MB 0:00",
        "3,000/10,843 MB 0:20 150 MB/s, 0:52 left",
        "10,843/10,843 MB 0:50 217 MB/s",
    ]


def test_a_stage_that_comes_again_starts_again(clock, terminal):
    with redirect_stderr(terminal), progress.Bar() as bar:
        bar("load", 0, 10**7)
        clock.now += 50
        bar("load", 10**7, 10**7)
        bar("load", 0, 10**8)
        clock.now += 1
        bar("load", 10**7, 10**8)
    assert shown(terminal)[-1] == "10/100 MB 0:01 10 MB/s, 0:09 left"
    assert terminal.getvalue().count("\n") == 2


def test_a_log_shows_life_but_is_not_filled(clock, log):
    with redirect_stderr(log), progress.Bar() as bar:
        bar("sample", 0, 1000)
        for step in range(1, 1001):
            clock.now += 0.5
            bar("sample", step, 1000)
        bar("decode", 0, 236)
        clock.now += 0.5
        bar("decode", 236, 236)
    lines = log.getvalue().splitlines()
    assert lines[0] == "sample: 0/1000 steps 0:00"
    assert lines[1] == "sample: 100/1000 steps 0:50 2/s, 7:30 left"
    assert lines[-2] == "sample: 1000/1000 steps 8:20 2/s"
    assert lines[-1] == "decode: 0/236 frames 0:00"  # over within a second
    assert len(lines) == 12


def test_a_log_shows_slow_work_every_minute(clock, log):
    with redirect_stderr(log), progress.Bar() as bar:
        for step in range(20):
            bar("sample", step, 1000)
            clock.now += 30
    assert len(log.getvalue().splitlines()) == 10


def test_a_batch_shows_what_its_sound_is_doing(clock, terminal):
    with redirect_stderr(terminal), progress.Bar() as bar:
        bar("batch", 3, 20)
        bar.inner("sample", 2, 4)
        bar("batch", 4, 20)
    assert shown(terminal) == ["3/20 sounds 0:00", "3/20 sounds 0:00 (sample 2/4 steps)", "4/20 sounds 0:00"]


@pytest.mark.parametrize("frames", [1, 30, 245])
def test_the_vae_reports_all_of_its_work_as_it_goes(frames):
    sizes = VAESizes(channels=4, widths=(4, 8, 8, 8, 8), strides=(2, 2, 2, 2, 2))
    vae = OobleckVAE(sizes).eval()
    calls: list[tuple[str, int, int]] = []
    for work, total in (
        (lambda counter: vae.decode(torch.zeros(2, 64, frames), counter), 2 * frames),
        (
            lambda counter: vae.encode_statistics(torch.zeros(1, 2, frames * sizes.samples_per_latent + 5), counter),
            frames,
        ),
    ):
        calls.clear()
        work(Counter(lambda *call: calls.append(call), "decode", total))
        counts = [done for _, done, _ in calls]
        assert counts[0] == 0 and counts[-1] == total and counts == sorted(counts)
        assert len(set(counts)) >= min(5, total)


def test_what_reports_may_stop_the_vae():
    def stop(amount: float) -> None:
        raise KeyboardInterrupt

    vae = OobleckVAE(VAESizes(channels=4, widths=(4, 8, 8, 8, 8))).eval()
    with pytest.raises(KeyboardInterrupt):
        vae.decode(torch.zeros(1, 64, 20), stop)
