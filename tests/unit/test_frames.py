"""Which frames are read, how they are turned and resized, and what is refused."""

import io
import json
import sys
from fractions import Fraction

import pytest
import torch
from safetensors import safe_open

from audiox_core.errors import AudioXError
from audiox_core.media import frames, pixels
from audiox_core.media.frames import FrameRequest
from devtools import media_maker as maker
from devtools.paths import GOLDEN, ROOT

PREPROCESS = GOLDEN / "video_preprocess.safetensors"


def golden(name: str) -> torch.Tensor:
    with safe_open(PREPROCESS, "pt") as file:
        return file.get_tensor(name)


def golden_inputs() -> dict:
    with safe_open(PREPROCESS, "pt") as file:
        return json.loads(file.metadata()["inputs"])


def golden_clip(name: str) -> torch.Tensor:
    """The seeded clip that the golden file describes: half 16-pixel blocks, half grain."""
    import zlib

    import numpy as np

    recipe = golden_inputs()[name]
    count, height, width = recipe["count"], recipe["height"], recipe["width"]
    label = f"frames/{recipe['frames']}/{recipe['seed']}"
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(label.encode())))
    coarse = rng.integers(0, 256, size=(count, 3, -(-height // 16), -(-width // 16)), dtype=np.uint8)
    fine = rng.integers(0, 256, size=(count, 3, height, width), dtype=np.uint8)
    coarse = coarse.repeat(16, axis=2).repeat(16, axis=3)[:, :, :height, :width]
    return torch.from_numpy((coarse >> 1) + (fine >> 1))


def read_frames(source, *, fps: int, count: int, size: int, **options) -> torch.Tensor:
    """Pictures of a video at one rate, uint8 (count, 3, size, size)."""
    return frames.read_clip(source, [FrameRequest(fps, count, size)], **options)[0]


def nearest(times: list, target: Fraction) -> int:
    return min(range(len(times)), key=lambda index: (abs(times[index] - target), index))


def even_times(rate: Fraction | int, count: int) -> list[Fraction]:
    return [index / Fraction(rate) for index in range(count)]


@pytest.mark.parametrize("case", range(8))
@pytest.mark.parametrize("fps", [5, 25])
@pytest.mark.parametrize("start", [0, 2])
def test_stride_ids_are_those_of_the_official_code(case, fps, start):
    recipe = golden_inputs()["ids"]["cases"][case]
    ids = frames.stride_ids(recipe["fps"], recipe["frames"], fps, 10 * fps, float(start))
    assert ids == golden(f"ids/{case}/{fps}fps/start{start}").tolist()


@pytest.mark.parametrize("name", ["resized/small", "resized/large"])
def test_resize_is_the_official_codes_to_the_bit(name):
    assert torch.equal(pixels.resize_pictures(golden_clip(name), 224), golden(name))


def test_resize_leaves_the_right_size_alone():
    clip = golden_clip("resized/small")[..., :96]
    assert pixels.resize_pictures(clip, 96) is clip


RATES = [12, Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 48, 50, Fraction(60000, 1001), 60]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("rate", RATES, ids=str)
def test_frames_are_right_to_within_half_a_frame(tmp_path, rate, suffix):
    count, start = round(2.5 * rate), 0.37
    path = maker.make_video(tmp_path / f"a{suffix}", rate=rate, count=count)
    clip_5, clip_25 = frames.read_clip(path, [FrameRequest(5, 10, 64), FrameRequest(25, 50, 96)], start=start)
    assert clip_5.shape == (10, 3, 64, 64) and clip_25.shape == (50, 3, 96, 96)
    for clip, fps in ((clip_5, 5), (clip_25, 25)):
        for k, number in enumerate(maker.picture_numbers(clip)):
            error = abs(number / Fraction(rate) - (Fraction(start) + Fraction(k, fps)))
            assert error <= 1 / (2 * Fraction(rate)) + Fraction(1, 1000) * (suffix == ".mkv")


@pytest.mark.parametrize("first_time", [0, Fraction(1, 2)])
def test_frames_of_variable_rate_are_the_nearest(tmp_path, first_time):
    times = maker.uneven_times(70)
    path = maker.make_video(tmp_path / "a.mp4", times=times, first_time=first_time)
    for start in (0.0, 1.3):
        clip = read_frames(path, fps=25, count=40, size=64, start=start)
        expected = [nearest(times, Fraction(start) + Fraction(k, 25)) for k in range(40)]
        assert maker.picture_numbers(clip) == expected


def test_a_first_frame_that_is_late_is_time_0(tmp_path):
    path = maker.make_video(tmp_path / "a.ts", rate=25, count=60, sound=maker.tone(3.0), first_time=1)
    assert maker.picture_numbers(read_frames(path, fps=5, count=5, size=64)) == [0, 5, 10, 15, 20]
    clip = read_frames(path, fps=5, count=5, size=64, start=1.0)
    assert maker.picture_numbers(clip) == [25, 30, 35, 40, 45]


def test_the_last_frame_is_repeated_and_duration_ends_the_clip(tmp_path):
    path = maker.make_video(tmp_path / "a.mp4", rate=25, count=30)
    assert maker.picture_numbers(read_frames(path, fps=5, count=8, size=64)) == [
        0,
        5,
        10,
        15,
        20,
        25,
        29,
        29,
    ]
    clip = read_frames(path, fps=5, count=6, size=64, start=0.2, duration=0.5)
    assert maker.picture_numbers(clip) == [5, 10, 15, 17, 17, 17]


def test_stride_sampling_reads_every_nth_frame(tmp_path):
    path = maker.make_video(tmp_path / "a.mp4", rate=30, count=90)
    clip = read_frames(path, fps=25, count=50, size=64, start=0.5, stride_sampling=True)
    assert maker.picture_numbers(clip) == frames.stride_ids(30.0, 90, 25, 50, 0.5)
    assert maker.picture_numbers(clip)[:3] == [15, 17, 19]


def test_equal_rates_give_both_readers_the_same_frames(tmp_path):
    path = maker.make_video(tmp_path / "a.mp4", rate=25, count=50)
    requests = [FrameRequest(5, 10, 64), FrameRequest(25, 50, 64)]
    pairs = zip(frames.read_clip(path, requests), frames.read_clip(path, requests, stride_sampling=True), strict=True)
    assert all(torch.equal(by_time, by_stride) for by_time, by_stride in pairs)


def test_a_file_in_memory_is_read_like_the_file(tmp_path):
    path = maker.make_video(tmp_path / "a.mp4", count=40)
    memory = io.BytesIO(path.read_bytes())
    memory.seek(100)
    for start in (0.0, 0.8):
        options = {"fps": 25, "count": 10, "size": 64, "start": start}
        assert torch.equal(read_frames(path, **options), read_frames(memory, **options))


def test_seeking_skips_what_is_not_needed(tmp_path, monkeypatch):
    path = maker.make_video(tmp_path / "a.mp4", rate=25, count=500, keyframe_every=25)
    seen = []
    decoded = frames._decoded

    def counted(*opened):
        for picture in decoded(*opened):
            seen.append(picture.time)
            yield picture

    monkeypatch.setattr(frames, "_decoded", counted)
    clip = read_frames(path, fps=5, count=5, size=64, start=16.5)
    assert maker.picture_numbers(clip) == [round((16.5 + k / 5) * 25 - 0.01) for k in range(5)]
    assert min(seen) >= 16 and len(seen) < 50


def test_only_frames_that_are_used_are_converted(tmp_path, monkeypatch):
    path = maker.make_video(tmp_path / "a.mp4", rate=50, count=100)
    converted = []
    rgb = frames.frame_pixels
    monkeypatch.setattr(frames, "frame_pixels", lambda frame, *rest: converted.append(frame.pts) or rgb(frame, *rest))
    frames.read_clip(path, [FrameRequest(5, 10, 64), FrameRequest(25, 50, 64)])
    assert len(converted) == len(set(converted)) == 50  # the ten of 5 fps are among the fifty of 25 fps


@pytest.mark.parametrize(
    ("matrix", "corners"),
    [
        (maker.ROTATIONS[0], "rgbw"),
        (maker.ROTATIONS[90], "brwg"),
        (maker.ROTATIONS[180], "wbgr"),
        (maker.ROTATIONS[270], "gwrb"),
        (maker.MIRRORED, "grwb"),
    ],
)
def test_rotation_is_honoured(tmp_path, matrix, corners):
    path = maker.make_video(tmp_path / "a.mp4", count=3, picture=maker.corner_picture, matrix=matrix)
    assert maker.corner_letters(read_frames(path, fps=25, count=1, size=64)[0]) == corners


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_images_are_read(tmp_path, suffix):
    image = frames.read_image(maker.make_image(tmp_path / f"a{suffix}", maker.corner_picture()))
    assert image.shape == (1, maker.HEIGHT, maker.WIDTH, 3) and image.dtype == torch.uint8
    assert maker.corner_letters(image[0].permute(2, 0, 1)) == "rgbw"


@pytest.mark.parametrize(("orientation", "corners"), [(1, "rgbw"), (3, "wbgr"), (6, "brwg"), (8, "gwrb")])
def test_photographs_are_turned_by_their_exif_orientation(tmp_path, orientation, corners):
    path = maker.make_image(tmp_path / "a.jpg", maker.corner_picture())
    maker.set_jpeg_orientation(path, orientation)
    assert maker.corner_letters(frames.read_image(path)[0].permute(2, 0, 1)) == corners


def test_a_static_image_is_a_video_and_is_scaled_once():
    image = torch.from_numpy(maker.corner_picture()).unsqueeze(0)
    from_bytes = frames.frames_from_images(image, 25, [FrameRequest(5, 50, 64), FrameRequest(25, 250, 32)], start=3.0)
    from_floats = frames.frames_from_images(
        image.float() / 255, 25, [FrameRequest(5, 50, 64), FrameRequest(25, 250, 32)]
    )
    for bytes_clip, floats_clip in zip(from_bytes, from_floats, strict=True):
        assert torch.equal(bytes_clip, floats_clip)
        assert bytes_clip.max() == 255
        assert (bytes_clip == bytes_clip[:1]).all()


def test_an_image_batch_is_a_video():
    images = torch.stack([torch.from_numpy(maker.numbered_picture(n)) for n in range(48)])
    (clip,) = frames.frames_from_images(images, 24, [FrameRequest(5, 9, 64)], start=0.5)
    assert maker.picture_numbers(clip) == [
        nearest(even_times(24, 48), Fraction(1, 2) + Fraction(k, 5)) for k in range(9)
    ]
    (clip,) = frames.frames_from_images(images, 24, [FrameRequest(5, 9, 64)], stride_sampling=True)
    assert maker.picture_numbers(clip) == frames.stride_ids(24.0, 48, 5, 9)


def test_a_one_frame_video_works(tmp_path):
    path = maker.make_video(tmp_path / "a.mp4", count=1)
    assert maker.picture_numbers(read_frames(path, fps=25, count=3, size=64)) == [0, 0, 0]
    clip = read_frames(path, fps=25, count=3, size=64, stride_sampling=True)
    assert maker.picture_numbers(clip) == [0, 0, 0]


def test_progress_counts_and_may_interrupt(tmp_path):
    path = maker.make_video(tmp_path / "a.mp4", count=30)
    calls = []
    frames.read_clip(
        path,
        [FrameRequest(5, 3, 32), FrameRequest(25, 4, 32)],
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(k, 7) for k in range(1, 8)]

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        frames.read_clip(path, [FrameRequest(5, 3, 32)], progress=interrupt)


def read(source, **options):
    return read_frames(source, fps=5, count=5, size=32, **options)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AudioXError, match=r"no file .*nothing\.mp4"):
        read(tmp_path / "nothing.mp4")
    with pytest.raises(AudioXError, match="no file"):
        read(str(tmp_path))


@pytest.mark.parametrize("data", [b"", b"no video at all" * 100])
def test_a_file_that_isnt_a_video_is_refused(tmp_path, data):
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(AudioXError, match="cannot be read as a media file"):
        read(path)
    with pytest.raises(AudioXError, match="the file given as bytes cannot be read"):
        read(io.BytesIO(data))


def test_a_truncated_video_is_refused(tmp_path):
    path = maker.make_video(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(AudioXError, match="cannot be read as a media file"):
        read(path)


def test_sound_without_pictures_is_refused(tmp_path):
    from audiox_core.media.audio import write_audio

    write_audio(tmp_path / "a.wav", maker.tone(0.2), 44100)
    with pytest.raises(AudioXError, match="no video stream"):
        read(tmp_path / "a.wav")


@pytest.mark.parametrize("stride", [False, True])
@pytest.mark.parametrize("start", [2.0, 2.01, 60.0])
def test_a_start_beyond_the_end_says_how_long_the_video_is(tmp_path, start, stride):
    path = maker.make_video(tmp_path / "a.mp4", rate=25, count=50)
    with pytest.raises(AudioXError, match=rf"start time {start:g} s lies beyond the end .* 2\.00 s long"):
        read(path, start=start, stride_sampling=stride)
    assert maker.picture_numbers(read(path, start=1.97, stride_sampling=stride)) == [49] * 5
    images = torch.zeros(50, 4, 4, 3)
    with pytest.raises(AudioXError, match=r"2\.00 s long"):
        frames.frames_from_images(images, 25, [FrameRequest(5, 5, 32)], start=start, stride_sampling=stride)


@pytest.mark.parametrize("window", [{"start": -1.0}, {"start": float("nan")}, {"duration": 0.0}, {"duration": -1.0}])
def test_impossible_windows_are_refused(tmp_path, window):
    path = maker.make_video(tmp_path / "a.mp4", count=5)
    with pytest.raises(AudioXError, match="must be"):
        read(path, **window)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(0, 4, 4, 3), "shape"),
        (torch.zeros(4, 4, 3), "shape"),
        (torch.zeros(1, 4, 4, 4), "shape"),
        (torch.zeros(1, 4, 4, 3, dtype=torch.int32), "int32"),
        (torch.full((1, 4, 4, 3), 255.0), "between 0 and 1"),
        (torch.full((1, 4, 4, 3), float("nan")), "between 0 and 1"),
    ],
)
def test_images_that_cannot_be_meant_are_refused(images, words):
    with pytest.raises(AudioXError, match=words):
        frames.frames_from_images(images, 25, [FrameRequest(5, 5, 32)])


def test_reading_a_video_gives_the_same_pictures_every_time(tmp_path):
    path = maker.make_demo_video(tmp_path / "a.mp4", seconds=1.0)
    options = {"fps": 25, "count": 25, "size": 64}
    clip = read_frames(path, **options)
    assert all(torch.equal(clip, read_frames(path, **options)) for _ in range(3))
    assert len({bytes(picture.numpy().tobytes()) for picture in clip}) == 25


def test_torchvision_is_not_needed():
    import subprocess

    code = "import sys; import audiox_core.media.frames, audiox_core.media.audio, audiox_core.media.mux; "
    code += "sys.exit('torchvision' in sys.modules or 'torchaudio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
