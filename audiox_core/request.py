"""A request: everything that a sound depends on, as plain values. Nothing here needs torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import get_args

from .errors import AudioXError
from .lengths import CLIP_SECONDS, check_length
from .media.mix_modes import MixMode
from .release.variants import SAMPLERS, join_or

TimeRange = tuple[float, float]
"""Start and end in seconds; an end of 0 is the end of the sound."""

END = 2**64
"""Seeds are below this."""


@dataclass(frozen=True)
class Request:
    """A sound to generate, or several takes that differ in their seed. Paths are those of files.

    prompt, negative: text; negative needs guidance. video or image, from `video_start` seconds on; stride_sampling
    picks frames as the official code does. audio: a prompt from `audio_start` on; random_mask masks it as the official
    code does. seconds: length, 0 for the video's. loop: the end meets the beginning.

    edit: a sound to work on, with `before` and `after` seconds to generate around it and ranges of it to regenerate;
    denoise below 1 stays close to it. seed: of the first take; batch: how many there are, the seeds counting up.

    steps, cfg, cfg_rescale, video_cfg, sampler: see `sampling.presets.resolve_settings`. normalize: scale to full
    level. loudness: LUFS, or None. mode: what happens to the video's own sound.

    Raises:
        AudioXError: values that do not exist or do not go together.
    """

    prompt: str = ""
    negative: str | None = None
    video: str | None = None
    image: str | None = None
    video_start: float = 0.0
    stride_sampling: bool = False
    audio: str | None = None
    audio_start: float = 0.0
    random_mask: bool = False
    seconds: float = CLIP_SECONDS
    loop: bool = False
    edit: str | None = None
    ranges: tuple[TimeRange, ...] = ()
    before: float = 0.0
    after: float = 0.0
    denoise: float = 1.0
    seed: int = 0
    batch: int = 1
    steps: int = 0
    cfg: float = 0.0
    cfg_rescale: float = 0.0
    video_cfg: float = 0.0
    sampler: str = "auto"
    normalize: bool = False
    loudness: float | None = None
    mode: MixMode = "replace"

    def __post_init__(self) -> None:
        if self.video and self.image:
            raise AudioXError("Give a video or an image, not both.")
        if self.batch < 1:
            raise AudioXError(f"--batch is {self.batch}, expected 1 or more.")
        if not 0 <= self.seed <= END - self.batch:
            raise AudioXError(
                f"--seed is {self.seed}, expected 0 or more, and less than 2^64 for the last of the batch."
            )
        if self.sampler not in ("auto", *SAMPLERS):
            raise AudioXError(f"The sampler is {self.sampler!r}, expected {join_or(('auto', *SAMPLERS))}.")
        if self.mode not in get_args(MixMode):
            raise AudioXError(f"The mode is {self.mode!r}, expected {join_or(get_args(MixMode))}.")
        if self.edit and self.loop:
            raise AudioXError(
                "Leave --loop or --edit out: they can't be combined, because a loop is always a new sound."
            )
        if not self.edit and (self.ranges or self.before or self.after or self.denoise != 1):
            raise AudioXError("Name a sound to work on with --edit: --range, --before, --after and --denoise need one.")

    @property
    def seeds(self) -> range:
        """The seed of each take."""
        return range(self.seed, self.seed + self.batch)

    def with_length(self) -> Request:
        """The same with `seconds` filled in from the files where they decide it: the source's or the video's length.

        Raises:
            AudioXError: a length that cannot be generated, or a file that cannot be read.
        """
        seconds = self._length()
        check_length(seconds)
        return dataclasses.replace(self, seconds=seconds)

    def _length(self) -> float:
        from .media.audio import read_audio  # PyAV is not needed before a file is
        from .media.extent import video_seconds

        if self.edit:
            waveform, rate = read_audio(self.edit)
            return self.before + waveform.shape[1] / rate + self.after
        if self.seconds == 0 and self.video:
            return video_seconds(self.video) - self.video_start
        return self.seconds


def parse_range(text: str) -> TimeRange:
    """Start and end of a range written as START:END; each may be left out.

    Raises:
        AudioXError: it is written otherwise.
    """
    try:
        start, end = (float(part) if part else 0.0 for part in text.split(":"))
    except ValueError:
        raise AudioXError(f"--range is {text}, expected START:END in seconds, such as 2.5:4.") from None
    return start, end
