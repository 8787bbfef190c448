"""Any length, loops and worked-on sound, heard: what the demo checkpoint makes is right, and right to the end."""

import av
import numpy as np
import pytest
import torch

from audiox_core import lengths
from audiox_core.checkpoint import open_checkpoint
from audiox_core.cli import main
from audiox_core.demo import demo_path
from audiox_core.measure.onsets import find_onsets
from audiox_core.measure.spectra import mean_spectrum
from audiox_core.media.audio import write_audio
from audiox_core.pipeline import AudioX, Prompt
from audiox_core.sampling.presets import resolve_settings
from devtools.graphs import read_audio
from training.evaluation import events, judge
from training.world import films

RATE = lengths.SAMPLE_RATE


pytestmark = pytest.mark.live  # windows are heard with a trained model, so these run the demo


@pytest.fixture(scope="module")
def turbo():
    return AudioX(open_checkpoint(demo_path("turbo")))


def spectral_flux(sound: torch.Tensor) -> torch.Tensor:
    """How much the logarithmic spectrum of a sound (2, samples) rises from one 1024 samples to the next."""
    spectrum = torch.stft(sound.mean(0), 2048, 1024, window=torch.hann_window(2048), return_complex=True).abs().log1p()
    return spectrum.diff(dim=1).clamp(min=0).mean(dim=0)


