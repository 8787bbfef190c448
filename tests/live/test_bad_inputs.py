"""Wrong inputs through a real server: one sentence each, under the node at fault, and the server lives on."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from devtools.comfy_server import PromptError
from devtools.graphs import BASE, load, node, run_latent, text_to_latent
from devtools.media_maker import make_video, tone


@dataclass(frozen=True)
class Case:
    """A prompt that must fail at the node `at`, with these words (a pattern)."""

    name: str
    prompt: Callable[[], dict]
    at: str
    words: str


# Prompts


def loading(checkpoint: str) -> Callable[[], dict]:
    return lambda: {"load": load(checkpoint), **saved(["load", 0], "ModelSave", "model")}


def saved(source: list, class_type: str = "SaveLatent", name: str = "samples") -> dict:
    return {"save": node(class_type, **{name: source}, filename_prefix="bad/result")}


def sampling(changes: dict | None = None, *, latent: dict | None = None, checkpoint: str | None = None):
    """Text to latent with changed inputs of the sampler, or with another latent."""

    def prompt() -> dict:
        made = text_to_latent(**({"checkpoint": checkpoint} if checkpoint else {}))
        made["sample"]["inputs"] |= changes or {}
        return {**made, "latent": latent or made["latent"]}

    return prompt


def ksampling(latent: dict) -> Callable[[], dict]:
    def prompt() -> dict:
        made = text_to_latent()
        made["latent"] = latent
        made["sample"] = node(
            "KSampler",
            model=["load", 0],
            positive=["text", 0],
            negative=["text", 0],
            latent_image=["latent", 0],
            seed=0,
            steps=2,
            cfg=1.0,
            sampler_name="lcm",
            scheduler="simple",
            denoise=1.0,
        )
        return made

    return prompt


def masking(latent: dict | None = None, *, start: float = 1.0, end: float = 2.0, after: float = 0.0, **audio):
    """A range of 5 s of sound, or of another latent, made anew."""

    def prompt() -> dict:
        made = text_to_latent()
        made["audio"] = node("LabAudio", **{"kind": "noise", "channels": 2, "samples": 5 * 44100, **audio})
        made["latent"] = latent or node("AudioXVAEEncode", vae=["load", 1], audio=["audio", 0], after=after)
        made["range"] = node("AudioXMaskRange", latent=["latent", 0], start=start, end=end)
        made["sample"]["inputs"]["latent"] = ["range", 0]
        return made

    return prompt


def masked_as_a_picture() -> dict:
    made = masking()()
    made["mask"] = node("SolidMask", value=1.0, width=64, height=64)
    made["range"] = node("SetLatentNoiseMask", samples=["latent", 0], mask=["mask", 0])
    return made


def seeing(*, file: str | None = None, images: dict | None = None, start: float = 0.0, latent: float = 10.0, **more):
    """A video prompt that is sampled, from a file or from images or from both or from neither."""

    def prompt() -> dict:
        made = text_to_latent()
        made["seen"] = node("AudioXEncodeVideo", video_encoder=["load", 3], start=start)
        if file is not None:
            made["video"] = node("LoadVideo", file=file)
            made["seen"]["inputs"]["video"] = ["video", 0]
        if images is not None:
            made["images"] = images
            made["seen"]["inputs"]["images"] = ["images", 0]
        made["sample"]["inputs"]["positive"] = ["seen", 0]
        made["latent"]["inputs"] |= {"seconds": latent, **more}
        return made

    return prompt


def hearing(start: float = 0.0, **audio):
    """An audio prompt that is sampled."""

    def prompt() -> dict:
        made = text_to_latent()
        made["audio"] = node("LabAudio", **{"kind": "noise", "channels": 2, "samples": 44100, **audio})
        made["heard"] = node("AudioXEncodeAudio", vae=["load", 1], audio=["audio", 0], start=start)
        made["sample"]["inputs"]["positive"] = ["heard", 0]
        return made

    return prompt


def muxing(file: str = "example.mp4", **audio):
    """Sound onto a video."""

    def prompt() -> dict:
        return {
            "video": node("LoadVideo", file=file),
            "audio": node("LabAudio", **{"kind": "noise", "channels": 2, "samples": 44100, **audio}),
            "mux": node("AudioXMuxVideo", video=["video", 0], audio=["audio", 0]),
            "save": node("SaveVideo", video=["mux", 0], filename_prefix="bad/video", format="auto", codec="auto"),
        }

    return prompt


def decoding(**latent):
    """A latent to sound."""

    def prompt() -> dict:
        return {
            "load": load(),
            "latent": node("LabLatent", **{"value": "0", "batch": 1, "channels": 64, "length": 236, **latent}),
            "decode": node("AudioXVAEDecode", vae=["load", 1], latent=["latent", 0]),
            **saved(["decode", 0], "SaveAudio", "audio"),
        }

    return prompt


def without_encoder(which: str):
    def prompt() -> dict:
        made = seeing(file="example.mp4")()
        made["none"] = node("LabNoneClip")
        if which == "text":
            made["sample"]["inputs"]["positive"] = ["text", 0]
            made["text"]["inputs"]["clip"] = ["none", 0]
        else:
            made["seen"]["inputs"]["video_encoder"] = ["none", 1]
        return made

    return prompt


def silent_video_as_prompt() -> dict:
    made = hearing()()
    made["video"] = node("LoadVideo", file="silent.mp4")
    made["audio"] = node("GetVideoComponents", video=["video", 0])
    made["heard"]["inputs"]["audio"] = ["audio", 1]
    return made


def silent_video_as_sound() -> dict:
    made = muxing()()
    made["silent"] = node("LoadVideo", file="silent.mp4")
    made["audio"] = node("GetVideoComponents", video=["silent", 0])
    made["mux"]["inputs"]["audio"] = ["audio", 1]
    return made


def foreign_model() -> dict:
    made = text_to_latent()
    made["other"] = node("LabModel")
    made["sample"]["inputs"]["model"] = ["other", 0]
    return made


def with_nan(prompt: dict, at: str, name: str) -> dict:
    """The prompt with NaN in an input, as a client can send it: core's limits let it pass."""
    prompt[at]["inputs"][name] = "nan"
    return prompt


