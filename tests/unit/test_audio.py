"""Reading, preparing and writing sound."""

import io
import json
import zlib

import av
import numpy as np
import pytest
import torch
from safetensors import safe_open

from audiox_core.errors import AudioXError
from audiox_core.media import audio
from audiox_core.media.resampling import resample
from devtools import media_maker as maker
from devtools.paths import GOLDEN

RESAMPLE = GOLDEN / "audio_resample.safetensors"


def random_sound(channels: int = 2, samples: int = 50001) -> torch.Tensor:
    return torch.randn(channels, samples, generator=torch.Generator().manual_seed(0)) * 0.2


@pytest.mark.parametrize("rate", [32000, 48000])
def test_resampling_is_that_of_the_official_code(rate):
    with safe_open(RESAMPLE, "pt") as file:
        recipe = json.loads(file.metadata()["inputs"])["resample_in"]
        expected = file.get_tensor(f"resampled_{rate}_to_44100")
    bits = np.random.PCG64(zlib.crc32(f"input/{recipe['noise']}/{recipe['seed']}".encode()))
    noise = np.random.Generator(bits).standard_normal(recipe["shape"], dtype=np.float32)
    sound = torch.from_numpy(np.float32(recipe["scale"]) * noise)
    assert (resample(sound, rate, 44100) - expected).abs().max() <= 2e-5
    prompt = audio.prepare_prompt(sound, rate, samples=expected.shape[1])
    assert (prompt - expected).abs().max() <= 2e-5


@pytest.mark.parametrize("channels", [1, 2])
def test_wav_keeps_every_bit(tmp_path, channels):
    sound = random_sound(channels) * 8  # beyond full scale
    audio.write_audio(tmp_path / "a.wav", sound, 44100, {"title": "Rain", "comment": "seed 5"})
    read, rate = audio.read_audio(tmp_path / "a.wav")
    assert rate == 44100 and read.dtype == torch.float32 and torch.equal(read, sound)
    with av.open(str(tmp_path / "a.wav")) as file:
        assert file.streams.audio[0].codec_context.name == "pcm_f32le"
        assert file.metadata["title"] == "Rain" and file.metadata["comment"] == "seed 5"


def test_flac_has_24_bits_and_is_clipped(tmp_path):
    sound = random_sound()
    sound[0, 100] = 1.5
    audio.write_audio(tmp_path / "a.flac", sound, 48000, {"variant": "turbo"})
    read, rate = audio.read_audio(tmp_path / "a.flac")
    assert rate == 48000 and (read - sound.clamp(-1, 1)).abs().max() <= 2**-23
    with av.open(str(tmp_path / "a.flac")) as file:
        assert file.metadata["variant"] == "turbo"


def test_16_bit_wav_reads_at_full_scale(tmp_path):
    samples = np.array([[0, 0, 16384, -32768, 32767, 1]], np.int16)
    with av.open(str(tmp_path / "a.wav"), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=8000)
        stream.codec_context.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    read, rate = audio.read_audio(tmp_path / "a.wav")
    assert rate == 8000
    assert torch.equal(read, torch.tensor([[0, 0.5, 32767 / 32768], [0, -1, 1 / 32768]]))


def test_a_part_is_the_same_as_in_the_whole(tmp_path):
    audio.write_audio(tmp_path / "a.wav", random_sound(samples=100_000), 44100)
    whole, rate = audio.read_audio(tmp_path / "a.wav")
    part, _ = audio.read_audio(tmp_path / "a.wav", start=1.25, duration=0.5)
    assert torch.equal(part, whole[:, round(1.25 * rate) :][:, : rate // 2])
    memory = io.BytesIO((tmp_path / "a.wav").read_bytes())
    assert torch.equal(audio.read_audio(memory, start=1.25, duration=0.5)[0], part)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".webm"])
def test_the_sound_of_a_video_is_read(tmp_path, suffix):
    rate = 48000 if suffix == ".webm" else 44100
    codec = "libvpx" if suffix == ".webm" else "libx264"
    sound = maker.tone(6.0, rate) * torch.linspace(0.1, 1, 6 * rate)  # so that every second differs
    path = maker.make_video(tmp_path / f"a{suffix}", count=30, codec=codec, sound=sound, sound_rate=rate)
    whole, read_rate = audio.read_audio(path)
    assert read_rate == rate
    part, _ = audio.read_audio(path, start=4.5, duration=1.0)
    assert part.shape == (2, rate)
    assert (part - whole[:, round(4.5 * rate) : round(5.5 * rate)]).abs().max() < 0.01
    if suffix != ".ts":  # which cannot say where the codec's padding begins and ends
        assert whole.shape == sound.shape
        assert (whole - sound).square().mean() < 1e-3 * sound.square().mean()


