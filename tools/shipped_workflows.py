"""What the shipped workflows are made of: nodes and links of each, and the words of its note."""

from __future__ import annotations

from dataclasses import dataclass, field

from audiox_core.release.files import RELEASES

LOAD, PROMPT, SAMPLE, RESULT = "1 Load", "2 Prompt", "3 Sample", "4 Result"

VIDEO, SOUND, PICTURE = "example.mp4", "example.wav", "example.png"
CORE_LATENT_SECONDS = 11.0  # gives the model's 236 latents; 10 would give 216


WORDS = {
    "turbo": "44.1 kHz stereo sound, by AudioX-Turbo in 4 steps.",
    "base": "44.1 kHz stereo sound, by AudioX-Base, the teacher, in 50 steps with guidance 6.",
    "audiox": "44.1 kHz stereo sound, by the first AudioX in 250 steps with guidance 7.",
    "maf": "44.1 kHz stereo sound, by AudioX-MAF in 250 steps with guidance 7.",
    "maf-mmdit": "44.1 kHz stereo sound, by AudioX-MAF-MMDiT in 250 steps with guidance 7.",
}
"""Release (see `audiox_core.weights`) -> what it makes."""


@dataclass(frozen=True)
class Link:
    """Output `slot` of the node called `key`."""

    key: str
    slot: int = 0


@dataclass(frozen=True)
class Node:
    """One node: its class, the group it stands in, and the inputs that are not left at their defaults."""

    type: str
    group: str
    inputs: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Workflow:
    """Nodes by key, in the order in which they run, and the words of the note. variant: a release."""

    title: str
    nodes: dict[str, Node]
    variant: str
    summary: str


MODEL, VAE, CLIP, VIDEO_ENCODER = (Link("load", slot) for slot in range(4))

LOADERS = {
    "video": Node("LoadVideo", LOAD, {"file": VIDEO}),
    "audio": Node("LoadAudio", LOAD, {"audio": SOUND}),
    "image": Node("LoadImage", LOAD, {"image": PICTURE}),
}


def load(variant: str, *media: str) -> dict[str, Node]:
    """The loader of the model, and of what else is read."""
    loader = Node("AudioXLoad", LOAD, {"checkpoint": RELEASES[variant].checkpoint})
    return {"load": loader, **{key: LOADERS[key] for key in media}}


def words(text: str, key: str = "prompt", **inputs) -> dict[str, Node]:
    return {key: Node("AudioXEncodeText", PROMPT, {"clip": CLIP, "text": text, **inputs})}


def sampling(positive: Link, latent: dict[str, Node] | None = None, **inputs) -> dict[str, Node]:
    """AudioX's own sampling and decoding; `latent` are the nodes that make the latent, the last one gives it."""
    latent = latent or {"latent": Node("AudioXEmptyLatent", SAMPLE)}
    links = {"model": MODEL, "positive": positive, "latent": Link(list(latent)[-1])}
    return {
        **latent,
        "sample": Node("AudioXSample", SAMPLE, {**links, **inputs}),
        "sound": Node("AudioXVAEDecode", RESULT, {"vae": VAE, "latent": Link("sample")}),
    }


def save_audio(variant: str, sound: Link, node: str = "AudioXSaveSound") -> dict[str, Node]:
    return {"save": Node(node, RESULT, {"audio": sound, "filename_prefix": f"audio/audiox_{variant}"})}


def save_video(variant: str, sound: Link) -> dict[str, Node]:
    return {
        "mux": Node("AudioXMuxVideo", RESULT, {"video": Link("video"), "audio": sound}),
        "save": Node("SaveVideo", RESULT, {"video": Link("mux"), "filename_prefix": f"video/audiox_{variant}"}),
    }


def encode_video(conditioning: Link, **inputs) -> Node:
    links = {"video_encoder": VIDEO_ENCODER, "video": Link("video"), "conditioning": conditioning}
    return Node("AudioXEncodeVideo", PROMPT, {**links, **inputs})


# From nothing but prompts


