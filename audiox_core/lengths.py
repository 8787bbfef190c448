"""All length arithmetic: seconds, samples, latents, video frames.

The released models make 10 s of 44.1 kHz stereo sound. Their latent is a little longer (236 frames of 2048
samples, 10.96 s) because upstream trained on 11 s windows and keeps the first 10 s of the decoded sound.
"""

SAMPLE_RATE = 44100
"""Samples a second of every sound that enters or leaves the models."""

SAMPLES_PER_LATENT = 2048
"""Samples that one latent frame stands for: the product of the VAE's strides."""

LATENT_FRAMES = 236
"""Latent frames that all released models were trained to make: 11 s, rounded down."""

CLIP_SECONDS = 10.0
"""Seconds of sound, of video and of audio prompt that one generation covers."""

CLIP_FPS = 5
"""Video frames a second that the CLIP vision tower sees."""

SYNC_FPS = 25
"""Video frames a second that Synchformer sees."""

SEGMENT_STRIDE_FRAMES = 8
"""Synchformer segments start every 8 frames and are 16 frames long, so neighbours overlap by half."""

PROMPT_SAMPLES = int(CLIP_SECONDS * SAMPLE_RATE)
"""Samples of an audio prompt: 441000."""


def samples_from_seconds(seconds: float) -> int:
    """Number of samples closest to a duration."""
    return round(seconds * SAMPLE_RATE)


def frames_from_seconds(seconds: float, fps: int) -> int:
    """Video frames that cover a duration at a rate, as upstream counts them."""
    return int(seconds * fps)


def segments_from_frames(frames: int, segment_frames: int) -> int:
    """Whole Synchformer segments in a clip; frames after the last whole segment are not looked at."""
    return (frames - segment_frames) // SEGMENT_STRIDE_FRAMES + 1