def test_prompt_is_padded_in_front_or_at_the_end():
    sound = random_sound(samples=1000)
    front = audio.prepare_prompt(sound, 44100)
    assert front.shape == (2, 441000) and not front[:, :440000].any() and torch.equal(front[:, 440000:], sound)
    end = audio.prepare_prompt(sound, 44100, pad="end")
    assert torch.equal(end[:, :1000], sound) and not end[:, 1000:].any()


def test_prompt_is_cut_from_its_start():
    sound = random_sound(samples=5000)
    prompt = audio.prepare_prompt(sound, 44100, samples=1000, start=0.05)
    assert torch.equal(prompt, sound[:, 2205:3205])


def test_prompt_has_two_channels():
    mono = random_sound(1)
    assert torch.equal(audio.prepare_prompt(mono, 44100, samples=50001), mono.expand(2, -1))
    eight = random_sound(8)
    assert torch.equal(audio.prepare_prompt(eight, 44100, samples=50001), eight[:2])


@pytest.mark.parametrize(
    ("sound", "rate", "words"),
    [
        (torch.zeros(2, 0), 44100, "no samples"),
        (torch.zeros(0, 10), 44100, "shape"),
        (torch.zeros(1, 2, 10), 44100, "shape"),
        (torch.tensor([[0.0, float("nan")]]), 44100, "NaN"),
        (torch.tensor([[0.0, float("inf")]]), 44100, "NaN or infinite"),
        (torch.zeros(2, 10), 0, "sample rate is 0"),
        (torch.zeros(2, 10), 2_147_483_647, "cannot be resampled"),
    ],
)
def test_a_prompt_that_isnt_a_sound_is_refused(sound, rate, words):
    with pytest.raises(AudioXError, match=words):
        audio.prepare_prompt(sound, rate)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 37800, 88200, 96000, 192000])
def test_usual_rates_are_resampled(rate):
    sound = maker.tone(0.2, rate)
    prompt = audio.prepare_prompt(sound, rate, samples=8820)
    assert (prompt - maker.tone(0.2, 44100))[:, 500:-500].abs().max() < 5e-3


def test_a_start_beyond_the_end_says_how_long_the_sound_is(tmp_path):
    sound = maker.tone(0.5)
    with pytest.raises(AudioXError, match=r"0\.50 s long"):
        audio.prepare_prompt(sound, 44100, start=0.5)
    audio.write_audio(tmp_path / "a.wav", sound, 44100)
    with pytest.raises(AudioXError, match=r"0\.50 s long"):
        audio.read_audio(tmp_path / "a.wav", start=3.0)
    path = maker.make_video(tmp_path / "a.mp4", count=15, sound=sound)
    with pytest.raises(AudioXError, match=r"0\.50 s long"):
        audio.read_audio(path, start=0.5)


def test_files_without_sound_are_refused(tmp_path):
    with pytest.raises(AudioXError, match="no file"):
        audio.read_audio(tmp_path / "a.wav")
    (tmp_path / "a.wav").write_bytes(b"RIFF....WAVE" * 9)
    with pytest.raises(AudioXError, match=r"a\.wav.*cannot be read"):
        audio.read_audio(tmp_path / "a.wav")
    with pytest.raises(AudioXError, match="no audio stream"):
        audio.read_audio(maker.make_video(tmp_path / "a.mp4", count=3))


@pytest.mark.parametrize(
    ("name", "sound", "words"),
    [
        ("a.mp3", torch.zeros(2, 10), r"\.wav or \.flac"),
        ("a.wav", torch.zeros(2, 0), "no samples"),
        ("a.wav", torch.full((2, 10), float("nan")), "NaN"),
        ("a.flac", torch.zeros(8, 10), "8 channels"),
        ("missing/a.wav", torch.zeros(2, 10), "no folder"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, sound, words):
    with pytest.raises(AudioXError, match=words):
        audio.write_audio(tmp_path / name, sound, 44100)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_file_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audio.write_audio(path, random_sound(), 44100, progress=interrupt)
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"] and path.read_bytes() == b"old"
    audio.write_audio(path, random_sound(), 44100)
    assert torch.equal(audio.read_audio(path)[0], random_sound())
