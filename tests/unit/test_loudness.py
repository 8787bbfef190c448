"""Loudness and true peak against published test signals, and the gain to a loudness on a video's sound."""

import logging
import math

import pytest
import torch

from audiox_core.cli import main
from audiox_core.errors import AudioXError
from audiox_core.measure.loudness import GATE, STAGES, check_target, k_weighting, loudness, loudness_gain, true_peak
from audiox_core.media.audio import read_audio
from audiox_core.media.mux import SoundPlacement, mux_video
from devtools import media_maker as maker
from devtools.graphs import ids_of, load, node, shipped

RATE = 44100
SILENT = -math.inf


def tones(*parts: tuple[float, float], rate: int = 48000, hertz: float = 1000.0) -> torch.Tensor:
    """One channel (samples,) of sines: (dBFS, seconds) one after the other."""
    waves = []
    for level, seconds in parts:
        time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
        waves.append(10 ** (level / 20) * torch.sin(2 * math.pi * hertz * time))
    return torch.cat(waves)


def noise(seconds: float, level: float = 0.05, seed: int = 0) -> torch.Tensor:
    """Stereo noise at RATE, the right channel of its own and half as loud."""
    samples = torch.randn(2, round(seconds * RATE), generator=torch.Generator().manual_seed(seed))
    return level * samples * torch.tensor([[1.0], [0.5]])


def decibels(value: float) -> float:
    return 20 * math.log10(value)


# Measuring


EBU_3341 = {
    1: (-23, (-23, 20)),
    2: (-33, (-33, 20)),
    3: (-23, (-36, 10), (-23, 60), (-36, 10)),
    4: (-23, (-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)),
    5: (-23, (-26, 20), (-20, 20.1), (-26, 20)),
}
"""EBU Tech 3341, signals 1 to 5: what a meter shows within 0.1 LU, and (dBFS, seconds) of the parts."""


@pytest.mark.parametrize("case", EBU_3341)
def test_loudness_of_the_ebu_signals(case):
    expected, *parts = EBU_3341[case]
    assert loudness(tones(*parts).float().expand(2, -1), 48000) == pytest.approx(expected, abs=0.1)


def test_loudness_of_the_ebu_signal_in_five_channels():
    waveform = torch.stack([tones((level, 20)) for level in (-28, -28, -24, -30, -30)])
    assert loudness(waveform, 48000) == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 192000])
def test_a_sine_of_full_scale_in_one_channel_is_3_lu_below_zero_at_every_rate(rate):
    wave = tones((0, 5), rate=rate, hertz=997.0)
    assert loudness(torch.stack((wave, 0 * wave)), rate) == pytest.approx(-3.01, abs=0.01)
    assert loudness(wave[None], rate) == pytest.approx(-3.01, abs=0.01)
    assert loudness(wave.expand(2, -1), rate) == pytest.approx(0.0, abs=0.01)


def test_channels_have_their_weights():
    wave = tones((-20, 2), hertz=997.0)
    expected = [-23.01] * 3 + [SILENT] + [-23.01 + 10 * math.log10(1.41)] * 2
    for channel, level in enumerate(expected):
        sound = torch.zeros(6, len(wave), dtype=torch.float64)
        sound[channel] = wave
        assert loudness(sound, 48000) == pytest.approx(level, abs=0.01)
    with pytest.raises(AudioXError, match="has 4 channels"):
        loudness(torch.zeros(4, 48000), 48000)


def test_k_weighting_is_the_published_recursion():
    """The impulse response of the two filters as difference equations, sample by sample."""
    impulse = [1.0] + [0.0] * 47999
    for (b0, b1, b2), (_, a1, a2) in STAGES:
        filtered, x1, x2, y1, y2 = [], 0.0, 0.0, 0.0, 0.0
        for x in impulse:
            y = b0 * x + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2
            x1, x2, y1, y2 = x, x1, y, y1
            filtered.append(y)
        impulse = filtered
    gains = k_weighting(torch.fft.rfftfreq(48000, 1 / 48000, dtype=torch.float64))
    assert torch.allclose(torch.fft.irfft(gains, 48000), torch.tensor(impulse, dtype=torch.float64), atol=1e-12)


def test_both_gates():
    loud, quiet = noise(10.0), noise(10.0, seed=1)
    alone = loudness(loud, RATE)
    for drop, counts in ((12, True), (14, False)):  # the relative gate lies 10 LU below the mean, that 12.8 below loud
        both = loudness(torch.cat((loud, quiet * 10 ** (-drop / 20)), 1), RATE)
        assert (both < alone - 1) == counts
    assert loudness(torch.cat((loud, torch.zeros(2, 60 * RATE)), 1), RATE) == pytest.approx(alone, abs=0.1)
    near = noise(5.0) * 10 ** ((GATE - alone) / 20)
    assert loudness(near * 1.1, RATE) == pytest.approx(GATE + decibels(1.1), abs=0.1)
    assert loudness(near * 0.8, RATE) == SILENT


