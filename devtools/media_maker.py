"""Tiny videos and sounds for the tests, made with PyAV.

Every picture carries its own number as bars of black and white, so a test can read from decoded pixels which
frame it was handed.
"""

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

BITS = 12
WIDTH, HEIGHT = 16 * BITS, 96

ROTATIONS = {  # degrees clockwise that a player turns the picture -> (a, b, c, d) of the display matrix
    0: (1, 0, 0, 1),
    90: (0, 1, -1, 0),
    180: (-1, 0, 0, -1),
    270: (0, -1, 1, 0),
}
MIRRORED = (-1, 0, 0, 1)

HDR_X265 = (
    "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:range=limited:hdr10=1:repeat-headers=1:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400:"
    "log-level=none"
)


def numbered_picture(number: int) -> np.ndarray:
    """RGB picture (96, 192, 3) whose twelve vertical bars spell a number, lowest bit on the left."""
    bits = [(number >> bit) & 1 for bit in range(BITS)]
    row = np.repeat(np.array(bits, dtype=np.uint8) * 190 + 30, WIDTH // BITS)
    return np.broadcast_to(row[None, :, None], (HEIGHT, WIDTH, 3)).copy()


def picture_number(picture: torch.Tensor) -> int:
    """Number in one picture (3, H, W) of any size."""
    grey = picture.float().mean(dim=(0, 1))  # (W,)
    width = grey.shape[0] / BITS
    centres = [int((bit + 0.5) * width) for bit in range(BITS)]
    return sum(1 << bit for bit, x in enumerate(centres) if grey[x] > 125)


def picture_numbers(pictures: torch.Tensor) -> list[int]:
    """Numbers in pictures (N, 3, H, W)."""
    return [picture_number(picture) for picture in pictures]


def corner_picture(number: int = 0) -> np.ndarray:
    """RGB picture (96, 192, 3): red top left, green top right, blue bottom left, white bottom right."""
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[: HEIGHT // 2, : WIDTH // 2] = (255, 0, 0)
    picture[: HEIGHT // 2, WIDTH // 2 :] = (0, 255, 0)
    picture[HEIGHT // 2 :, : WIDTH // 2] = (0, 0, 255)
    picture[HEIGHT // 2 :, WIDTH // 2 :] = (255, 255, 255)
    return picture


def corner_letters(picture: torch.Tensor) -> str:
    """Colours in one picture (3, H, W) as letters: top left, top right, bottom left, bottom right."""
    _, height, width = picture.shape
    names = {(1, 0, 0): "r", (0, 1, 0): "g", (0, 0, 1): "b", (1, 1, 1): "w"}
    points = [
        (height // 4, width // 4),
        (height // 4, 3 * width // 4),
        (3 * height // 4, width // 4),
        (3 * height // 4, 3 * width // 4),
    ]
    return "".join(names.get(tuple(int(v > 128) for v in picture[:, y, x]), "?") for y, x in points)


def tone(
    seconds: float, rate: int = 44100, *, hertz: float = 440.0, level: float = 0.5, channels: int = 2
) -> torch.Tensor:
    """Sine tone (channels, samples)."""
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return (level * torch.sin(2 * math.pi * hertz * time)).float().expand(channels, -1).contiguous()


def uneven_times(count: int, seed: int = 0) -> list[Fraction]:
    """Times in seconds of a variable-rate video: steps from 10 to 80 ms."""
    steps = np.random.default_rng(seed).integers(10, 81, size=count - 1)
    return [Fraction(int(t), 1000) for t in np.concatenate([[0], np.cumsum(steps)])]


def make_video(
    path: Path,
    *,
    rate: Fraction | int = 30,
    count: int = 60,
    times: Sequence[Fraction] | None = None,
    first_time: Fraction | int = 0,
    sound: torch.Tensor | None = None,
    sound_rate: int = 44100,
    sound_codec: str | None = None,
    captions: Sequence[tuple[float, float, str]] = (),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    keyframe_every: int = 12,
    picture: Callable[[int], np.ndarray] = numbered_picture,
    matrix: tuple[int, int, int, int] | None = None,
    metadata: dict[str, str] | None = None,
    color: dict[str, int] | None = None,
) -> Path:
    """Write a video whose frame i shows picture(i); `times` (seconds) makes its rate variable.

    `matrix` is the display matrix written into an mp4 or mov; see ROTATIONS.
    """
    path = Path(path)
    rate = Fraction(rate)
    if times is None:
        time_base, ticks = 1 / rate, range(count)
    else:
        time_base = Fraction(1, 90000)
        ticks = [round(time / time_base) for time in times]
    first_tick = round(Fraction(first_time) / time_base)
    with av.open(str(path), "w") as output:
        output.metadata.update(metadata or {})
        stream = output.add_stream(codec, rate=rate)
        height, width, _ = picture(0).shape
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = time_base
        stream.codec_context.gop_size = keyframe_every
        stream.options = _codec_options(codec) | (options or {})
        for name, value in (color or {}).items():
            setattr(stream.codec_context, name, value)
        audio = None if sound is None else _add_audio(output, path, sound, sound_rate, sound_codec)
        text = _add_captions(output, path) if captions else None
        for index, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = tick + first_tick, time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if audio is not None:
            output.mux(_audio_packets(audio, sound, sound_rate))
        for start, length, line in captions:
            output.mux(_caption_packet(text, path, start, length, line))
    if matrix is not None:
        set_display_matrix(path, matrix)
    return path


def _codec_options(codec: str) -> dict[str, str]:
    if codec == "libx264":
        return {"preset": "veryfast", "crf": "18", "sc_threshold": "0", "bf": "2"}
    if codec == "libx265":
        return {"preset": "ultrafast", "x265-params": "log-level=none"}
    if codec.startswith("libvpx"):
        return {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "1M"}
    return {}


def _add_audio(output, path: Path, sound: torch.Tensor, rate: int, codec: str | None):
    default = {".webm": "libopus", ".mkv": "flac"}.get(path.suffix, "aac")
    stream = output.add_stream(codec or default, rate=rate)
    stream.codec_context.layout = {1: "mono", 2: "stereo", 6: "5.1"}[sound.shape[0]]
    return stream


def _audio_packets(stream, sound: torch.Tensor, rate: int) -> Iterable:
    layout = stream.codec_context.layout.name
    for start in range(0, sound.shape[1], 4096):
        block = np.ascontiguousarray(sound[:, start : start + 4096].numpy())
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _add_captions(output, path: Path):
    if path.suffix == ".mkv":
        return output.add_mux_stream("subrip", time_base=Fraction(1, 1000))
    return output.add_mux_stream("mov_text", time_base=Fraction(1, 1000))


def _caption_packet(stream, path: Path, start: float, length: float, line: str) -> av.Packet:
    payload = line.encode()
    if path.suffix != ".mkv":  # mov_text: length in front of the text
        payload = struct.pack(">H", len(payload)) + payload
    packet = av.Packet(payload)
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = round(start * 1000)
    packet.duration = round(length * 1000)
    packet.is_keyframe = True
    return packet


def make_sound(path: Path, sound: torch.Tensor, rate: int = 44100) -> Path:
    """Write a sound file: wav, flac, mp3, ogg (48 kHz) or ac3."""
    codec = {".wav": "pcm_s16le", ".flac": "flac", ".mp3": "libmp3lame", ".ogg": "libopus", ".ac3": "ac3"}[path.suffix]
    with av.open(str(path), "w") as output:
        stream = _add_audio(output, path, sound, rate, codec)
        output.mux(_audio_packets(stream, sound, rate))
    return path


def make_cover_art(path: Path, sound: torch.Tensor, rate: int = 44100) -> Path:
    """Write an mp3 with a picture of its cover."""
    with av.open(str(path), "w") as output:
        stream = _add_audio(output, path, sound, rate, "libmp3lame")
        cover = output.add_stream("png", rate=1)
        cover.height, cover.width, _ = numbered_picture(0).shape
        cover.pix_fmt = "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic.value
        frame = av.VideoFrame.from_ndarray(numbered_picture(0), format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1)
        output.mux([*cover.encode(frame), *cover.encode(None)])
        output.mux(_audio_packets(stream, sound, rate))
    return path


def remux_video(source: Path, path: Path, options: dict[str, str] | None = None) -> Path:
    """Copy pictures and sound into another kind of file; a raw stream such as .h264 takes pictures only."""
    with av.open(str(source)) as opened, av.open(str(path), "w", options=options or {}) as output:
        chosen = [*opened.streams.video, *(() if path.suffix == ".h264" else opened.streams.audio)]
        copies = {stream.index: output.add_stream_from_template(stream, opaque=True) for stream in chosen}
        for packet in opened.demux(chosen):
            if packet.size:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
    return path


def hide_lead_in(source: Path, path: Path, start: float) -> Path:
    """Copy a video from `start` on, between key frames: an edit list hides the pictures before, as ffmpeg -ss does."""
    with av.open(str(source)) as opened, av.open(str(path), "w") as output:
        stream = opened.streams.video[0]
        copy = output.add_stream_from_template(stream, opaque=True)
        shift = round(start / stream.time_base)
        for packet in opened.demux(stream):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                output.mux(packet)
    return path


def set_display_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a display matrix into the first track header of an mp4 or mov file."""
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd")
    version = data[header + 4]
    place = header + 8 + (32 if version else 20) + 16
    a, b, c, d = (value * 65536 for value in matrix)
    x = WIDTH * 65536 if a < 0 or c < 0 else 0
    y = HEIGHT * 65536 if b < 0 or d < 0 else 0
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, x, y, 1 << 30)
    path.write_bytes(data)


def make_image(path: Path, picture: np.ndarray) -> Path:
    """Write one RGB picture as png, jpg or webp."""
    codec = {".png": "png", ".jpg": "mjpeg", ".webp": "libwebp"}[path.suffix]
    pixel_format = {"png": "rgb24", "mjpeg": "yuvj444p", "libwebp": "yuv420p"}[codec]
    with av.open(str(path), "w", format="image2" if codec != "libwebp" else None) as output:
        stream = output.add_stream(codec, rate=1)
        stream.height, stream.width, _ = picture.shape
        stream.pix_fmt = pixel_format
        if codec == "libwebp":
            stream.options = {"quality": "95"}
        for frame in (av.VideoFrame.from_ndarray(picture, format="rgb24"), None):
            output.mux(stream.encode(frame))
    return path


def set_jpeg_orientation(path: Path, orientation: int) -> None:
    """Put an EXIF block with nothing but an orientation (1 to 8) into a jpg."""
    tiff = b"MM\0*" + struct.pack(">I", 8) + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    segment = b"Exif\0\0" + tiff
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:])


def make_demo_video(path: Path, *, seconds: float = 10.0, rate: int = 25, width: int = 320, height: int = 240) -> Path:
    """The example video of the README: a ball bounces, the floor flashes and a tick sounds at every bounce.

    Nothing in it is random; the pictures of two files may still differ, as FFmpeg rounds colours by where in memory
    a picture lies and x264 then decides otherwise.
    """
    sound_rate, period = 44100, 0.8
    times = np.arange(round(seconds * sound_rate)) / sound_rate
    since_bounce = np.mod(times, period)
    tick = 0.6 * np.exp(-since_bounce * 30) * np.sin(2 * np.pi * 520 * since_bounce)
    sound = torch.from_numpy(np.stack([tick, tick]).astype(np.float32))

    def picture(index: int) -> np.ndarray:
        return _demo_picture(index / rate, period, width, height)

    return make_video(
        path,
        rate=rate,
        count=round(seconds * rate),
        sound=sound,
        sound_rate=sound_rate,
        keyframe_every=rate,
        picture=picture,
        metadata={"title": "Bouncing ball"},
    )


def _demo_picture(time: float, period: float, width: int, height: int) -> np.ndarray:
    phase = math.fmod(time, period) / period
    radius, floor = height // 10, height - height // 6
    ball_y = floor - radius - 4 * phase * (1 - phase) * (floor - 3 * radius)
    travel = math.fmod(time / 10 * 4, 2)
    ball_x = radius + (travel if travel < 1 else 2 - travel) * (width - 2 * radius)
    y, x = np.mgrid[0:height, 0:width]
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = 40 + 40 * y // height
    picture[..., 1] = 60 + 60 * y // height
    picture[..., 2] = 110
    flash = max(0.0, 1 - phase * period / 0.12)
    picture[floor:] = np.array([70, 60, 50]) + flash * np.array([180, 170, 120])
    picture[(x - ball_x) ** 2 + (y - ball_y) ** 2 <= radius**2] = (235, 90, 60)
    return picture
