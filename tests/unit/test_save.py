"""AudioX Save Sound: the picture, the words in it, the files and what they carry."""

import json

import av
import numpy as np
import pytest
from PIL import Image

from audiox_core.errors import AudioXError
from audiox_core.media import sound_picture as drawn
from audiox_core.media.sound_picture import CLIPPED, LEFT, LINE, MARGIN, PLOT, WAVE, WAVE_HEIGHT, sound_picture
from devtools.comfy_server import PromptError
from devtools.graphs import load, node, read_audio, text_to_latent
from devtools.paths import ROOT

RATE = 44100


# The picture


def noise(samples: int = 4410, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (channels, samples)).astype(np.float32)


def rows_with(picture: np.ndarray, colour: tuple) -> np.ndarray:
    return np.flatnonzero((picture == np.uint8(colour)).all(-1).any(1))


def test_a_waveform_spans_what_the_samples_do():
    sound = np.zeros((1, RATE), np.float32)
    sound[0, RATE // 2 :] = 0.5
    wave = drawn.wave_picture(sound[0])
    left, right = wave[:, : PLOT // 2 - 1], wave[:, PLOT // 2 + 1 :]
    middle = (WAVE_HEIGHT - 1) / 2
    assert abs(rows_with(left, WAVE).mean() - middle) <= 0.5
    assert abs(rows_with(right, WAVE).mean() - middle / 2) <= 0.5


def test_only_what_exceeds_full_scale_is_red():
    sound = noise(channels=1)[0]
    sound[100] = 1.0
    assert not rows_with(drawn.wave_picture(sound), CLIPPED).size
    sound[-1] = -1.01
    red = (drawn.wave_picture(sound) == np.uint8(CLIPPED)).all(-1).any(0)
    assert red[-1] and not red[:-1].any()


def test_words_and_channels_make_a_picture_taller():
    bare = sound_picture(noise(channels=1))
    assert bare.width == drawn.WIDTH and bare.mode == "RGB"
    assert sound_picture(noise()).height - bare.height == WAVE_HEIGHT + drawn.GAP
    titled = sound_picture(noise(channels=1), title="rain", facts=["seed 5"])
    assert titled.height - bare.height == 2 * LINE
    assert (np.asarray(titled)[-bare.height + MARGIN :] == np.asarray(bare)[MARGIN:]).all()
    long = sound_picture(noise(channels=1), title="rain " * 500, facts=["seed 5"] * 500)
    assert long.height - bare.height == LINE * (drawn.TITLE_LINES + drawn.FACT_LINES)


def test_a_tick_stands_at_its_second():
    picture = np.asarray(sound_picture(noise(5 * RATE)))
    row = len(picture) - 2 * drawn.GAP - drawn.LABEL_LINE  # where the plots end
    ticks = np.flatnonzero((picture[row] == np.uint8(drawn.GREY)).all(-1)) - LEFT
    assert ticks.tolist() == [round(i / 10 * PLOT) for i in range(10)] + [PLOT - 1]


@pytest.mark.parametrize("samples", [1, 7, RATE // 10])
@pytest.mark.parametrize("rate", [8000, 96000])
def test_any_length_and_rate_is_drawn(samples, rate):
    assert np.asarray(sound_picture(noise(samples), rate)).std() > 0


def test_what_isnt_a_sound_is_refused():
    with pytest.raises(AudioXError, match=r"shape \(2, 0\), expected \(channels, samples\)"):
        sound_picture(np.zeros((2, 0)))


def png_text(path) -> dict[str, str]:
    """The texts in a PNG file."""
    with Image.open(path) as picture:
        picture.load()
        return dict(picture.text)


# The words


@pytest.fixture(scope="module")
def origin_of():
    """The function of nodes/provenance.py, which needs no ComfyUI but stands in a package that does."""
    from importlib import util

    spec = util.spec_from_file_location("provenance", ROOT / "nodes" / "provenance.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.find_provenance


def shipped_words(name: str, origin_of) -> tuple:
    prompt = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text("utf-8"))
    saves = [key for key, item in prompt.items() if item["class_type"] in ("SaveAudio", "AudioXSaveSound", "SaveVideo")]
    return tuple(origin_of(prompt, saves[0]))


@pytest.mark.parametrize("name", ["t2a_turbo", "t2a_turbo_core_nodes"])
def test_shipped_workflows_tell_their_origin(name, origin_of):
    model = "AudioX-Turbo/audiox_turbo/audiox_turbo.ckpt"
    assert shipped_words(name, origin_of) == ("Typing on a keyboard", 0, model)
    v2a = name.replace("t2a", "v2a")
    assert shipped_words(v2a, origin_of) == ("Generate general audio for the video", 0, model)


def test_the_prompt_is_the_positive_one_and_the_seed_the_samplers(origin_of):
    graph = {
        "load": load("m.safetensors"),
        "heard": node("AudioXEncodeAudio", vae=["load", 1], audio=["file", 0], seed=99),
        "file": node("LoadAudio", audio="a.wav"),
        "seen": node("AudioXEncodeVideo", video_encoder=["load", 3], conditioning=["text", 0]),
        "not": node("AudioXEncodeText", clip=["load", 2], text="noise"),
        "text": node("AudioXEncodeText", clip=["load", 2], text=["words", 0], conditioning=["heard", 0]),
        "words": node("PrimitiveStringMultiline", value=" rain "),
        "seed": node("PrimitiveInt", value=7),
        "sample": node("AudioXSample", negative=["not", 0], positive=["seen", 0], model=["load", 0], seed=["seed", 0]),
        "save": node("AudioXSaveSound", audio=["sample", 0]),
        "other": node("AudioXSaveSound", audio=["file", 0]),
    }
    assert origin_of(graph, "save") == ("rain", 7, "m.safetensors")
    assert origin_of(graph, "other") == ("", None, "")


def test_custom_sampling_tells_too_and_a_circle_ends(origin_of):
    graph = {
        "1": node("SamplerCustomAdvanced", noise=["2", 0], guider=["3", 0], again=["1", 0]),
        "2": node("RandomNoise", noise_seed=3),
        "3": node("BasicGuider", conditioning=["4", 0], model=["5", 0]),
        "4": node("CLIPTextEncode", text="wind"),
        "5": node("UNETLoader", unet_name="b.safetensors"),
        "9": node("SaveAudio", audio=["1", 0], gone=["77", 0]),
    }
    assert origin_of(graph, "9") == ("wind", 3, "b.safetensors")


# The node


def saving(batch: int = 1, **inputs) -> dict:
    """A prompt that makes sounds and saves them: a text in Latin letters and one beyond."""
    prompt = text_to_latent(seed=5, batch=batch, text='rain "é" \u96e8')
    del prompt["save"]
    prompt["sound"] = node("AudioXVAEDecode", vae=["load", 1], latent=["sample", 0], seconds=2.0)
    prompt["file"] = node("AudioXSaveSound", audio=["sound", 0], **{"filename_prefix": "audio/test", **inputs})
    return prompt


WORKFLOW = {"nodes": [], "version": 0.4, "extra": {"name": "é"}}


def run_as_editor(server, prompt: dict) -> dict:
    """Outputs of the save node of a prompt that comes with the editor's graph."""
    body = {"prompt": prompt, "client_id": server.client_id, "extra_data": {"extra_pnginfo": {"workflow": WORKFLOW}}}
    return server.wait(server.post("/prompt", body)["prompt_id"])["outputs"]["file"]


def test_every_item_has_a_sound_and_a_picture(each_comfy):
    prompt = saving(batch=2)
    shown = run_as_editor(each_comfy, prompt)
    assert set(shown) == {"audio", "images"} and len(shown["audio"]) == len(shown["images"]) == 2
    for sound, picture in zip(shown["audio"], shown["images"], strict=True):
        path = each_comfy.output_path(sound)
        assert path.with_suffix(".png") == each_comfy.output_path(picture)
        assert path.suffix == ".flac" and path.parent.name == "audio"
        samples, rate = read_audio(path)
        assert samples.shape == (2, 2 * RATE) and rate == RATE and samples.std() > 1e-3
        with av.open(str(path)) as file:
            carried = {key.lower(): value for key, value in file.metadata.items()}
        notes = png_text(each_comfy.output_path(picture))
        for kept in (carried, notes):
            assert json.loads(kept["prompt"]) == prompt and json.loads(kept["workflow"]) == WORKFLOW
        with av.open(str(each_comfy.output_path(picture))) as file:
            assert next(file.decode(video=0)).width == drawn.WIDTH
    prompt["sample"]["inputs"]["seed"] = 6  # the same again would come from the cache
    names = [item["filename"] for item in [*shown["audio"], *run_as_editor(each_comfy, prompt)["audio"]]]
    assert len(set(names)) == 4


def test_a_wav_keeps_loud_samples_and_the_workflow(lab):
    prompt = saving(format="wav", picture=False)
    shown = run_as_editor(lab, prompt)
    assert set(shown) == {"audio"}
    path = lab.output_path(shown["audio"][0])
    assert path.suffix == ".wav" and not path.with_suffix(".png").exists()
    with av.open(str(path)) as file:
        assert json.loads(file.metadata["comment"]) == {"prompt": prompt, "workflow": WORKFLOW}
        assert file.streams.audio[0].codec_context.name == "pcm_f32le"


def test_the_sound_goes_on(lab):
    prompt = saving()
    prompt["again"] = node("SaveAudio", audio=["file", 0], filename_prefix="audio/again")
    run = lab.run(prompt)
    [ours], [cores] = (read_audio(lab.output_path(run["outputs"][key]["audio"][0]))[:1] for key in ("file", "again"))
    assert np.abs(ours - cores).max() < 1e-4


def test_the_seconds_it_took_are_written_where_they_are_known(lab):
    def lines(took: float) -> np.ndarray:
        prompt = {
            "sound": node("LabAudio", kind="noise", channels=2, samples=4410, took=took),
            "file": node("AudioXSaveSound", audio=["sound", 0], filename_prefix="took"),
        }
        with av.open(str(lab.output_path(lab.run(prompt)["outputs"]["file"]["images"][0]))) as file:
            return next(file.decode(video=0)).to_ndarray(format="rgb24")

    unknown, known = lines(0.0), lines(3.2)
    differing = np.flatnonzero((unknown != known).any((1, 2)))
    assert differing.size and differing.min() >= MARGIN and differing.max() < MARGIN + LINE


@pytest.mark.parametrize("kind, words", [("none", "There is no sound"), ("nan", "NaN or infinite samples")])
def test_what_cannot_be_saved_leaves_nothing(lab, kind, words):
    prompt = {
        "sound": node("LabAudio", kind=kind, channels=2, samples=1000, batch=1),
        "file": node("AudioXSaveSound", audio=["sound", 0], filename_prefix=f"bad/{kind}"),
    }
    with pytest.raises(PromptError, match=words):
        lab.run(prompt)
    folder = lab.base / "output" / "bad"
    assert not folder.exists() or not list(folder.iterdir())


def test_a_name_outside_the_output_folder_is_refused(lab):
    with pytest.raises(PromptError, match="outside the output folder"):
        lab.run(saving(filename_prefix="../../elsewhere"))
