"""What can happen to a video's own sound. Nothing here needs torch or PyAV."""

from typing import Literal

MixMode = Literal["replace", "mix", "duck"]
"""replace it, mix it with the new sound, or duck: lower it while the new sound plays."""