def text(variant: str, prompt: str, title: str) -> Workflow:
    """Text to a sound file, with AudioX's own nodes."""
    nodes = {**load(variant), **words(prompt), **sampling(Link("prompt")), **save_audio(variant, Link("sound"))}
    return Workflow(title, nodes, variant, f"The text in group 2 becomes 10 s of {WORDS[variant]}")


def video(variant: str, prompt: str, title: str) -> Workflow:
    """Video and text to the video with sound, with AudioX's own nodes."""
    nodes = {
        **load(variant, "video"),
        **words(prompt),
        "seen": encode_video(Link("prompt")),
        **sampling(Link("seen")),
        **save_video(variant, Link("sound")),
    }
    summary = "The first 10 s of the video and the text in group 2 become {} The pictures are copied as they are."
    return Workflow(title, nodes, variant, summary.format(WORDS[variant]))


def image(variant: str, prompt: str, title: str) -> Workflow:
    """A picture to a sound file."""
    links = {"video_encoder": VIDEO_ENCODER, "images": Link("image"), "conditioning": Link("prompt")}
    nodes = {
        **load(variant, "image"),
        **words(prompt),
        "seen": Node("AudioXEncodeVideo", PROMPT, links),
        **sampling(Link("seen")),
        **save_audio(variant, Link("sound")),
    }
    summary = f"The picture and the text in group 2 become 10 s of {WORDS[variant]}"
    return Workflow(title, nodes, variant, summary)


def sound_prompt(variant: str, prompt: str, title: str) -> Workflow:
    """A sound as a prompt to another one."""
    links = {"vae": VAE, "audio": Link("audio"), "conditioning": Link("prompt")}
    nodes = {
        **load(variant, "audio"),
        **words(prompt),
        "heard": Node("AudioXEncodeAudio", PROMPT, links),
        **sampling(Link("heard")),
        **save_audio(variant, Link("sound")),
    }
    summary = (
        "The first 10 s of the sound are a prompt, beside the text in group 2, to 10 s of {} Music was trained to go "
        "on from its prompt. Turn on random_mask for what upstream does."
    )
    return Workflow(title, nodes, variant, summary.format(WORDS[variant]))


def long_video(variant: str, prompt: str, title: str) -> Workflow:
    """A video of any length up to 10 minutes."""
    latent = {"latent": Node("AudioXEmptyLatent", SAMPLE, {"seconds": Link("seen", 1)})}
    nodes = {
        **load(variant, "video"),
        **words(prompt),
        "seen": encode_video(Link("prompt"), seconds=0.0),
        **sampling(Link("seen"), latent),
        **save_video(variant, Link("sound")),
    }
    summary = (
        "The whole video, up to 10 minutes, becomes {} The sound is as long as the video: its length goes from Encode "
        "Video Prompt to Empty AudioX Latent. It is made in windows of 10 s that overlap and are denoised together."
    )
    return Workflow(title, nodes, variant, summary.format(WORDS[variant]))


def loop(variant: str, prompt: str, title: str) -> Workflow:
    """A sound without beginning and end."""
    latent = {"latent": Node("AudioXEmptyLatent", SAMPLE, {"seconds": 8.0, "loop": True})}
    nodes = {**load(variant), **words(prompt), **sampling(Link("prompt"), latent), **save_audio(variant, Link("sound"))}
    summary = f"8 s of sound whose end meets its beginning, for games and ambience: {WORDS[variant]}"
    return Workflow(title, nodes, variant, summary)


def guided_apart(variant: str, prompt: str, title: str) -> Workflow:
    """Video to audio with words to avoid, and a scale of its own for the video."""
    nodes = {
        **load(variant, "video"),
        "seen": Node("AudioXEncodeVideo", PROMPT, {"video_encoder": VIDEO_ENCODER, "video": Link("video")}),
        **words(prompt, conditioning=Link("seen")),
        **words("music, speech", key="avoid", conditioning=Link("seen")),
        **sampling(Link("prompt"), negative=Link("avoid"), video_cfg=4.0),
        **save_video(variant, Link("sound")),
    }
    summary = (
        "The first 10 s of the video become {} The video is encoded once and goes into both texts: what is wanted, and "
        "what guidance steers away from. video_cfg says how strongly the video counts, cfg how strongly the text."
    )
    return Workflow(title, nodes, variant, summary.format(WORDS[variant]))