IMAGE = node("EmptyImage", width=64, height=64, batch_size=1, color=0x336699)
SHORT = node("EmptyLatentAudio", seconds=10.0, batch_size=1)
LONG = node("EmptyLatentAudio", seconds=60.0, batch_size=1)
PICTURE = node("EmptyLatentImage", width=512, height=512, batch_size=1)
NAN = node("LabLatent", value="nan", batch=1, channels=64, length=236)
NO_BATCH = node("LabLatent", value="0", batch=0, channels=64, length=236)

CASES = [
    Case("missing checkpoint", loading("nothing.ckpt"), "load", r"nothing\.ckpt.*audiox_core download turbo"),
    Case("VAE as a model", loading("bad/sounds.ckpt"), "load", r"sounds\.ckpt.*VAE"),
    Case("text named safetensors", loading("bad/text.safetensors"), "load", r"text\.safetensors"),
    Case("text named ckpt", loading("bad/text.ckpt"), "load", r"text\.ckpt"),
    Case("empty file", loading("bad/empty.safetensors"), "load", r"empty\.safetensors"),
    Case("truncated file", loading("bad/truncated_turbo.ckpt"), "load", r"truncated_turbo\.ckpt"),
    Case("truncated safetensors", loading("bad/truncated_turbo.safetensors"), "load", r"truncated_turbo\.safetensors"),
    Case("unknown variant", loading("bad/model.ckpt"), "load", r"model\.ckpt.*(turbo|variant)"),
    Case("no text encoder", without_encoder("text"), "text", r"no text encoder.*t5-base"),
    Case("no video encoder", without_encoder("video"), "seen", r"no video encoder.*synchformer"),
    Case("text as a video", seeing(file="broken.mp4"), "seen", r"(read|open|video)"),
    Case("truncated video", seeing(file="truncated.mp4"), "seen", r"(read|open|video)"),
    Case("start after the end of the video", seeing(file="example.mp4", start=100.0), "seen", r"100"),
    Case("neither video nor images", seeing(), "seen", r"neither given"),
    Case("video and images", seeing(file="example.mp4", images=IMAGE), "seen", r"both given"),
    Case("sound of 0 s", hearing(samples=0), "heard", r"(sound|audio|samples)"),
    Case("no sound", hearing(kind="none"), "heard", r"no sound"),
    Case("the sound of a silent video", silent_video_as_prompt, "heard", r"no sound|no audio"),
    Case("NaN sound", hearing(kind="nan"), "heard", r"NaN"),
    Case("start after the end of the sound", hearing(start=100.0), "heard", r"100"),
    Case("foreign model", foreign_model, "sample", r"not AudioX"),
    Case("guidance on Turbo", sampling({"cfg": 4.0}), "sample", r"cfg.* 4.*distilled"),
    Case("latent of 10 s in KSampler", ksampling(SHORT), "sample", r"216.*236"),
    Case("latent of a picture", sampling(latent=PICTURE), "sample", r"expected \[.*236\]"),
    Case("latent of a picture in KSampler", ksampling(PICTURE), "sample", r"expected \[.*236\]"),
    Case("NaN latent", sampling(latent=NAN), "sample", r"not finite"),
    Case("empty batch", sampling(latent=NO_BATCH), "sample", r"\[0, 64, 236\]"),
    Case("long latent of another length in KSampler", ksampling(LONG), "sample", r"Use Empty AudioX Latent.*1292"),
    Case("video shorter than the sound", seeing(file="example.mp4", latent=30.0), "sample", r"10\.00 s.*seconds set"),
    Case(
        "loop to a video",
        seeing(file="example.mp4", latent=8.0, loop=True),
        "sample",
        r"a loop can't use a video",
    ),
    Case("a scale for the video on Turbo", sampling({"video_cfg": 3.0}), "sample", r"video_cfg.*cfg above 1"),
    Case("mask without a sound", masking(node("AudioXEmptyLatent", seconds=5.0)), "range", r"AudioX VAE Encode"),
    Case("range outside the sound", masking(start=9.0, end=12.0), "range", r"9 to 12 s.*5\.00 s"),
    Case("range that ends before it starts", masking(start=3.0, end=1.0), "range", r"change start or end"),
    Case("mask of a picture", masked_as_a_picture, "sample", r"AudioX Mask Time Range"),
    Case("room for 20 minutes", masking(after=600.0), "latent", r"at most 600 s"),
    Case("sound of nothing to work on", masking(kind="none"), "latent", r"no sound"),
    Case("1001 steps", sampling({"steps": 1001}), "sample", r"bigger than max"),
    Case("unknown sampler", sampling({"sampler": "magic"}), "sample", r"not in list.*magic"),
    Case("NaN latent to decode", decoding(value="nan"), "decode", r"not finite"),
    Case("latent with other channels to decode", decoding(channels=8), "decode", r"\[1, 8, 236\].*64"),
    Case("empty latent to decode", decoding(length=0), "decode", r"\[1, 64, 0\]"),
    Case("two audio prompts for one sound", hearing(batch=2), "sample", r"batch of 1.*2 prompts"),
    Case("no sound in the audio prompt's batch", hearing(batch=0), "heard", r"empty batch"),
    Case("no sound in the batch for the video", muxing(batch=0), "mux", r"empty batch"),
    Case("no sound for the video", muxing(kind="none"), "mux", r"no sound"),
    Case("sound of a silent video for the video", silent_video_as_sound, "mux", r"no sound"),
    Case("NaN sound for the video", muxing(kind="nan"), "mux", r"NaN"),
    Case("text as a video to put sound on", muxing("broken.mp4"), "mux", r"(read|open|video)"),
    Case("truncated video to put sound on", muxing("truncated.mp4"), "mux", r"(read|open|video)"),
]


