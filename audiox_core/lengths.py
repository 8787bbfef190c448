"""All length arithmetic: seconds, samples, latents, video frames, windows.

The released models generate 10 s of 44.1 kHz stereo sound. Their latent is a little longer (236 frames of 2048
samples, 10.96 s): they were trained on 11 s windows, of which the official code keeps the first 10 s. Longer sound
consists of such windows, one every 172 frames, so a long latent has 236 + k * 172 frames; see `sampling.windows`.
"""

import math

from .errors import AudioXError

SAMPLE_RATE = 44100
"""Sample rate of every sound that enters or leaves the models, in Hz."""

SAMPLES_PER_LATENT = 2048
"""Samples per latent frame: the product of the VAE's strides."""

LATENT_FRAMES = 236
"""Latent frames that all released models were trained to generate: 11 s, rounded down."""

CLIP_SECONDS = 10.0
"""Seconds of sound, video and audio prompt that one window covers."""

LONGEST_SECONDS = 600.0
"""Longest sound that the nodes and the command line offer."""

CLIP_FPS = 5
"""Frame rate at which the CLIP vision tower sees a video."""

SYNC_FPS = 25
"""Frame rate at which Synchformer sees a video."""

SEGMENT_STRIDE_FRAMES = 8
"""Synchformer segments start every 8 frames and are 16 frames long, so neighbours overlap by half."""

PROMPT_SAMPLES = int(CLIP_SECONDS * SAMPLE_RATE)
"""Samples of an audio prompt: 441000."""


COVERED_FRAMES = math.ceil(PROMPT_SAMPLES / SAMPLES_PER_LATENT)
"""Latent frames of a window that its prompts cover: 216, the first 10 s."""

WINDOW_HOP = 172
"""Latent frames from one window to the next: 7.99 s, so that neighbours share 2 s of what their prompts cover."""

WINDOW_HOP_SECONDS = WINDOW_HOP * SAMPLES_PER_LATENT / SAMPLE_RATE
"""The same in seconds: window i of sound, video and audio prompt starts at i times this."""

DECODE_REACH = 12
"""Latent frames on either side that the released VAE looks at to decode a frame, rounded up."""


def samples_from_seconds(seconds: float) -> int:
    """Number of samples closest to a duration."""
    return round(seconds * SAMPLE_RATE)


def frames_from_seconds(seconds: float, fps: int) -> int:
    """Video frames that cover a duration at a rate, counted as in the official code."""
    return int(seconds * fps)


def segments_from_frames(frames: int, segment_frames: int) -> int:
    """Whole Synchformer segments in a clip; frames after the last whole segment are not looked at."""
    return (frames - segment_frames) // SEGMENT_STRIDE_FRAMES + 1


def check_length(seconds: float) -> None:
    """AudioXError for a length of sound that cannot be generated."""
    if not 0 < seconds <= LONGEST_SECONDS:
        raise AudioXError(f"The length is {seconds:g} s, expected more than 0 and at most {LONGEST_SECONDS:g} s.")


def frames_from_samples(samples: int) -> int:
    """Latent frames that hold a number of samples."""
    return math.ceil(samples / SAMPLES_PER_LATENT)


def windows_from_seconds(seconds: float) -> int:
    """Windows in a sound of a length."""
    return windows_to_cover(frames_from_samples(samples_from_seconds(seconds)))


def windows_to_cover(frames: int) -> int:
    """Windows whose prompts together cover a number of latent frames."""
    return 1 + max(0, math.ceil((frames - COVERED_FRAMES) / WINDOW_HOP))


def latent_frames(seconds: float, *, loop: bool = False) -> int:
    """Frames of the latent to sample for a sound of a length: whole windows, or exactly its own for a loop."""
    if loop:
        return frames_from_samples(samples_from_seconds(seconds))
    return frames_from_windows(windows_from_seconds(seconds))


def frames_from_windows(windows: int) -> int:
    """Latent frames of a number of windows."""
    return LATENT_FRAMES + (windows - 1) * WINDOW_HOP


def padded_frames(frames: int) -> int:
    """Frames of a latent after padding its end to whole windows whose prompts cover all of it.

    Whole windows stay as they are, though their prompts may not cover the last second.
    """
    windows = windows_to_cover(frames)
    if windows > 1 and frames == frames_from_windows(windows - 1):
        return frames
    return frames_from_windows(windows)


def windows_from_frames(frames: int) -> int:
    """Windows of a latent with a number of frames; a short one is a window.

    Raises:
        AudioXError: longer than one window and not a whole number of them.
    """
    windows = 1 + max(0, math.ceil((frames - LATENT_FRAMES) / WINDOW_HOP))
    if windows > 1 and frames != frames_from_windows(windows):
        longer = frames_from_windows(windows)
        raise AudioXError(
            f"Use Empty AudioX Latent or AudioX VAE Encode, or sample with AudioX Sample, which takes any length: the "
            f"latent has {frames} frames, but one longer than {LATENT_FRAMES} consists of windows and has "
            f"{LATENT_FRAMES} + k x {WINDOW_HOP}, here {longer}."
        )
    return windows


def samples_of_latent(frames: int) -> int:
    """Samples to decode when only the latent is known: all it holds, but only 10 s of a single full window."""
    return PROMPT_SAMPLES if frames == LATENT_FRAMES else frames * SAMPLES_PER_LATENT