# Working on a sound


def edited(variant: str, prompt: str, title: str, summary: str, *, mask: dict | None = None, **options) -> Workflow:
    """A sound that is varied, mended or continued. options: of VAE Encode, but denoise, which is the sampler's."""
    denoise = {"denoise": options.pop("denoise")} if "denoise" in options else {}
    latent = {"latent": Node("AudioXVAEEncode", SAMPLE, {"vae": VAE, "audio": Link("audio"), **options})}
    if mask:
        latent["range"] = Node("AudioXMaskRange", SAMPLE, {"latent": Link("latent"), **mask})
    nodes = {
        **load(variant, "audio"),
        **words(prompt),
        **sampling(Link("prompt"), latent, **denoise),
        **save_audio(variant, Link("sound")),
    }
    return Workflow(title, nodes, variant, summary.format(WORDS[variant]))


VARIATION = "The sound becomes another one like it: denoise says how far it may go. It is {}"
INPAINTING = "2 s of the sound, from second 2 to second 4, are made anew; all else is kept to the sample. It is {}"
CONTINUATION = "10 s are added after the sound, which itself is kept to the sample: {}"
LEAD_IN = "5 s are added before the sound, which itself is kept to the sample: {}"


# ComfyUI's own nodes behind the loader


CORE_SETTINGS = {
    "turbo": {"steps": 4, "cfg": 1.0, "sampler_name": "lcm", "scheduler": "simple"},
    "base": {"steps": 50, "cfg": 6.0, "sampler_name": "euler", "scheduler": "simple"},
    "audiox": {"steps": 250, "cfg": 7.0, "sampler_name": "dpmpp_3m_sde", "scheduler": "exponential"},
}


def core_sampling(variant: str, positive: Link) -> dict[str, Node]:
    links = {"model": MODEL, "positive": positive, "negative": Link("nothing"), "latent_image": Link("latent")}
    return {
        "nothing": Node("ConditioningZeroOut", PROMPT, {"conditioning": positive}),
        "latent": Node("EmptyLatentAudio", SAMPLE, {"seconds": CORE_LATENT_SECONDS}),
        "sample": Node("KSampler", SAMPLE, {**links, **CORE_SETTINGS[variant]}),
        "sound": Node("VAEDecodeAudio", RESULT, {"vae": VAE, "samples": Link("sample")}),
        "cut": Node("TrimAudioDuration", RESULT, {"audio": Link("sound"), "duration": 10.0}),
    }


def text_core(variant: str, prompt: str, title: str) -> Workflow:
    """Text to a sound file; of our nodes only the loader."""
    nodes = {
        **load(variant),
        "prompt": Node("CLIPTextEncode", PROMPT, {"clip": CLIP, "text": prompt}),
        **core_sampling(variant, Link("prompt")),
        **save_audio(variant, Link("cut"), "SaveAudio"),
    }
    summary = (
        "Nodes of ComfyUI only, behind Load AudioX: the text becomes {} Empty Latent Audio must stay at 11 s, one "
        "window of this model; Trim Audio Duration cuts it to 10."
    )
    return Workflow(title, nodes, variant, summary.format(WORDS[variant]))


def video_core(variant: str, prompt: str, title: str) -> Workflow:
    """Video and text to the video with sound; of our nodes the loader, the video prompt and the muxer."""
    nodes = {
        **load(variant, "video"),
        "prompt": Node("CLIPTextEncode", PROMPT, {"clip": CLIP, "text": prompt}),
        "seen": encode_video(Link("prompt")),
        **core_sampling(variant, Link("seen")),
        **save_video(variant, Link("cut")),
    }
    summary = (
        "ComfyUI's own sampling and decoding: the first 10 s of the video and the text become {} Empty Latent Audio "
        "must stay at 11 s, one window of this model. Mux copies the pictures; Create Video would encode them anew."
    )
    return Workflow(title, nodes, variant, summary.format(WORDS[variant]))


