"""Decoded frames and images as the uint8 pictures that the vision encoders start from."""

from typing import Any

import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from torch.nn import functional as F

Matrix = tuple[int, int, int, int]


def resize_pictures(pictures: torch.Tensor, size: int) -> torch.Tensor:
    """Resize uint8 (N, 3, H, W) to (N, 3, size, size), bilinear with antialiasing, not keeping the aspect ratio.

    Computed in float and rounded, which is what the models were trained with; integer kernels differ by one.
    """
    if pictures.shape[-2:] == (size, size):
        return pictures
    resized = F.interpolate(pictures.float(), (size, size), mode="bilinear", antialias=True)
    return resized.round_().to(torch.uint8)


def frame_pixels(frame: VideoFrame, matrix: Matrix, reformatter: VideoReformatter) -> torch.Tensor:
    """RGB uint8 (3, H, W) of a frame, turned and mirrored as a display matrix says.

    reformatter: the same for all frames of a video, because setting one up takes as long as a frame.
    """
    pixels = reformatter.reformat(frame, format="rgb24").to_ndarray()  # (H, W, 3)
    a, b, c, d = matrix
    if abs(b) > abs(a):  # columns of the source become rows
        pixels = pixels.transpose(1, 0, 2)
        a, d = c, b
    pixels = pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)


def display_matrix(frame: VideoFrame) -> Matrix:
    """(a, b, c, d): a source point (x, y) is shown at (a x + c y, b x + d y), y pointing down.

    Don't call it for every frame: PyAV keeps a frame whose side data was read until the garbage collector runs.
    """
    try:
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know all of FFmpeg's side data (EXIF), but it knows the angle
        return {90: (0, -1, 1, 0), -90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), -180: (-1, 0, 0, -1)}.get(
            frame.rotation, (1, 0, 0, 1)
        )
    if matrix is None:
        return 1, 0, 0, 1
    values = np.frombuffer(bytes(matrix), np.int32).tolist()
    return values[0], values[1], values[3], values[4]


def image_pixels(image: torch.Tensor) -> torch.Tensor:
    """uint8 (3, H, W) of one image (H, W, 3)."""
    if image.is_floating_point():
        image = (image.float() * 255).round().clamp(0, 255).to(torch.uint8)
    return image.permute(2, 0, 1).cpu()
