"""A sound on a video: pictures untouched, length exact, the original sound mixed or lowered."""

import io
import os
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from audiox_core.errors import AudioXError
from audiox_core.media import mix
from audiox_core.media.audio import read_audio
from audiox_core.media.frames import FrameRequest, read_clip
from audiox_core.media.mux import Cut, SoundPlacement, mux_video
from devtools import media_maker as maker

RATE = 44100


def picture_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(file.streams.video[0]) if packet.size]


def picture_times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as file:
        return [frame.pts * frame.time_base for frame in file.decode(video=0)]


def shown_numbers(path: Path) -> list[int]:
    with av.open(str(path)) as file:
        pixels = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]
    return [maker.picture_number(picture.permute(2, 0, 1)) for picture in pixels]


def captions(path: Path) -> list[tuple[float, float, bytes]]:
    """(start, length, payload) of the subtitles; the empty ones are mp4's pauses."""
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(file.streams.subtitles[0]) if packet.size > 2]
        return [(float(p.pts * p.time_base), float(p.duration * p.time_base), bytes(p)) for p in packets]


def stream_seconds(path: Path) -> tuple[Fraction, Fraction, float]:
    """Stated length of pictures, sound and file."""
    with av.open(str(path)) as file:
        video, audio = file.streams.video[0], file.streams.audio[0]
        lengths = (video.duration * video.time_base, audio.duration * audio.time_base)
        return *lengths, file.duration / 1e6


def tone_level(sound: torch.Tensor, hertz: float, rate: int = RATE) -> float:
    """Amplitude of one tone in the left channel."""
    time = torch.arange(sound.shape[1], dtype=torch.float64) / rate
    wave = torch.exp(2j * torch.pi * hertz * time)
    return 2 * (sound[0].double() * wave).mean().abs().item()


SOURCES = {
    ".mp4": {},
    ".mov": {},
    ".mkv": {},
    ".webm": {"codec": "libvpx-vp9"},
}


@pytest.mark.parametrize("mode", ["replace", "mix", "duck"])
@pytest.mark.parametrize("with_sound", [True, False])
@pytest.mark.parametrize("suffix", SOURCES)
def test_pictures_are_copied_and_the_length_is_exact(tmp_path, suffix, with_sound, mode):
    rate = 48000 if suffix == ".webm" else RATE
    sound = maker.tone(1.5, rate, hertz=300) if with_sound else None
    source = maker.make_video(tmp_path / f"a{suffix}", count=45, sound=sound, sound_rate=rate, **SOURCES[suffix])
    before = source.read_bytes()
    for seconds in (0.7, 5.0):
        new = maker.tone(seconds, hertz=1000, level=0.3)
        result = mux_video(source, new, RATE, tmp_path / f"b{suffix}", mode=mode)
        assert picture_packets(result) == picture_packets(source)
        assert picture_times(result) == picture_times(source)
        read, read_rate = read_audio(result)
        assert read.shape == (2, round(1.5 * read_rate))
        assert tone_level(read[:, : read_rate // 2], 1000, read_rate) == pytest.approx(0.3, abs=0.01)
    assert source.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), 25, Fraction(30000, 1001)])
@pytest.mark.parametrize("duration", [None, 0.8, 1.0, 1.234, 3.3])
def test_stated_lengths_are_what_was_asked(tmp_path, rate, duration):
    source = maker.make_video(tmp_path / "a.mp4", rate=rate, count=50, sound=maker.tone(2.0))
    result = mux_video(source, maker.tone(10.0), RATE, tmp_path / "b.mp4", cut=Cut(duration=duration))
    whole = stream_seconds(source)[0]
    assert abs(whole - 50 / Fraction(rate)) < 1e-3  # FFmpeg's mp4 states lengths in milliseconds unless told otherwise
    asked = Fraction(str(duration)) if duration else whole
    video, audio, file = stream_seconds(result)
    assert round(audio * RATE) == round(asked * RATE)
    assert abs(file - asked) < 1e-4
    assert abs(video - min(asked, whole)) < 5e-4
    expected = [n for n in range(50) if n / Fraction(rate) < asked]
    assert shown_numbers(result) == expected
    with av.open(str(result)) as opened:  # a decoder that knows no edit list finds less than a frame more
        samples = sum(frame.samples for frame in opened.decode(audio=0))
    assert 0 <= samples - round(asked * RATE) < 1024


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_matroska_ends_where_asked(tmp_path, suffix):
    options = {"options": {"bf": "0"}} if suffix == ".mkv" else SOURCES[suffix]
    source = maker.make_video(tmp_path / f"a{suffix}", rate=25, count=50, **options)
    result = mux_video(source, maker.tone(10.0), RATE, tmp_path / f"b{suffix}", cut=Cut(duration=1.2))
    read, rate = read_audio(result)
    assert read.shape[1] == round(1.2 * rate)
    assert shown_numbers(result) == list(range(30))
    with av.open(str(result)) as file:
        assert abs(file.duration / 1e6 - 1.2) <= (0.021 if suffix == ".webm" else 0.0011)