NUMBERS = {
    "sample": (sampling(), ["cfg", "denoise", "cfg_rescale", "video_cfg"]),
    "latent": (sampling(), ["seconds"]),
    "range": (masking(), ["start", "end"]),
    "seen": (seeing(file="example.mp4"), ["fps", "start", "seconds"]),
    "heard": (hearing(), ["start", "seconds"]),
    "mux": (muxing(), ["gain_db", "offset", "start", "duration", "loudness"]),
    "decode": (decoding(), ["seconds"]),
}
"""Node of a prompt -> the prompt and every input of the node that takes a fraction."""

CASES += [
    Case(
        f"NaN for {name} of {at}",
        lambda at=at, name=name, prompt=prompt: with_nan(prompt(), at, name),
        at,
        f"{name}.*nan",
    )
    for at, (prompt, names) in NUMBERS.items()
    for name in names
] + [
    Case(
        f"NaN for {name} of VAE Encode",
        lambda name=name: with_nan(masking()(), "latent", name),
        "latent",
        f"{name}.*nan",
    )
    for name in ("before", "after")
]


@pytest.fixture(scope="module")
def bad(lab, released_dir, example_video, tmp_path_factory):
    """The server, with broken files in its folders."""
    folder = tmp_path_factory.mktemp("bad")
    model = (released_dir / "audiox_turbo" / "audiox_turbo.ckpt").read_bytes()
    (folder / "sounds.ckpt").write_bytes((released_dir / "pretransform" / "vae.ckpt").read_bytes())
    (folder / "text.safetensors").write_text("This is no model.\n" * 100, "utf-8")
    (folder / "text.ckpt").write_text("This is no model.\n" * 100, "utf-8")
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "truncated_turbo.ckpt").write_bytes(model[: len(model) // 2])
    t5 = (released_dir / "t5-base" / "model.safetensors").read_bytes()
    (folder / "truncated_turbo.safetensors").write_bytes(t5[: len(t5) // 2])
    (folder / "model.ckpt").write_bytes(model)
    lab.place_model(folder, name="bad")
    (folder / "broken.mp4").write_text("This is no video.\n" * 100, "utf-8")
    (folder / "truncated.mp4").write_bytes(example_video.read_bytes()[:2000])
    make_video(folder / "silent.mp4", count=30)
    make_video(folder / "one_frame.mp4", count=1, sound=tone(0.1))
    for name in ("broken.mp4", "truncated.mp4", "silent.mp4", "one_frame.mp4"):
        lab.place_input(folder / name)
    return lab


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_sentence_names_the_node(bad, case):
    prompt = case.prompt()
    with pytest.raises(PromptError) as caught:
        bad.run(prompt)
    error = caught.value
    assert (error.node_id, error.node_type) == (case.at, prompt[case.at]["class_type"])
    assert re.search(case.words, error.message, re.IGNORECASE | re.DOTALL), error.message
    assert bad.alive()
    if error.kind == "failed":
        assert error.exception_type.rpartition(".")[2] == "AudioXError", f"{error.exception_type}: {error.message}"
        assert re.fullmatch(r"[A-Z/'].{10,400}\.", error.message), error.message


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("empty text", lambda: text_to_latent(text="")),
        ("odd text", lambda: text_to_latent(text="\u96e8 (heavy:1.4) \\( \0 " + "rain " * 300)),
        ("eight channels", hearing(channels=8)),
        ("one channel", hearing(channels=1)),
        ("one sample", hearing(samples=1)),
        ("one frame", seeing(file="one_frame.mp4")),
        ("one image", seeing(images=IMAGE)),
        ("one image for 20 s", seeing(images=IMAGE, latent=20.0)),
        ("one image for a loop", seeing(images=IMAGE, latent=5.0, loop=True)),
        ("latent of 10 s", sampling(latent=SHORT)),
        ("latent of 60 s", sampling(latent=LONG)),
        ("one sample to work on", masking(samples=1, start=0.0, end=0.0)),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_odd_but_right(bad, name, prompt):
    assert run_latent(bad, prompt()).isfinite().all()


def test_no_number_is_left_out(bad):
    """A new input that takes a fraction belongs into NUMBERS."""
    tried = {(prompt()[at]["class_type"], name) for at, (prompt, names) in NUMBERS.items() for name in names}
    tried |= {("AudioXVAEEncode", "before"), ("AudioXVAEEncode", "after")}
    found = {
        (class_type, name)
        for class_type, info in bad.object_info().items()
        if class_type.startswith("AudioX")
        for group in ("required", "optional")
        for name, definition in info["input"].get(group, {}).items()
        if definition[0] == "FLOAT"
    }
    assert found == tried


def test_the_server_lives_on(bad):
    for case in CASES[8:12]:
        with pytest.raises(PromptError):
            bad.run(case.prompt())
    assert run_latent(bad, text_to_latent(BASE)).isfinite().all()
