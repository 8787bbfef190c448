"""Windows, loops and kept parts, without a model: they add up, they meet, they change nothing else."""

import math

import pytest
import torch

from audiox_core import lengths
from audiox_core.errors import AudioXError
from audiox_core.media.decoding import JOIN_SAMPLES, cross_fade, decode_loop, decode_part
from audiox_core.media.splice import FADE_SAMPLES, checked_range, pad_sound, regenerated_frames, splice
from audiox_core.models.network import NetworkSizes
from audiox_core.models.vae import OobleckVAE, VAESizes
from audiox_core.prompts import Prompt, concat_windows, covered_seconds, encode_windows
from audiox_core.sampling import guide, inpaint, windows, with_separate_scales

SMALL_VAE = VAESizes(channels=4, widths=(4, 4, 8, 8, 8), latent_channels=8)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


# Lengths


@pytest.mark.parametrize(
    "seconds, count, frames",
    [(0.5, 1, 236), (10, 1, 236), (10.01, 1, 236), (10.1, 2, 408), (33, 4, 752), (600, 75, 12964)],
)
def test_a_length_is_whole_windows(seconds, count, frames):
    assert lengths.windows_from_seconds(seconds) == count
    assert lengths.latent_frames(seconds) == frames == lengths.padded_frames(frames)
    assert lengths.windows_from_frames(frames) == count
    reached = (count - 1) * lengths.WINDOW_HOP_SECONDS + 10.04
    assert seconds <= reached


def test_other_lengths_are_refused_and_short_ones_are_not():
    assert lengths.windows_from_frames(100) == 1
    with pytest.raises(AudioXError, match=r"Use Empty AudioX Latent.*here 408"):
        lengths.windows_from_frames(300)
    with pytest.raises(AudioXError, match="at most 600 s"):
        lengths.check_length(601)


# Windows


@pytest.mark.parametrize(
    "layout",
    [
        windows.linear_windows(236),
        windows.linear_windows(752),
        windows.circular_windows(90),
        windows.circular_windows(700),
    ],
)
def test_windows_add_up_to_one(layout):
    frames = 1 + max(int(window.indices.max()) for window in layout)
    x = random(2, 3, frames)
    assert torch.allclose(windows.over_windows(lambda i, part: part, x, layout), x, atol=1e-6)
    assert all(len(window.indices) == 236 for window in layout)


def test_a_window_counts_only_where_its_prompts_reach_unless_it_is_the_last():
    first, last = windows.linear_windows(408)
    assert not first.weights[lengths.COVERED_FRAMES :].any()
    assert last.weights[lengths.COVERED_FRAMES :].all()
    assert first.weights[: lengths.WINDOW_HOP].all()


def test_each_window_is_evaluated_with_its_own_number():
    out = windows.over_windows(
        lambda i, part: torch.full_like(part, i), torch.zeros(1, 1, 752), windows.linear_windows(752)
    )
    assert (out.diff() >= -1e-6).all()
    assert out[0, 0, 0] == 0
    assert out[0, 0, -1] == 3


def test_a_circle_treats_all_places_alike():
    """What a window makes of what it sees does not depend on where in the loop that lies."""
    x = random(1, 2, 300)
    smooth = lambda i, part: part.cumsum(2) - part  # noqa: E731 - depends on the place in the window
    turned = windows.over_windows(smooth, x.roll(150, 2), windows.circular_windows(300)).roll(-150, 2)
    assert torch.allclose(windows.over_windows(smooth, x, windows.circular_windows(300)), turned, atol=1e-3)


# Decoding


def test_decoding_in_pieces_is_decoding_whole():
    vae = OobleckVAE(SMALL_VAE).eval()
    for parameter in vae.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(1))
    latent = random(1, 8, 600)
    with torch.inference_mode():
        whole = vae.decoder(latent)
        assert torch.allclose(vae.decode(latent), whole, atol=1e-4 * whole.abs().max().item())
        assert torch.allclose(
            decode_part(vae.decode, latent, 500_001), whole[..., :500_001], atol=1e-4 * whole.abs().max().item()
        )
        sound = random(1, 2, 600 * 2048)
        mean = vae.encoder(sound)
        assert torch.allclose(vae.encode_raw(sound), mean, atol=1e-4 * mean.abs().max().item())


