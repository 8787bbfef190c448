"""The six tasks that AudioX was trained for, each with a sentence to start from."""

TASKS: dict[str, str] = {
    "text to audio": "Typing on a keyboard",
    "text to music": "A music with piano and violin",
    "video to audio": "Generate general audio for the video",
    "video to music": "Generate music for the video",
    "text and video to audio": "Ocean waves crashing with people laughing",
    "text and video to music": "Generate music with piano instrument",
}