@pytest.mark.parametrize("start", [0.4, 0.7, 1.31])
def test_a_part_begins_between_key_frames(tmp_path, start):
    caption = [(0.2, 0.4, "early"), (1.0, 0.5, "late")]
    source = maker.make_video(tmp_path / "a.mp4", rate=25, count=50, sound=maker.tone(2.0), captions=caption)
    result = mux_video(source, maker.tone(0.5), RATE, tmp_path / "b.mp4", cut=Cut(start, 0.6), mode="mix")
    numbers = shown_numbers(result)
    assert numbers == [n for n in range(50) if start <= n / 25 < start + 0.6]
    video, audio, file = stream_seconds(result)
    assert round(audio * RATE) == round(0.6 * RATE)
    assert max(abs(video - 0.6), abs(file - 0.6)) < 1e-4
    for begin, length, payload in captions(result):
        original = {b"early": (0.2, 0.6), b"late": (1.0, 1.5)}[payload[2:]]
        assert begin == pytest.approx(max(original[0] - start, 0), abs=2e-3)
        assert begin + length == pytest.approx(min(original[1] - start, 0.6), abs=2e-3)


def test_matroska_cannot_begin_between_key_frames(tmp_path):
    source = maker.make_video(tmp_path / "a.mkv", rate=25, count=50, keyframe_every=25)
    with pytest.raises(AudioXError, match="no key frame"):
        mux_video(source, maker.tone(0.5), RATE, tmp_path / "b.mkv", cut=Cut(0.5))
    assert shown_numbers(mux_video(source, maker.tone(0.5), RATE, tmp_path / "b.mkv", cut=Cut(1.0)))[0] == 25


def test_pictures_of_variable_rate_keep_their_times(tmp_path):
    source = maker.make_video(tmp_path / "a.mp4", times=maker.uneven_times(40), first_time=Fraction(1, 4))
    result = mux_video(source, maker.tone(1.0), RATE, tmp_path / "b.mp4")
    first, *_ = picture_times(source)
    assert picture_times(result) == [time - first for time in picture_times(source)]
    assert picture_packets(result) == picture_packets(source)


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv"])
def test_hdr_survives(tmp_path, name):
    source = maker.make_video(
        tmp_path / "a.mp4",
        count=6,
        codec="libx265",
        pixel_format="yuv420p10le",
        options={"x265-params": maker.HDR_X265},
    )
    result = mux_video(source, maker.tone(0.2), RATE, tmp_path / name)
    found = []
    for path in (source, result):
        with av.open(str(path)) as file:
            context = file.streams.video[0].codec_context
            frame = next(file.decode(video=0))
            wanted = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
            side_data = {kind: bytes(frame.side_data.get(kind)) for kind in wanted}
            colors = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
            found.append((context.pix_fmt, colors, [side_data[kind] for kind in wanted]))
    assert found[0] == found[1]
    assert found[0][:2] == ("yuv420p10le", (9, 16, 9, 1))


@pytest.mark.parametrize("matrix", [*list(maker.ROTATIONS.values())[1:], maker.MIRRORED])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_rotation_survives(tmp_path, matrix, suffix):
    source = maker.make_video(tmp_path / "a.mp4", count=5, picture=maker.corner_picture, matrix=matrix)
    result = mux_video(source, maker.tone(0.2), RATE, tmp_path / f"b{suffix}")
    [[before]], [[after]] = (read_clip(path, [FrameRequest(25, 1, 64)]) for path in (source, result))
    assert maker.corner_letters(after) == maker.corner_letters(before) != "rgbw"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_subtitles_and_metadata_survive(tmp_path, suffix):
    spoken = [(0.3, 0.5, "rain begins"), (1.1, 0.4, "thunder")]
    tags = {"title": "Storm", "comment": "second take"}
    source = maker.make_video(tmp_path / f"a{suffix}", captions=spoken, metadata=tags)
    result = mux_video(source, maker.tone(1.0), RATE, tmp_path / f"b{suffix}")
    assert captions(result) == captions(source)
    assert [(round(start, 3), round(length, 3)) for start, length, _ in captions(result)] == [
        (0.3, 0.5),
        (1.1, 0.4),
    ]
    with av.open(str(result)) as file:
        assert {key.lower(): text for key, text in file.metadata.items()}.items() >= tags.items()


