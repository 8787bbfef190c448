"""All length arithmetic: seconds, samples, latents, video frames, windows.

The released models make 10 s of 44.1 kHz stereo sound. Their latent is a little longer (236 frames of 2048
samples, 10.96 s) because upstream trained on 11 s windows and keeps the first 10 s of the decoded sound. Longer
sound is made of such windows, one every 172 frames, so a long latent has 236 + k * 172 frames; see `windows`.
"""

import math

from .errors import AudioXError

SAMPLE_RATE = 44100
"""Samples a second of every sound that enters or leaves the models."""

SAMPLES_PER_LATENT = 2048
"""Samples that one latent frame stands for: the product of the VAE's strides."""

LATENT_FRAMES = 236
"""Latent frames that all released models were trained to make: 11 s, rounded down."""

CLIP_SECONDS = 10.0
"""Seconds of sound, of video and of audio prompt that one generation covers."""

LONGEST_SECONDS = 600.0
"""Longest sound that the nodes and the command line offer."""

CLIP_FPS = 5
"""Video frames a second that the CLIP vision tower sees."""

SYNC_FPS = 25
"""Video frames a second that Synchformer sees."""

SEGMENT_STRIDE_FRAMES = 8
"""Synchformer segments start every 8 frames and are 16 frames long, so neighbours overlap by half."""

PROMPT_SAMPLES = int(CLIP_SECONDS * SAMPLE_RATE)
"""Samples of an audio prompt: 441000."""


GOOD_FRAMES = math.ceil(PROMPT_SAMPLES / SAMPLES_PER_LATENT)
"""Latent frames of a window that its prompts reach: 216, the first 10 s."""

WINDOW_HOP = 172
"""Latent frames from one window to the next: 7.99 s, so that neighbours share 2 s of what their prompts reach."""

WINDOW_HOP_SECONDS = WINDOW_HOP * SAMPLES_PER_LATENT / SAMPLE_RATE
"""The same in seconds: window i is that of the sound, the video and the audio prompt from i times this on."""

DECODE_REACH = 12
"""Latent frames to either side of a frame that the released VAE looks at when it decodes it, rounded up."""


def samples_from_seconds(seconds: float) -> int:
    """Number of samples closest to a duration."""
    return round(seconds * SAMPLE_RATE)


def frames_from_seconds(seconds: float, fps: int) -> int:
    """Video frames that cover a duration at a rate, as upstream counts them."""
    return int(seconds * fps)


def segments_from_frames(frames: int, segment_frames: int) -> int:
    """Whole Synchformer segments in a clip; frames after the last whole segment are not looked at."""
    return (frames - segment_frames) // SEGMENT_STRIDE_FRAMES + 1


def check_length(seconds: float) -> None:
    """AudioXError for a length of sound that cannot be made."""
    if not 0 < seconds <= LONGEST_SECONDS:
        raise AudioXError(
            f"A length of {seconds:g} s was asked for, expected more than 0 and at most {LONGEST_SECONDS:g} s."
        )


def frames_from_samples(samples: int) -> int:
    """Latent frames that hold a number of samples."""
    return math.ceil(samples / SAMPLES_PER_LATENT)


def windows_from_seconds(seconds: float) -> int:
    """Windows that a sound of a length is made of."""
    return windows_from_good_frames(frames_from_samples(samples_from_seconds(seconds)))


def windows_from_good_frames(frames: int) -> int:
    """Windows whose prompts together reach a number of latent frames."""
    return 1 + max(0, math.ceil((frames - GOOD_FRAMES) / WINDOW_HOP))


def latent_frames(seconds: float, *, loop: bool = False) -> int:
    """Frames of the latent that a sound of a length is sampled as: whole windows, or just its own for a loop."""
    if loop:
        return frames_from_samples(samples_from_seconds(seconds))
    return frames_from_windows(windows_from_seconds(seconds))


def frames_from_windows(windows: int) -> int:
    """Latent frames of a number of windows."""
    return LATENT_FRAMES + (windows - 1) * WINDOW_HOP


def whole_frames(frames: int) -> int:
    """Frames of a latent with sound to make added at its end, until it is whole windows whose prompts reach it all.

    One that is whole windows already stays as it is, though the prompts may not reach its last second.
    """
    windows = windows_from_good_frames(frames)
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
            f"The latent has {frames} frames, but one longer than {LATENT_FRAMES} is made of windows and has "
            f"{LATENT_FRAMES} + k x {WINDOW_HOP}, here {longer}: use Empty AudioX Latent or AudioX VAE Encode, which "
            "give that, or AudioX Sample, which takes any length."
        )
    return windows


def samples_of_latent(frames: int) -> int:
    """Samples of a sound of which nothing but its latent is known: all, but 10 s of one whole window."""
    return PROMPT_SAMPLES if frames == LATENT_FRAMES else frames * SAMPLES_PER_LATENT
