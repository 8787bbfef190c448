"""The six tasks that AudioX was trained for, each with a sentence to start from."""

VIDEO_TO_AUDIO = "Generate general audio for the video"
"""The sentence that the released models were trained with for a video without words."""

TASKS: dict[str, str] = {
    "text to audio": "Typing on a keyboard",
    "text to music": "A music with piano and violin",
    "video to audio": VIDEO_TO_AUDIO,
    "video to music": "Generate music for the video",
    "text and video to audio": "Ocean waves crashing with people laughing",
    "text and video to music": "Generate music with piano instrument",
}
