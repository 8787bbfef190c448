"""The golden files of the other AudioX models that hold encoders and conditioners, by file name."""

import re

import torch

from audiox_core.media.frames import stride_ids
from audiox_core.media.pixels import resize_pictures
from audiox_core.models.encoders import encode_clip, encode_text, normalise_clip
from audiox_core.models.mel import log_mel, mel_filters
from audiox_core.models.synchformer import encode
from audiox_core.prompts import draw_masks
from devtools import seeded_weights as seeded
from devtools.parity import golden_models as models
from devtools.parity.golden_file import Golden, NotUnderstood

NOT_PASSED_ON = "a mask that upstream drops before the transformer"
NEARLY_EMPTY = 1e-4
"""Logarithms of bins with next to no energy in them, which differ between Fourier transforms."""
HALF_LEVEL = 0.51 / 255
"""Ours rounds resized pictures to whole levels."""


def of(golden: Golden, kind: str, name: str, *shape, scale: float = 1.0) -> torch.Tensor:
    """A seeded input of a golden file: noise, or frames."""
    seed = int(golden.metadata["seed"])
    made = seeded.frames(name, seed, *shape) if kind == "frames" else seeded.noise(name, seed, shape, scale)
    return torch.from_numpy(made)


def shifted(golden: Golden, name: str) -> torch.Tensor:
    """A conditioner's output as the files on fusion make it: noise around a mean."""
    return 0.7 * golden.input(name) + of(golden, "noise", f"{name}_mean", 1, 1, 768)


def vae(golden: Golden) -> None:
    model, latents = models.vae(), golden.input("latents")
    sound = of(golden, "noise", "audio", 1, 2, 20000, scale=0.3)
    golden.check("decoded", model.decode(latents))
    head = golden["decoder_first_conv"].shape[1]
    golden.check("decoder_first_conv", model.decoder.layers[0](latents)[:, :head])
    golden.check("encoder_output", model.encode_raw(sound))
    mean, std = model.encode_statistics(sound)
    golden.check("encoded", mean + std * of(golden, "noise", "vae/0", *mean.shape))
    golden.leave_out("snake", "a layer alone, with weights that no model has")


def text(golden: Golden) -> None:
    ids, mask = golden["ids"].long(), golden["attention_mask"].long()
    out = encode_text(models.t5(), ids, mask)
    golden.check("ids", golden["ids"])  # the inputs themselves
    golden.check("attention_mask", golden["attention_mask"])
    golden.check("out", out)
    golden.check("half", out[:2, : golden["half"].shape[1]], absolute=0.05)  # upstream's encoder runs in float16
    golden.leave_out("prompt_ids", "the tokenizer is not among the weights")


def video_v1(golden: Golden) -> None:
    model, clip = models.video_conditioner_v1(), of(golden, "frames", "video", 50)
    tokens = encode_clip(models.clip(), clip)
    golden.check("pixels_corner", normalise_clip(clip[:1])[..., :16, :16])
    per_frame = tokens.unflatten(1, (50, -1))
    golden.check("clip_hidden_frame0", per_frame[0, 0])
    positions = model.position_embedding.weight
    golden.check("temporal_in_position0", (per_frame[0, :, 0] + positions)[:, ::4])
    golden.check("temporal_out_position0", model.temporal(tokens).unflatten(1, (50, -1))[0, :, 0, ::4])
    out, empty = model(tokens), model.absent(tokens)
    golden.check("out", out)
    golden.check("zeros", empty[..., ::4])
    golden.check("pair", torch.cat((empty, out))[..., ::8])
    picture = of(golden, "frames", "image", 1) / 255  # upstream divides a picture by 255 once more
    golden.check("image", model(encode_clip(models.clip(), picture).repeat(1, 50, 1))[..., ::4])
    for name in ("mask", "pair_mask"):
        golden.leave_out(name, NOT_PASSED_ON)


def video_maf(golden: Golden) -> None:
    model = models.video_conditioner()
    tokens = encode_clip(models.clip(), of(golden, "frames", "video", 50))
    sync = golden.input("sync")
    golden.check("out", model(tokens, sync))
    golden.check("no_sync", model(tokens, torch.zeros_like(sync))[..., ::4])
    golden.check("zeros", model.absent(tokens)[..., ::4])


def audio_v1(golden: Golden) -> None:
    model = models.audio_conditioner_v1()
    noise = of(golden, "noise", "vae/0", 1, 64, 215)
    latent = models.with_noise(*models.prompt_statistics(int(golden.metadata["seed"])), noise)
    golden.check("latents", latent.transpose(1, 2))
    golden.check("out", model(latent))
    both = of(golden, "noise", "latent", 2, 64, 215)
    golden.check("pair", torch.cat((model.absent(both), model(both[1:])))[..., ::16])
    golden.leave_out("mask", NOT_PASSED_ON)
    # upstream doubles one channel before it encodes; the stored case has the latent in place of the encoder's
    golden.check("mono", model(of(golden, "noise", "latent", 1, 64, 215))[..., ::16])