def test_what_has_no_loudness():
    assert loudness(torch.zeros(2, RATE), RATE) == SILENT
    assert loudness(torch.zeros(2, 0), RATE) == SILENT
    assert loudness(noise(0.4)[:, :-1], RATE) == SILENT
    assert loudness(noise(0.4), RATE) > -40


def test_pieces_do_not_show():
    """Sound longer than a piece measures as the same sound shifted against the pieces."""
    sound = noise(11.0) * torch.linspace(1, 0.3, 11 * RATE)
    shifted = torch.cat((torch.zeros(2, 3 * RATE), sound), 1)
    assert loudness(shifted, RATE) == pytest.approx(loudness(sound, RATE), abs=0.1)
    assert true_peak(shifted, RATE) == pytest.approx(true_peak(sound, RATE), rel=1e-4)


EBU_PEAKS = {
    15: (4, 0.5, 0.0, -6.0),
    16: (4, 0.5, 45.0, -6.0),
    17: (6, 0.5, 60.0, -6.0),
    18: (8, 0.5, 67.5, -6.0),
    19: (4, 1.41, 45.0, 3.0),
}
"""Samples of a period, amplitude, phase in degrees and true peak in dBTP, within +0.2 and -0.4 dB."""


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("case", EBU_PEAKS)
def test_true_peak_of_the_ebu_signals(case, rate):
    period, amplitude, phase, expected = EBU_PEAKS[case]
    samples = torch.arange(3 * rate, dtype=torch.float64)
    wave = amplitude * torch.sin(2 * math.pi * samples / period + math.radians(phase))
    fade = (torch.minimum(samples, samples.flip(0)) / (0.01 * rate)).clamp(max=1)  # a sudden start would ring
    measured = decibels(true_peak((wave * fade).expand(2, -1), rate))
    assert expected - 0.4 <= measured <= expected + 0.2
    assert measured >= decibels((wave * fade).abs().max().item()) - 1e-9


def test_true_peak_is_never_below_the_sample_peak():
    for seconds in (0.01, 1.0, 5.0, 7.3):
        sound = noise(seconds)
        assert true_peak(sound, RATE) >= sound.abs().max() * (1 - 1e-6)
    assert true_peak(torch.zeros(2, 0), RATE) == 0


# The gain


@pytest.mark.parametrize("target", [-60.0, -30.0, -23.0])
def test_the_gain_brings_a_sound_to_the_target(target, caplog):
    sound = noise(3.0)
    louder = sound * loudness_gain(sound, RATE, target)
    assert loudness(louder, RATE) == pytest.approx(target, abs=0.01)
    assert not caplog.records


def test_peaks_hold_the_gain_back(caplog):
    sound = noise(3.0)
    sound[:, RATE] = 0.5
    louder = sound * loudness_gain(sound, RATE, -14.0)
    assert decibels(true_peak(louder, RATE)) == pytest.approx(-1.0, abs=0.01)
    assert loudness(louder, RATE) < -15
    [record] = caplog.records
    assert f"{loudness(louder, RATE):.1f} LUFS instead of -14.0" in record.getMessage()


def test_sound_without_loudness_keeps_its_level(caplog):
    for sound in (torch.zeros(2, RATE), noise(0.3), torch.zeros(2, 0)):
        assert loudness_gain(sound, RATE, -14.0) == 1.0
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3


@pytest.mark.parametrize("target", [0.0, 3.0, -70.1, math.nan, -math.inf])
def test_a_target_that_no_sound_has_is_refused(target):
    with pytest.raises(AudioXError, match="to below 0"):
        check_target(target)


# On a video


def muxed(tmp_path, sound, mode="replace", **placement) -> torch.Tensor:
    source = maker.make_video(tmp_path / "a.mkv", sound=maker.tone(2.0, hertz=300, level=0.2))  # 2 s, flac
    return read_audio(
        mux_video(source, sound, RATE, tmp_path / "b.mkv", mode=mode, placement=SoundPlacement(**placement))
    )[0]


def test_the_new_sound_of_a_video_has_the_loudness(tmp_path):
    sound = noise(2.0)
    result = muxed(tmp_path, sound, loudness=-20.0)
    assert loudness(result, RATE) == pytest.approx(-20, abs=0.02)
    gain = result[0].norm() / sound[0].norm()
    assert torch.allclose(result, gain * sound, atol=1e-4)  # one gain for both channels
    assert torch.equal(muxed(tmp_path, sound), muxed(tmp_path, sound, loudness=None))