def inpainting_core(variant: str, prompt: str, title: str) -> Workflow:
    """A time range made anew by KSampler."""
    latent = {"vae": VAE, "audio": Link("audio")}
    links = {"model": MODEL, "positive": Link("prompt"), "negative": Link("nothing"), "latent_image": Link("range")}
    nodes = {
        **load(variant, "audio"),
        **words(prompt),
        "nothing": Node("ConditioningZeroOut", PROMPT, {"conditioning": Link("prompt")}),
        "latent": Node("AudioXVAEEncode", SAMPLE, latent),
        "range": Node("AudioXMaskRange", SAMPLE, {"latent": Link("latent"), "start": 2.0, "end": 4.0}),
        "sample": Node("KSampler", SAMPLE, {**links, **CORE_SETTINGS[variant]}),
        "sound": Node("AudioXVAEDecode", RESULT, {"vae": VAE, "latent": Link("sample")}),
        **save_audio(variant, Link("sound")),
    }
    return Workflow(title, nodes, variant, INPAINTING.format(WORDS[variant]))


GENERAL, MUSIC = "Generate general audio for the video", "Generate music for the video"
TYPING, PIANO = "Typing on a keyboard", "A music with piano and violin"

WORKFLOWS = {
    "t2a_turbo": text("turbo", TYPING, "Text to audio"),
    "t2m_turbo": text("turbo", PIANO, "Text to music"),
    "v2a_turbo": video("turbo", GENERAL, "Video to audio"),
    "v2m_turbo": video("turbo", MUSIC, "Video to music"),
    "tv2a_turbo": video("turbo", "Ocean waves crashing with people laughing", "Text and video to audio"),
    "tv2m_turbo": video("turbo", "Generate music with piano instrument", "Text and video to music"),
    "i2a_turbo": image("turbo", GENERAL, "Image to audio"),
    "a2m_turbo": sound_prompt("turbo", PIANO, "Audio prompt to music"),
    "long_v2a_turbo": long_video("turbo", GENERAL, "A whole video to audio"),
    "loop_turbo": loop("turbo", "Rain on a tin roof", "A seamless loop"),
    "variation_turbo": edited("turbo", TYPING, "Variation of a sound", VARIATION, denoise=0.5),
    "inpaint_turbo": edited("turbo", TYPING, "A time range anew", INPAINTING, mask={"start": 2.0, "end": 4.0}),
    "continue_turbo": edited("turbo", PIANO, "A sound continued", CONTINUATION, after=10.0),
    "lead_in_turbo": edited("turbo", PIANO, "A sound led up to", LEAD_IN, before=5.0),
    "t2a_base": text("base", TYPING, "Text to audio"),
    "v2a_base": video("base", GENERAL, "Video to audio"),
    "v2a_base_guided": guided_apart("base", GENERAL, "Video to audio, guided"),
    "inpaint_base": edited("base", TYPING, "A time range anew", INPAINTING, mask={"start": 2.0, "end": 4.0}),
    "t2a_audiox": text("audiox", TYPING, "Text to audio"),
    "v2a_audiox": video("audiox", GENERAL, "Video to audio"),
    "t2a_maf": text("maf", TYPING, "Text to audio"),
    "v2a_maf": video("maf", GENERAL, "Video to audio"),
    "t2a_maf_mmdit": text("maf-mmdit", TYPING, "Text to audio"),
    "v2a_maf_mmdit": video("maf-mmdit", GENERAL, "Video to audio"),
    "inpaint_maf_mmdit": edited("maf-mmdit", TYPING, "A time range anew", INPAINTING, mask={"start": 2.0, "end": 4.0}),
    "t2a_turbo_core_nodes": text_core("turbo", TYPING, "Text to audio"),
    "t2a_base_core_nodes": text_core("base", TYPING, "Text to audio"),
    "t2a_audiox_core_nodes": text_core("audiox", TYPING, "Text to audio"),
    "v2a_turbo_core_nodes": video_core("turbo", GENERAL, "Video to audio"),
    "v2a_base_core_nodes": video_core("base", GENERAL, "Video to audio"),
    "inpaint_turbo_core_nodes": inpainting_core("turbo", TYPING, "A time range anew"),
    "inpaint_audiox_core_nodes": inpainting_core("audiox", TYPING, "A time range anew"),
}
