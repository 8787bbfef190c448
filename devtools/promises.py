"""What users' files rely on: node ids and shipped workflows."""

from devtools.paths import ROOT

PROMISED = {
    "AudioXLoad",
    "AudioXEncodeText",
    "AudioXEncodeVideo",
    "AudioXEncodeAudio",
    "AudioXEmptyLatent",
    "AudioXVAEEncode",
    "AudioXMaskRange",
    "AudioXSample",
    "AudioXVAEDecode",
    "AudioXMuxVideo",
    "AudioXSaveSound",
}
"""Ids that workflows of users hold."""

WORKFLOWS = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
"""Names of the shipped workflows."""


def without_titles(prompt: dict) -> dict:
    return {key: {name: node[name] for name in ("class_type", "inputs")} for key, node in prompt.items()}