def test_the_released_vae_looks_no_further_than_said():
    assert VAESizes().decode_reach <= lengths.DECODE_REACH


def sine_decoder(latent: torch.Tensor) -> torch.Tensor:
    return latent[:, :2].repeat_interleave(2048, dim=2)


@pytest.mark.parametrize("samples", [20 * 2048, 20 * 2048 - 700])
def test_a_loop_has_its_length_and_meets_its_beginning(samples):
    frames = 20
    wave = torch.sin(2 * math.pi * 3 * torch.arange(frames) / frames).expand(1, 2, -1)
    sound = decode_loop(sine_decoder, wave, samples)
    assert sound.shape == (1, 2, samples)
    assert torch.equal(sound[..., : samples - JOIN_SAMPLES], sine_decoder(wave)[..., : samples - JOIN_SAMPLES])
    assert (sound[..., -1] - sine_decoder(wave)[..., -1]).abs().max() < 1e-3


@pytest.mark.parametrize("turn", [0.0, math.pi / 2])
def test_a_cross_fade_keeps_the_level(turn):
    time = torch.arange(44100) / 44100
    before, after = (torch.sin(2 * math.pi * 441 * time + phase).expand(1, 2, -1) for phase in (0.0, turn))
    level = cross_fade(before, after).unflatten(-1, (-1, 100)).square().mean(dim=-1)  # of each period
    assert (level - 0.5).abs().max() < 0.01


def test_a_latent_too_short_is_refused():
    with pytest.raises(AudioXError, match=r"the latent holds 1\.02 s"):
        decode_part(sine_decoder, torch.zeros(1, 2, 22), 60_000)


# Editing


def test_what_is_kept_is_kept_to_the_bit_and_fades_lie_inside():
    original, generated = random(1, 2, 60_000) / 9, random(1, 2, 60_000)
    out = splice(generated, original, [(20_000, 40_000), (55_000, 60_000)])
    assert torch.equal(out[..., :20_000], original[..., :20_000])
    assert torch.equal(out[..., 40_000:55_000], original[..., 40_000:55_000])
    middle = slice(20_000 + FADE_SAMPLES, 40_000 - FADE_SAMPLES)
    assert torch.allclose(out[..., middle] * generated.abs().max(), generated[..., middle], atol=0.5)
    assert out[..., 59_999].ne(original[..., 59_999]).all()  # no fade at the sound's own end
    assert (out[..., 20_000:20_020] - original[..., 20_000:20_020]).abs().max() < 0.05
    assert out.abs().max() <= 1.01


def test_padding_is_mirrored_and_marked():
    sound = random(1, 2, 50_000)
    padded = pad_sound(sound, before=1.0, after=2.0)
    assert padded.samples == 50_000 + 3 * 44_100
    assert padded.ranges == ((0, 44_100), (94_100, 94_100 + 88_200))
    assert padded.waveform.shape[-1] == 236 * 2048
    assert torch.equal(padded.original[..., 44_100:94_100], sound)
    assert torch.equal(padded.waveform[..., 44_099], sound[..., 1])
    mask = regenerated_frames(padded.ranges, padded.samples, 236)
    assert mask[:22].all() and mask[45:].all()
    assert not mask[22:45].any()


def test_a_range_outside_is_refused():
    assert checked_range(1.0, 0.0, 88_200) == (44_100, 88_200)
    for start, end in ((3.0, 4.0), (1.5, 1.0), (-1.0, 1.0)):
        with pytest.raises(AudioXError, match="change start or end"):
            checked_range(start, end, 88_200)


