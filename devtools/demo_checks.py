"""Asks the demo, through shipped workflows in a real ComfyUI, for a sound, and listens to what comes back."""

import numpy as np

from audiox_core.demo import NAMES
from devtools.graphs import ids_of, read_audio, shipped
from training.evaluation import events, judge
from training.world import films

FILM = films.film(3, test=True, style="flash", kind="ping")


def heard_in(path) -> str:
    waveform, rate = read_audio(path)
    assert rate == 44100
    return judge.hear(np.asarray(waveform)).kinds[0]


def with_demo(name: str, text: str | None = None) -> dict:
    """A shipped workflow with the demo in place of the released weights, and other words where it has some."""
    prompt = shipped(name)
    loader = prompt[ids_of(prompt, "AudioXLoad")[0]]["inputs"]
    loader["checkpoint"] = NAMES["base" if "base" in name else "turbo"]
    for key in ids_of(prompt, "KSampler") if "base" in name else ():
        prompt[key]["inputs"]["cfg"] = 2.0  # KSampler knows nothing of what a checkpoint asks for
    if text is not None:
        worded = [*ids_of(prompt, "AudioXEncodeText"), *ids_of(prompt, "CLIPTextEncode")]
        prompt[worded[0]]["inputs"]["text"] = text
    return prompt


def check_words(server, name: str, text: str, kind: str) -> None:
    """Run a shipped workflow with the demo and these words, and listen to what it saved."""
    prompt = with_demo(name, text)
    [save] = ids_of(prompt, "SaveAudio") or ids_of(prompt, "AudioXSaveSound")
    item = server.run(prompt).files(save)[0]
    assert heard_in(server.output_path(item)) == kind


def check_answer(server, name: str, film) -> None:
    """Run a shipped workflow with the demo on the file of FILM; its sound has to answer the flashes."""
    prompt = with_demo(name)
    prompt[ids_of(prompt, "LoadVideo")[0]]["inputs"]["file"] = server.place_input(film)
    [item] = server.run(prompt).files(ids_of(prompt, "SaveVideo")[0])
    sound = np.asarray(read_audio(server.output_path(item))[0])
    found = events.summary([events.align(events.heard_times(sound), FILM.times)])
    assert found["onset_within_100ms"] >= 0.8
    assert found["onset_precision"] >= 0.8
    assert events.hit_kind(sound) == "ping"