def test_unusual_metadata_survives_in_mp4(tmp_path):
    first = maker.make_video(tmp_path / "a.mkv", count=5, metadata={"prompt": '{"3": 1}', "title": "Storm"})
    second = mux_video(first, maker.tone(0.2), RATE, tmp_path / "b.mp4")
    third = mux_video(second, maker.tone(0.2), RATE, tmp_path / "c.mp4")
    with av.open(str(third)) as file:
        kept = {key.lower(): text for key, text in file.metadata.items()}
    assert kept["prompt"] == '{"3": 1}' and kept["title"] == "Storm"


def test_subtitles_of_another_kind_are_refused_or_left_out(tmp_path):
    source = maker.make_video(tmp_path / "a.mkv", captions=[(0.3, 0.5, "rain")])
    with pytest.raises(AudioXError, match=r"subtitle stream .* cannot be copied into \.mp4"):
        mux_video(source, maker.tone(1.0), RATE, tmp_path / "b.mp4")
    result = mux_video(source, maker.tone(1.0), RATE, tmp_path / "b.mp4", subtitles=False)
    assert shown_numbers(result) == list(range(60))


def test_replace_drops_and_mix_keeps_the_original_sound(tmp_path):
    source = maker.make_video(tmp_path / "a.mp4", sound=maker.tone(2.0, hertz=300, level=0.2))
    new = maker.tone(2.0, hertz=1000, level=0.2)
    levels = {}
    for mode in ("replace", "mix", "duck"):
        read, _ = read_audio(mux_video(source, new, RATE, tmp_path / "b.mp4", mode=mode))
        levels[mode] = tone_level(read, 300), tone_level(read, 1000)
    assert levels["replace"] == (pytest.approx(0, abs=2e-3), pytest.approx(0.2, abs=5e-3))
    assert levels["mix"] == (pytest.approx(0.2, abs=5e-3), pytest.approx(0.2, abs=5e-3))
    assert levels["duck"] == (pytest.approx(0.2 * 10 ** (-15 / 20), abs=5e-3), pytest.approx(0.2, abs=5e-3))


def test_duck_lowers_only_around_the_new_sound(tmp_path):
    source = maker.make_video(tmp_path / "a.mkv", count=120, sound=maker.tone(4.0, hertz=300, level=0.2))
    options = {"mode": "duck", "duck_db": -20.0, "placement": SoundPlacement(offset=1.5)}
    read, _ = read_audio(mux_video(source, maker.tone(1.0, hertz=1000), RATE, tmp_path / "b.mkv", **options))

    def level(start: float, end: float) -> float:
        return tone_level(read[:, round(start * RATE) : round(end * RATE)], 300)

    assert level(0.0, 1.0) == pytest.approx(0.2, rel=0.02)
    assert level(1.5, 2.5) == pytest.approx(0.02, rel=0.1)
    assert level(3.0, 4.0) == pytest.approx(0.2, rel=0.02)
    assert 0.03 < level(1.2, 1.28) < 0.19


def test_mixed_sounds_stay_in_step(tmp_path):
    click = torch.zeros(2, 2 * RATE)
    click[:, RATE] = 0.5
    for suffix in (".mkv", ".mp4", ".ts"):
        source = maker.make_video(tmp_path / f"a{suffix}", sound=click, first_time=Fraction(1, 10) * (suffix == ".mp4"))
        late = 0.1 if suffix == ".mp4" else 0.0  # the picture, and with it time 0, begins later than the sound
        kept, _ = read_audio(mux_video(source, torch.zeros(2, 9), RATE, tmp_path / "b.mkv", mode="mix"))
        peak = kept[0].abs().argmax().item()
        assert abs(peak - (1 - late) * RATE) < RATE * 0.002, suffix
        result = mux_video(source, torch.zeros(2, 9), RATE, tmp_path / "c.mp4", mode="mix", cut=Cut(0.7))
        shortened, _ = read_audio(result)
        assert abs(shortened[0].abs().argmax().item() - (0.3 - late) * RATE) < RATE * 0.002, suffix