def test_what_is_heard_of_the_new_sound_counts(tmp_path):
    sound = torch.cat((noise(1.0, 0.2), noise(2.0), noise(3.0, 0.2)), 1)
    assert loudness(muxed(tmp_path, sound, offset=-1.0, loudness=-20.0), RATE) == pytest.approx(-20, abs=0.02)


def test_one_channel_is_measured_as_the_two_it_becomes(tmp_path):
    assert loudness(muxed(tmp_path, noise(2.0)[:1], loudness=-20.0), RATE) == pytest.approx(-20, abs=0.02)


def test_the_gain_in_decibels_comes_on_top_and_the_original_stays(tmp_path):
    sound = noise(2.0)
    assert loudness(muxed(tmp_path, sound, loudness=-26.0, gain_db=3.0), RATE) == pytest.approx(-23, abs=0.02)
    alone = muxed(tmp_path, sound, loudness=-26.0)
    original, _ = read_audio(tmp_path / "a.mkv")
    assert torch.allclose(muxed(tmp_path, sound, loudness=-26.0, mode="mix") - alone, original, atol=1e-4)


def test_a_target_is_checked_before_anything_is_written(tmp_path):
    with pytest.raises(AudioXError, match="5 LUFS"):
        muxed(tmp_path, noise(2.0), loudness=5.0)
    assert not (tmp_path / "b.mkv").exists()


# From the command line


@pytest.mark.parametrize("name", ["out.wav", "out.mkv"])
def test_generate_takes_a_loudness(name, small_model_dir, example_video, tmp_path, capsys):
    def generate(target: float) -> int:
        options = ["--model", small_model_dir, "--prompt", "rain", "--seconds", 1, "--loudness", target]
        video = ["--video", example_video] * name.endswith(".mkv")
        return main(["generate", *map(str, options), *map(str, video), "--out", str(tmp_path / name)])

    assert generate(0) != 0
    assert "choose one from -70 to below 0" in capsys.readouterr().err
    assert not (tmp_path / name).exists()
    assert generate(-35) == 0
    sound, rate = read_audio(tmp_path / name)
    assert loudness(sound, rate) == pytest.approx(-35, abs=0.02)


# In ComfyUI


def test_the_mux_node_takes_a_loudness(lab):
    def run(target: float) -> tuple[torch.Tensor, str]:
        before = len(lab.log())
        made = lab.run(
            {
                "video": node("LoadVideo", file="example.mp4"),
                "audio": node("LabAudio", kind="noise", channels=2, samples=RATE),
                "mux": node("AudioXMuxVideo", video=["video", 0], audio=["audio", 0], loudness=target),
                "save": node("SaveVideo", video=["mux", 0], filename_prefix="loud/video", format="auto", codec="auto"),
            }
        )
        [item] = made.files("save")
        return read_audio(lab.output_path(item))[0], lab.log()[before:]

    plain, _ = run(0.0)
    quiet, log = run(-30.0)
    given = loudness(torch.randn(2, RATE, generator=torch.Generator().manual_seed(0)) * 0.1, RATE)
    lowered = loudness(plain, RATE) - loudness(quiet, RATE)  # AAC takes the top of noise away, alike from both
    assert lowered == pytest.approx(given + 30, abs=0.2)
    assert "instead of" not in log
    _, log = run(-3.0)
    assert "LUFS instead of -3.0: more would bring its peaks above -1 dBTP" in log


def test_the_decode_node_shows_the_loudness_of_each_sound(lab):
    prompt = shipped("t2a_turbo")
    kinds = ("AudioXEmptyLatent", "AudioXVAEDecode", "AudioXSaveSound")
    [latent], [decode], [save] = (ids_of(prompt, kind) for kind in kinds)
    prompt[latent]["inputs"]["batch_size"] = 2
    prompt["show"] = node("PreviewAny", source=[decode, 1])
    made = lab.run(prompt)
    shown = [float(text) for text in made["outputs"]["show"]["text"]]
    paths = [lab.output_path(item) for item in made.files(save)]
    sounds = [read_audio(path)[0] for path in paths if path.suffix == ".flac"]  # each has its picture beside it
    assert shown == pytest.approx([loudness(sound, RATE) for sound in sounds], abs=0.01)
    assert shown[0] != shown[1]


def test_the_decode_node_has_a_number_for_silence(lab):
    made = lab.run(
        {
            "load": load(),
            "latent": node("LabLatent", value="0", batch=1, channels=64, length=236),
            "decode": node("AudioXVAEDecode", vae=["load", 1], latent=["latent", 0], seconds=0.2),
            "show": node("PreviewAny", source=["decode", 1]),
        }
    )
    assert made["outputs"]["show"]["text"] == ["-70.0"]