def audio_maf(golden: Golden) -> None:
    model = models.mel_conditioner()
    sound = of(golden, "noise", "prompt", 1, 2, 66150, scale=0.3)
    filters = mel_filters(model.sizes.mels)
    golden.check("filter_bank", filters)
    if [i for i, filled in enumerate(filters.any(dim=0)) if not filled] != golden.json("empty filters"):
        raise NotUnderstood("other filters are empty")
    mel = log_mel(sound, model.sizes.mels)
    golden.check("mel", mel, NEARLY_EMPTY)
    golden.check("out", model(mel))
    silence = model.absent(mel)
    golden.check("zeros_head", silence[:, : golden["zeros_head"].shape[1]])
    if silence.shape[1] != golden.json("tokens for 10 s"):
        raise NotUnderstood(f"silence has {silence.shape[1]} tokens")
    generator = torch.Generator().manual_seed(int(golden.metadata["seed"]))
    ((first, length),) = draw_masks(1, mel.shape[-1], generator, shares=(0.7, 1.0))
    if [first, first + length] != golden.json("masked_span"):
        raise NotUnderstood(f"the masked span is {first} to {first + length}")
    masked = mel.clone()
    masked[..., first : first + length] = 0
    golden.check("masked", model(masked)[..., ::8])


def synchformer(golden: Golden) -> None:
    golden.check("out", encode(models.synchformer(), of(golden, "frames", "sync", 24)))


def context_v1(golden: Golden) -> None:
    prompts = Golden.read(golden.path.with_name("v1_text_conditioner.safetensors"))
    words = encode_text(models.t5(), prompts["ids"].long(), prompts["attention_mask"].long())
    video, audio = models.video_conditioner_v1(), models.audio_conditioner_v1()
    seen = video(encode_clip(models.clip(), of(golden, "frames", "video", 50)))
    heard = audio(of(golden, "noise", "latent", 1, 64, 215))
    nothing, silence = video.absent(words), audio.absent(words)
    golden.check("text+video+audio", torch.cat((seen, words[1:2], heard), dim=1))
    golden.check("text+video", torch.cat((seen, words[1:2], silence), dim=1)[..., ::16])
    golden.check("text", torch.cat((nothing, words[1:2], silence), dim=1)[..., ::16])
    golden.check("none", torch.cat((nothing, words[:1], silence), dim=1)[..., ::16])


def fusion(golden: Golden) -> None:
    model = models.maf(models.small.RELEASED.maf_depth)
    seen = {}
    hooks = [
        module.register_forward_hook(lambda module, inputs, out, name=name: seen.__setitem__(name, out))
        for name, module in (
            ("gates", model.gating_network),
            ("updated_experts", model.norm1),
            ("fused_experts", model.layers[-1]),
        )
    ]
    groups = [shifted(golden, name) for name in "abc"]  # text, video, audio
    out = model(*groups).split([group.shape[1] for group in groups], dim=1)
    for hook in hooks:
        hook.remove()
    golden.check("gates", torch.sigmoid(seen["gates"]))
    for name in ("updated_experts", "fused_experts"):
        golden.check(name, seen[name][..., ::8])
    for name, given, made in zip("abc", groups, out, strict=True):
        golden.check(f"added_{name}", (made - given)[:, 0])
        golden.check(f"out_{name}_head", made[:, : golden[f"out_{name}_head"].shape[1]])


def video_read(golden: Golden) -> None:
    for name, case in golden.json("cases").items():
        count = case["duration"] * case["target_fps"]
        ids = stride_ids(case["fps"], case["frames"], case["target_fps"], count, case["seek"])
        golden.check(f"count/{name}", torch.tensor(len(ids)))
        golden.check(f"ids/{name}", torch.tensor(ids[: len(golden[f"ids/{name}"])]))
        for tensor in golden.names:
            if found := re.fullmatch(rf"frame/{re.escape(name)}/(\d+)", tensor):
                source = ids[int(found[1])]
                picture = of(golden, "frames", f"clip{source}", 1, case["height"], case["width"])
                golden.check(tensor, resize_pictures(picture, 224)[0])
    picture = resize_pictures(of(golden, "frames", "picture", 1, 120, 200), 224)[0] / 255
    golden.check("image", picture[:, ::4, ::4], absolute=HALF_LEVEL)
    golden.check("image_count", torch.tensor(50))
    golden.check("none", torch.tensor(0.0))


FILES = {
    "v1_vae": vae,
    "v1_text_conditioner": text,
    "v1_video_conditioner": video_v1,
    "v1_audio_conditioner": audio_v1,
    "v1_context": context_v1,
    "v1_video_read": video_read,
    "maf_block": fusion,
    "maf_video_conditioner": video_maf,
    "maf_audio_conditioner": audio_maf,
    "maf_synchformer": synchformer,
}
