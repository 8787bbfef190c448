"""The shipped workflows: nodes and links of each, and the text of its note."""

from __future__ import annotations

from dataclasses import dataclass, field

from audiox_core.release.files import RELEASES

LOAD, PROMPT, SAMPLE, RESULT = "1 Load", "2 Prompt", "3 Sample", "4 Result"

VIDEO, SOUND, PICTURE = "example.mp4", "example.wav", "example.png"
CORE_LATENT_SECONDS = 11.0  # gives the model's 236 latents; 10 would give 216


MODEL_NOTES = {
    "turbo": "AudioX-Turbo takes 4 steps and gives 44.1 kHz stereo.",
    "base": "AudioX-Base, Turbo's teacher, takes 50 steps at guidance 6 and gives 44.1 kHz stereo.",
    "audiox": "The first AudioX takes 250 steps at guidance 7 and gives 44.1 kHz stereo.",
    "maf": "AudioX-MAF takes 250 steps at guidance 7 and gives 44.1 kHz stereo.",
    "maf-mmdit": "AudioX-MAF-MMDiT takes 250 steps at guidance 7 and gives 44.1 kHz stereo.",
}
"""Release (see `audiox_core.release.files`) -> how it is run."""


@dataclass(frozen=True)
class Link:
    """Output `slot` of the node `key`."""

    key: str
    slot: int = 0


@dataclass(frozen=True)
class Node:
    """One node: its class, its group, and the inputs that differ from their defaults."""

    type: str
    group: str
    inputs: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Workflow:
    """Nodes by key, in the order in which they run, and the text of the note. variant: a release."""

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
    """The loaders of the model and of the media."""
    loader = Node("AudioXLoad", LOAD, {"checkpoint": RELEASES[variant].checkpoint})
    return {"load": loader, **{key: LOADERS[key] for key in media}}


def words(text: str, key: str = "prompt", **inputs) -> dict[str, Node]:
    return {key: Node("AudioXEncodeText", PROMPT, {"clip": CLIP, "text": text, **inputs})}


def sampling(positive: Link, latent: dict[str, Node] | None = None, **inputs) -> dict[str, Node]:
    """AudioX's own sampling and decoding. latent: the nodes before them, the last of which gives the latent."""
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


# Generating from prompts


def text(variant: str, prompt: str, title: str) -> Workflow:
    """Text to a sound file, with AudioX's own nodes."""
    nodes = {**load(variant), **words(prompt), **sampling(Link("prompt")), **save_audio(variant, Link("sound"))}
    return Workflow(title, nodes, variant, "Turns the text in group 2 into 10 s of sound.")


def video(variant: str, prompt: str, title: str) -> Workflow:
    """Video and text to the same video with sound, with AudioX's own nodes."""
    nodes = {
        **load(variant, "video"),
        **words(prompt),
        "seen": encode_video(Link("prompt")),
        **sampling(Link("seen")),
        **save_video(variant, Link("sound")),
    }
    summary = (
        "Generates sound for the first 10 s of the video, guided by the text in group 2. The video stream is copied "
        "unchanged."
    )
    return Workflow(title, nodes, variant, summary)


def image(variant: str, prompt: str, title: str) -> Workflow:
    """An image to a sound file."""
    links = {"video_encoder": VIDEO_ENCODER, "images": Link("image"), "conditioning": Link("prompt")}
    nodes = {
        **load(variant, "image"),
        **words(prompt),
        "seen": Node("AudioXEncodeVideo", PROMPT, links),
        **sampling(Link("seen")),
        **save_audio(variant, Link("sound")),
    }
    return Workflow(title, nodes, variant, "Generates 10 s of sound from the image and the text in group 2.")


def sound_prompt(variant: str, prompt: str, title: str) -> Workflow:
    """A sound as the prompt for another one."""
    links = {"vae": VAE, "audio": Link("audio"), "conditioning": Link("prompt")}
    nodes = {
        **load(variant, "audio"),
        **words(prompt),
        "heard": Node("AudioXEncodeAudio", PROMPT, links),
        **sampling(Link("heard")),
        **save_audio(variant, Link("sound")),
    }
    summary = (
        "Generates 10 s of sound from the first 10 s of your audio and the text in group 2. For music, the models were "
        "trained to continue such a prompt. Turn on random_mask to do as the official code does."
    )
    return Workflow(title, nodes, variant, summary)


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
        "Generates sound for the whole video, up to 10 minutes. Its length goes from Encode Video Prompt to Empty "
        "AudioX Latent. Long sounds are built from overlapping windows of 10 s, denoised together."
    )
    return Workflow(title, nodes, variant, summary)


def loop(variant: str, prompt: str, title: str) -> Workflow:
    """A sound that loops without a seam."""
    latent = {"latent": Node("AudioXEmptyLatent", SAMPLE, {"seconds": 8.0, "loop": True})}
    nodes = {**load(variant), **words(prompt), **sampling(Link("prompt"), latent), **save_audio(variant, Link("sound"))}
    summary = "Generates 8 s of sound whose end runs seamlessly into its beginning, for games and ambience."
    return Workflow(title, nodes, variant, summary)