def test_known_parts_are_their_own_estimate():
    known, noise, made = random(1, 4, 20), torch.ones(1, 4, 20), torch.tensor([0.0] * 10 + [1.0] * 10)
    seen = []

    def denoise(x, sigma):
        seen.append(x)
        return torch.zeros_like(x)

    out = inpaint(denoise, known, made, noise, lambda sound, noise, sigma: sound + sigma * noise)(known * 0 + 5, 2.0)
    assert torch.equal(out[..., :10], known[..., :10])
    assert not out[..., 10:].any()
    assert torch.equal(seen[0][..., :10], known[..., :10] + 2)
    assert (seen[0][..., 10:] == 5).all()


# Prompts


SIZES = NetworkSizes()


def test_a_long_prompt_gives_each_window_its_part():
    parts = [torch.full((1, SIZES.video.clip_rows, 2), float(i)) for i in (1, 2)]
    features = [torch.full((1, SIZES.video.sync_rows, 2), float(i)) for i in (1, 2)]
    prompt = Prompt(
        clip_tokens=concat_windows([parts[0], None, parts[1]], 1),
        sync_features=concat_windows([features[0], None, features[1]], 1),
    )
    assert prompt.windows(SIZES) == 3
    assert [prompt.at(i, SIZES).clip_tokens is None for i in range(3)] == [False, True, False]
    assert torch.equal(prompt.at(2, SIZES).clip_tokens, parts[1])
    assert torch.equal(prompt.at(2, SIZES).sync_features, features[1])
    assert prompt.at(1, SIZES).sync_features is None
    assert concat_windows([None, None], 1) is None


def test_prompts_must_cover_the_sound():
    video = Prompt(clip_tokens=torch.ones(1, SIZES.video.clip_rows, 2))
    video.check_fits(1, False, SIZES)
    with pytest.raises(AudioXError, match=r"encoded for 10\.00 s, but the sound is up to 25\.98 s"):
        video.check_fits(3, False, SIZES)
    Prompt(clip_tokens=video.clip_tokens, still=True).check_fits(3, False, SIZES)
    Prompt(audio=torch.ones(1, 64, 215)).check_fits(3, False, SIZES)
    with pytest.raises(AudioXError, match="The audio prompt was encoded for 17"):
        Prompt(audio=torch.ones(1, 64, 430)).check_fits(3, False, SIZES)
    with pytest.raises(AudioXError, match="switch the loop off: a loop"):
        video.check_fits(1, True, SIZES)


def test_windows_of_a_video_are_read_one_after_the_other():
    starts = []

    def read(start):
        starts.append(round(start, 3))
        return torch.full((5, 3, 2, 2), 0 if len(starts) == 2 else 9, dtype=torch.uint8), torch.zeros(1)

    tokens, features = encode_windows(read, lambda clip, sync: (torch.ones(1, 5, 2), torch.ones(1, 3, 2)), 1.5, 20.0)
    assert starts == [1.5, 9.488, 17.475]
    assert tokens.shape == (1, 15, 2)
    assert features.shape == (1, 9, 2)
    assert not tokens[:, 5:10].any()  # a black window is none


def test_how_much_of_a_video_is_looked_at():
    assert covered_seconds(25.0, 5.0, 0.0) == 20.0
    assert covered_seconds(25.0, 5.0, 10.0) == 10.0
    assert covered_seconds(3.0, 0.0, 10.0) == 3.0
    assert covered_seconds(None, 0.0, 0.0) == 10.0
    with pytest.raises(AudioXError, match="beyond the end"):
        covered_seconds(5.0, 5.0, 0.0)


# Guidance


def test_guidance_apart_is_the_sum_of_both():
    towards, between, away = random(3, 2, 8, 10)
    wanted = away + 3.0 * (between - away) + 5.0 * (towards - between)
    assert torch.allclose(guide(towards, with_separate_scales(between, away, 5.0, 3.0), 5.0), wanted, atol=1e-5)
    same = guide(towards, with_separate_scales(between, away, 5.0, 5.0), 5.0)
    assert torch.allclose(same, guide(towards, away, 5.0), atol=1e-5)