@pytest.mark.parametrize("offset", [0.5, 0.0, -0.25])
def test_offset_places_the_new_sound(tmp_path, offset):
    source = maker.make_video(tmp_path / "a.mkv")
    click = torch.zeros(1, RATE)
    click[0, RATE // 2] = 0.9
    read, _ = read_audio(mux_video(source, click, RATE, tmp_path / "b.mkv", placement=SoundPlacement(offset=offset)))
    assert read.shape == (2, 2 * RATE)
    assert read.abs().argmax(dim=1).tolist() == [round((0.5 + offset) * RATE)] * 2


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_gains_and_channels_of_the_original(tmp_path, channels):
    sound = maker.tone(2.0, hertz=300, level=0.2, channels=channels)
    source = maker.make_video(tmp_path / "a.mkv", sound=sound)
    options = {"mode": "mix", "placement": SoundPlacement(gain_db=-6.0), "original_gain_db": -12.0}
    new = maker.tone(2.0, 32000, hertz=1000, level=0.4)
    read, rate = read_audio(mux_video(source, new, 32000, tmp_path / "b.mkv", **options))
    assert rate == 32000
    assert tone_level(read, 1000, rate) == pytest.approx(0.4 * 10 ** (-6 / 20), rel=0.02)
    if channels <= 2:
        assert tone_level(read, 300, rate) == pytest.approx(0.2 * 10 ** (-12 / 20), rel=0.02)
    else:
        assert tone_level(read, 300, rate) > 0.01


def test_only_what_would_clip_is_scaled(tmp_path):
    source = maker.make_video(tmp_path / "a.mkv", sound=maker.tone(2.0, level=0.8))
    quiet, _ = read_audio(mux_video(source, maker.tone(2.0, level=0.1), RATE, tmp_path / "b.mkv", mode="mix"))
    assert quiet.abs().max() == pytest.approx(0.9, abs=1e-3)
    loud, _ = read_audio(mux_video(source, maker.tone(2.0, level=0.8), RATE, tmp_path / "b.mkv", mode="mix"))
    assert loud.abs().max() == pytest.approx(1.0, abs=1e-3)
    assert tone_level(loud, 440) == pytest.approx(1.0, abs=2e-3)  # a clipped sine would have more: 1.1


def test_a_video_in_memory_is_a_source(tmp_path):
    source = maker.make_video(tmp_path / "a.mp4", sound=maker.tone(2.0, hertz=300))
    results = []
    for given in (source, io.BytesIO(source.read_bytes())):
        result = mux_video(given, maker.tone(1.0, level=0.2), RATE, tmp_path / "b.mp4", mode="mix")
        results.append(result.read_bytes())
    assert results[0] == results[1]


def test_blocks_of_a_track_are_the_whole_track():
    sound = maker.tone(3.0, 8000)
    track = mix.SoundTrack(sound, 8000, 0, 20000)
    starts, blocks = zip(*track.blocks(), strict=True)
    assert torch.equal(torch.cat(blocks, dim=1), sound[:, :20000])
    assert starts[:2] == (0, 2000)


def test_progress_counts_and_an_interrupt_leaves_nothing(tmp_path):
    source = maker.make_video(tmp_path / "a.mp4", sound=maker.tone(2.0))
    calls = []
    mux_video(source, maker.tone(2.0), RATE, tmp_path / "b.mp4", progress=lambda *call: calls.append(call))
    assert calls == [(k, 16) for k in range(1, 17)]
    os.remove(tmp_path / "b.mp4")

    def interrupt(done, total):
        if done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mux_video(source, maker.tone(2.0), RATE, tmp_path / "b.mp4", progress=interrupt)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("sound", "destination", "options", "words"),
    [
        (torch.zeros(2, 9), "a.mp4", {}, "both source and destination"),
        (torch.zeros(2, 9), "b.avi", {}, r"choose \.mp4"),
        (torch.zeros(2, 9), "b.webm", {}, r"video stream \(h264\) cannot be copied"),
        (torch.zeros(2, 9), "no/b.mp4", {}, "no folder"),
        (torch.zeros(2, 9), "b.mp4", {"mode": "loud"}, "choose replace, mix or duck"),
        (torch.zeros(2, 9), "b.mp4", {"cut": Cut(2.0)}, r"2\.00 s long"),
        (torch.zeros(2, 9), "b.mp4", {"cut": Cut(duration=0.0)}, "duration is 0"),
        (torch.zeros(2, 0), "b.mp4", {}, "no samples"),
        (torch.zeros(8, 9), "b.mp4", {}, "8 channels"),
        (torch.full((2, 9), float("nan")), "b.mp4", {}, "NaN"),
    ],
)
def test_requests_that_cannot_work_are_refused(tmp_path, sound, destination, options, words):
    source = maker.make_video(tmp_path / "a.mp4")
    before = source.read_bytes()
    with pytest.raises(AudioXError, match=words):
        mux_video(source, sound, RATE, tmp_path / destination, **options)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"] and source.read_bytes() == before


def test_sources_that_arent_a_video_are_refused(tmp_path):
    with pytest.raises(AudioXError, match="no file"):
        mux_video(tmp_path / "a.mp4", torch.zeros(2, 9), RATE, tmp_path / "b.mp4")
    (tmp_path / "a.mp4").write_bytes(b"nothing" * 99)
    with pytest.raises(AudioXError, match="cannot be read"):
        mux_video(tmp_path / "a.mp4", torch.zeros(2, 9), RATE, tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()