def guided_apart(variant: str, prompt: str, title: str) -> Workflow:
    """Video to audio with a negative prompt and a separate guidance scale for the video."""
    nodes = {
        **load(variant, "video"),
        "seen": Node("AudioXEncodeVideo", PROMPT, {"video_encoder": VIDEO_ENCODER, "video": Link("video")}),
        **words(prompt, conditioning=Link("seen")),
        **words("music, speech", key="avoid", conditioning=Link("seen")),
        **sampling(Link("prompt"), negative=Link("avoid"), video_cfg=4.0),
        **save_video(variant, Link("sound")),
    }
    summary = (
        "Generates sound for the first 10 s of the video. The video is encoded once and shared by both texts: what to "
        "hear, and what guidance avoids. video_cfg sets how strongly the video counts, cfg how strongly the text."
    )
    return Workflow(title, nodes, variant, summary)


# Editing a sound


def edited(variant: str, prompt: str, title: str, summary: str, *, mask: dict | None = None, **options) -> Workflow:
    """A sound varied, repaired or continued. options: inputs of VAE Encode, except denoise, which is the sampler's."""
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
    return Workflow(title, nodes, variant, summary)


VARIATION = "Generates a variation of your audio. denoise in group 3 sets how far it goes: 0.3 a little, 0.7 a lot."
INPAINTING = "Regenerates seconds 2 to 4 of your audio and keeps the rest sample for sample."
CONTINUATION = "Adds 10 s after your audio, which is kept sample for sample."
LEAD_IN = "Adds 5 s before your audio, which is kept sample for sample."


# With ComfyUI's own nodes after the loader


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
    """Text to a sound file; the loader is the only node of ours."""
    nodes = {
        **load(variant),
        "prompt": Node("CLIPTextEncode", PROMPT, {"clip": CLIP, "text": prompt}),
        **core_sampling(variant, Link("prompt")),
        **save_audio(variant, Link("cut"), "SaveAudio"),
    }
    summary = (
        "Turns the text into 10 s of sound with ComfyUI's own nodes after Load AudioX. Leave Empty Latent Audio at "
        "11 s, one window of this model; Trim Audio Duration cuts the sound to 10 s."
    )
    return Workflow(title, nodes, variant, summary)


def video_core(variant: str, prompt: str, title: str) -> Workflow:
    """Video and text to the video with sound; of our nodes only the loader, the video prompt and the muxer."""
    nodes = {
        **load(variant, "video"),
        "prompt": Node("CLIPTextEncode", PROMPT, {"clip": CLIP, "text": prompt}),
        "seen": encode_video(Link("prompt")),
        **core_sampling(variant, Link("seen")),
        **save_video(variant, Link("cut")),
    }
    summary = (
        "Generates sound for the first 10 s of the video, guided by the text, with ComfyUI's own sampling and "
        "decoding. Leave Empty Latent Audio at 11 s, one window of this model. Mux Video copies the video stream; "
        "Create Video would re-encode it."
    )
    return Workflow(title, nodes, variant, summary)


def inpainting_core(variant: str, prompt: str, title: str) -> Workflow:
    """A time range regenerated by KSampler."""
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
    return Workflow(title, nodes, variant, INPAINTING)


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
    "long_v2a_turbo": long_video("turbo", GENERAL, "Audio for a whole video"),
    "loop_turbo": loop("turbo", "Rain on a tin roof", "A seamless loop"),
    "variation_turbo": edited("turbo", TYPING, "Variation of a sound", VARIATION, denoise=0.5),
    "inpaint_turbo": edited("turbo", TYPING, "Regenerate a time range", INPAINTING, mask={"start": 2.0, "end": 4.0}),
    "continue_turbo": edited("turbo", PIANO, "Continue a sound", CONTINUATION, after=10.0),
    "lead_in_turbo": edited("turbo", PIANO, "Add a lead-in", LEAD_IN, before=5.0),
    "t2a_base": text("base", TYPING, "Text to audio"),
    "v2a_base": video("base", GENERAL, "Video to audio"),
    "v2a_base_guided": guided_apart("base", GENERAL, "Video to audio with a negative prompt"),
    "inpaint_base": edited("base", TYPING, "Regenerate a time range", INPAINTING, mask={"start": 2.0, "end": 4.0}),
    "t2a_audiox": text("audiox", TYPING, "Text to audio"),
    "v2a_audiox": video("audiox", GENERAL, "Video to audio"),
    "t2a_maf": text("maf", TYPING, "Text to audio"),
    "v2a_maf": video("maf", GENERAL, "Video to audio"),
    "t2a_maf_mmdit": text("maf-mmdit", TYPING, "Text to audio"),
    "v2a_maf_mmdit": video("maf-mmdit", GENERAL, "Video to audio"),
    "inpaint_maf_mmdit": edited(
        "maf-mmdit", TYPING, "Regenerate a time range", INPAINTING, mask={"start": 2.0, "end": 4.0}
    ),
    "t2a_turbo_core_nodes": text_core("turbo", TYPING, "Text to audio"),
    "t2a_base_core_nodes": text_core("base", TYPING, "Text to audio"),
    "t2a_audiox_core_nodes": text_core("audiox", TYPING, "Text to audio"),
    "v2a_turbo_core_nodes": video_core("turbo", GENERAL, "Video to audio"),
    "v2a_base_core_nodes": video_core("base", GENERAL, "Video to audio"),
    "inpaint_turbo_core_nodes": inpainting_core("turbo", TYPING, "Regenerate a time range"),
    "inpaint_audiox_core_nodes": inpainting_core("audiox", TYPING, "Regenerate a time range"),
}