def around(flux: torch.Tensor, samples: list[int]) -> torch.Tensor:
    """The largest flux within 0.1 s of places in samples."""
    return torch.stack([flux[max(0, place // 1024 - 4) : place // 1024 + 5].max() for place in samples])


# Length and seams


@pytest.mark.parametrize("seconds", [0.5, 1, 9.99, 10, 10.01, 33])
def test_the_sound_has_the_length_asked_for(turbo, seconds):
    latent = turbo.sample(Prompt(), resolve_settings("turbo", steps=1), seeds=[0, 1], seconds=seconds)
    assert turbo.decode(latent, seconds=seconds).shape == (2, 2, round(seconds * RATE))


@pytest.mark.parametrize("text", ["a steady low tone", "white noise"])
def test_window_borders_are_not_heard(turbo, text):
    """The spectral flux where windows begin, pass over and end is that of the interior."""
    seconds = 33
    latent = turbo.sample(Prompt(turbo.encode_text(text)[0]), resolve_settings("turbo"), seconds=seconds)
    flux = spectral_flux(turbo.decode(latent, seconds=seconds)[0])
    begins = [i * lengths.WINDOW_HOP for i in range(1, lengths.windows_from_seconds(seconds))]
    borders = [(begin + place) * lengths.SAMPLES_PER_LATENT for begin in begins for place in (0, 22, 44, 64)]
    interior = flux.unfold(0, 9, 1).amax(dim=-1)  # the same measure everywhere
    assert around(flux, borders).mean() < interior.quantile(0.9)
    alone = [
        turbo.decode(turbo.sample(Prompt(turbo.encode_text(text)[0]), resolve_settings("turbo"), seeds=[i]))[0]
        for i in range(4)
    ]  # what the measure says of sounds that were only set side by side
    cut = spectral_flux(torch.cat(alone, dim=1))
    seams = around(cut, [441_000 * i for i in (1, 2, 3)])
    assert text == "white noise" or seams.mean() > interior.quantile(0.9)


def test_one_sound_throughout(turbo):
    latent = turbo.sample(Prompt(turbo.encode_text("a high tone")[0]), resolve_settings("turbo"), seconds=33)
    sound = turbo.decode(latent, seconds=33)[0].numpy()
    for start in range(0, 30, 3):
        assert judge.hear(sound[:, start * RATE : (start + 3) * RATE]).kinds[0] == "high tone"


# Loops


@pytest.mark.parametrize("seconds", [3.0, 12.3])
def test_a_loop_has_no_seam(turbo, seconds):
    prompt, settings = Prompt(turbo.encode_text("a steady low tone")[0]), resolve_settings("turbo")
    latent = turbo.sample(prompt, settings, seconds=seconds, loop=True)
    sound = turbo.decode(latent, seconds=seconds, loop=True)[0]
    assert sound.shape == (2, round(seconds * RATE))
    flux = spectral_flux(torch.cat((sound, sound), dim=1))
    seam = around(flux, [sound.shape[1]])
    interior = flux.unfold(0, 9, 1).amax(dim=-1)
    assert seam < interior.quantile(0.95)
    plain = turbo.decode(turbo.sample(prompt, settings, seconds=seconds), seconds=seconds)[0]
    assert around(spectral_flux(torch.cat((plain, plain), dim=1)), [plain.shape[1]]) > seam


# Sound that is worked on


@pytest.fixture(scope="module")
def tone(turbo, tmp_path_factory):
    """A file of 6 s out of the middle of a steady low tone, 32-bit stereo."""
    latent = turbo.sample(Prompt(turbo.encode_text("a steady low tone")[0]), resolve_settings("turbo"))
    path = tmp_path_factory.mktemp("tone") / "tone.wav"
    write_audio(path, turbo.decode(latent, seconds=8)[0, :, 2 * RATE :], RATE)
    return path


def generated(tmp_path, *arguments: str) -> np.ndarray:
    out = tmp_path / "out.wav"
    assert main(["generate", *arguments, "--out", str(out)]) == 0
    sound, rate = read_audio(out)
    assert rate == RATE
    return sound


@pytest.mark.parametrize("variant", ["turbo", "base"])
def test_a_range_is_made_anew_and_the_rest_kept(tone, tmp_path, variant):
    steps = "20" if variant == "base" else "0"
    before, _ = read_audio(tone)
    after = generated(
        tmp_path,
        "--variant",
        variant,
        "--steps",
        steps,
        "--prompt",
        "white noise",
        "--edit",
        str(tone),
        "--range",
        "2:4",
    )
    assert after.shape == before.shape
    for kept in (slice(0, 2 * RATE), slice(4 * RATE, None)):
        assert np.array_equal(after[:, kept], before[:, kept])
    assert np.abs(after[:, 2 * RATE : 4 * RATE] - before[:, 2 * RATE : 4 * RATE]).max() > 0.05


def test_a_sound_goes_on_and_is_led_up_to(tone, tmp_path):
    before, _ = read_audio(tone)
    after = generated(tmp_path, "--prompt", "a steady low tone", "--edit", str(tone), "--before", "3", "--after", "4.5")
    assert after.shape == (2, round(13.5 * RATE))
    assert np.array_equal(after[:, 3 * RATE : 9 * RATE], before)
    for part in (after[:, : 3 * RATE], after[:, 9 * RATE :]):
        assert judge.hear(part).kinds[0] == "low tone"
    flux = spectral_flux(torch.from_numpy(after).float())
    assert around(flux, [3 * RATE, 9 * RATE]).mean() < flux.unfold(0, 9, 1).amax(dim=-1).quantile(0.95)


def test_a_variation_resembles_more_the_less_is_denoised(tone, tmp_path):
    before, _ = read_audio(tone)
    same = [
        generated(tmp_path, "--prompt", "a high tone", "--edit", str(tone), "--denoise", share, "--seed", "3")
        for share in ("0.25", "1")
    ]
    near, far = (np.abs(mean_spectrum(sound)[1] - mean_spectrum(before)[1]).sum() for sound in same)
    assert near < far / 2


# Video


def test_a_long_video_is_answered_to_its_end(tmp_path):
    """33 s of flashes: each is answered within 100 ms, at the end as at the beginning; the sound is as long."""
    times = tuple(round(t * 25) / 25 for t in np.arange(0.8, 32.5, 1.3))
    film = films.Film("flash", "ping", times)
    path = tmp_path / "long.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width = stream.height = 128
        stream.pix_fmt = "yuv420p"
        for picture in films.draw(film, 128, count=33 * 25):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode())
    sound = generated(tmp_path, "--variant", "turbo", "--prompt", films.GENERIC, "--video", str(path), "--seconds", "0")
    assert sound.shape == (2, 33 * RATE)
    onsets = find_onsets(sound)
    for part in ((0, 11), (11, 22), (22, 33)):
        wanted = [t for t in times if part[0] <= t < part[1]]
        heard = [t for t in onsets if part[0] - 0.1 <= t < part[1] + 0.1]
        found = events.align(heard, wanted)
        assert found.answered / len(wanted) >= 0.8, part
    assert events.hit_kind(sound[:, -11 * RATE :]) == "ping"
