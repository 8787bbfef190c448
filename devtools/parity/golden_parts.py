"""What each kind of golden file holds, computed by our models from the inputs that its metadata describes."""

import re

import torch

from audiox_core import prompts, sampling
from audiox_core.media.audio import resample
from audiox_core.media.frames import stride_ids
from audiox_core.media.pixels import resize_pictures
from audiox_core.models.conditioners import project_rows
from audiox_core.models.encoders import encode_clip, encode_text
from audiox_core.models.synchformer import encode, normalise, segments
from devtools.parity import golden_models as models
from devtools.parity.golden_file import Golden, NotUnderstood
from devtools.parity.golden_models import guided, with_noise

SECOND = 44100
KEPT = 10 * SECOND
"""Samples of a decoded sound that upstream keeps."""


def vae(golden: Golden) -> None:
    model = models.vae()
    raw_mean, scale = model.encode_raw(golden.input("audio")).chunk(2, dim=1)
    mean, std = model.encode_statistics(golden.input("audio"))
    golden.check("mean", raw_mean)
    golden.check("scale", scale)
    golden.check("latent", with_noise(mean, std, golden.input("eps")))
    golden.check("mean_odd", model.encode(golden.input("audio_odd")))
    golden.check("decoded", model.decode(golden.input("latent_in")))
    golden.check("decoded_latent", model.decode(golden["latent"]))


def synchformer(golden: Golden) -> None:
    model = models.synchformer()
    frames = golden.input("frames")
    if "segment0_normed" in golden.names:
        step = int(number_in(golden.notes["segment0_normed"], r"every (\d+)th"))
        first = normalise(segments(frames, model.sizes.segment_frames)[:1])
        golden.check("segment0_normed", model.patch_features(first)[:, ::step])
    golden.check("features", encode(model, frames))


def text(golden: Golden) -> None:
    ids = golden["ids"]
    golden.check("ids", ids)  # the input itself
    mask = (ids != 0).to(ids.dtype)  # padding is 0 and nothing else is
    golden.check("mask", mask)
    out = encode_text(models.t5(), ids, mask)
    golden.check("out", out)
    if out[mask == 0].any():
        raise NotUnderstood("rows of padding are not zero")


def video(golden: Golden) -> None:
    model = models.video_conditioner()
    sizes = model.sizes
    tokens = encode_clip(models.clip(), golden.input("frames"))  # (1, 2500, 768)
    hidden = tokens.unflatten(1, (sizes.frames, -1))[0]
    mixed = model.temporal(tokens)
    sync = golden.input("sync")
    golden.check("clip_hidden_first", hidden[:1])
    golden.check("clip_hidden_last", hidden[-1:, : golden["clip_hidden_last"].shape[1]])
    golden.check("temporal_token0", mixed.unflatten(1, (sizes.frames, -1))[:, :, 0])
    for name, rows, proj in (("proj_head", mixed, model.proj), ("proj_sync_head", sync, model.proj_sync)):
        golden.check(name, project_rows(rows, proj).reshape(sizes.width, -1)[: len(golden[name])])
    golden.check("out", model(tokens, sync))
    golden.check("empty", model.empty_tokens.weight[None])


def preprocess(golden: Golden) -> None:
    cases = golden.inputs["ids"]["cases"]
    for name in golden.names:
        if found := re.fullmatch(r"ids/(\d+)/(\d+)fps/start(\d+)", name):
            case, fps, start = map(int, found.groups())
            recipe = cases[case]
            golden.check(name, torch.tensor(stride_ids(recipe["fps"], recipe["frames"], fps, 10 * fps, float(start))))
        elif name.startswith("resized/"):
            golden.check(name, resize_pictures(golden.input(name), golden[name].shape[-1]))


def audio(golden: Golden) -> None:
    vae, model = models.vae(), models.audio_conditioner()
    wave = golden.input("wave")
    eps = golden.input("eps")
    mean, std = vae.encode_statistics(wave)
    golden.check("mean", mean)
    golden.check("out_noiseless", model(mean))
    golden.check("out", model(with_noise(mean, std, eps)))
    golden.check("mean_silence", model.silence_mean[None])
    golden.check("out_silence_noiseless", model(model.silence_mean[None]))
    golden.check("out_silence", model(with_noise(model.silence_mean[None], model.silence_std[None], eps)))
    if "out_mono_noiseless_head" in golden.names:
        head = golden["out_mono_noiseless_head"].shape[1]
        mono = wave[:, :1].expand(-1, 2, -1)
        golden.check("out_mono_noiseless_head", model(vae.encode(mono))[:, :head])
    if "masked_case" in golden.metadata:
        generator = torch.Generator().manual_seed(golden.json("masked_case")["torch_manual_seed"])
        masked = vae.encode_statistics(prompts.mask_prompt(wave, generator))
        noise = torch.randn(mean.shape, generator=generator)
        golden.check("masked_eps", noise)
        golden.check("out_masked", model(with_noise(*masked, noise)))
    resampling(golden)


def resampling(golden: Golden) -> None:
    for name in golden.names:
        if found := re.fullmatch(r"resampled_(\d+)_to_(\d+)", name):
            golden.check(name, resample(golden.input("resample_in"), int(found[1]), int(found[2])))


def maf(golden: Golden) -> None:
    depth = re.search(r"(\d+) fusion layers", golden.metadata["config"])
    model = models.maf(int(depth[1]) if depth else models.small.RELEASED.maf_depth)
    tokens = [golden.input(f"{name}_prompt") for name in ("text", "video", "audio")]
    context = model(*tokens)
    golden.check("context", context)
    shift = (context - torch.cat(tokens, dim=1)).unflatten(1, (3, -1))  # one vector for all tokens of a modality
    golden.check("shift", shift[0, :, 0])


def transformer(golden: Golden) -> None:
    model = models.transformer(golden.depth)
    context = golden.input("context")
    modulation = model.prepare(context)
    if "v2" in golden.names:
        both = model.prepare(golden.input("context2"))
        golden.check("v2", model(golden.input("x2"), torch.tensor(golden.inputs["t2"]), both))
    for name in golden.names:
        if name.startswith("v/t="):
            time = torch.tensor([float(name.removeprefix("v/t="))])
            golden.check(name, model(golden.input("x"), time, modulation))
        elif found := re.fullmatch(r"block(\d+)", name):
            residual_stream(golden, name, model, int(found[1]), modulation)
    if "cfg" in golden.inputs:
        guidance(golden, model, modulation)
    if "dmd_final" in golden.names:
        fresh = sorted(name for name in golden.inputs if name.startswith("fresh"))
        noises = [golden.input(name) for name in fresh]
        golden.check("dmd_final", few_steps(model, modulation, golden.input("noise"), noises)[0])


def residual_stream(golden: Golden, name: str, model, index: int, modulation) -> None:
    note = golden.notes[name]
    time = torch.tensor([number_in(note, r"t=([\d.]*\d)")])
    tokens, channels = (int(number_in(note, rf"every (\d+)th {what}")) for what in ("of", "channel"))
    seen = []
    hook = model.layers[index].register_forward_hook(lambda layer, inputs, out: seen.append(out))
    model(golden.input("x"), time, modulation)
    hook.remove()
    golden.check(name, seen[0][:, ::tokens, ::channels])


def guidance(golden: Golden, model, modulation) -> None:
    settings = golden.inputs["cfg"]
    x, time = golden.input("x"), torch.tensor([settings["t"]])

    def against(context: torch.Tensor) -> torch.Tensor:
        return guided(model, torch.cat((modulation, model.prepare(context))), settings["cfg_scale"])(x, time)

    null = against(torch.zeros_like(golden.input("context")))
    golden.check("cfg_null", null)
    golden.check("cfg_negative", against(golden.input("negative")))
    conditioned = model(x, time, modulation)
    golden.check("cfg_rescaled", sampling.rescale_guidance(null, conditioned, settings["scale_phi"]))


def few_steps(model, modulation, noise, fresh):
    """Latent, states and estimates of the few-step sampler with the given noises."""
    noises = iter(fresh)
    states, estimates = [], []
    denoise = recorded(sampling.from_velocity(guided(model, modulation, 1)), states)
    sigmas = sampling.flow_sigmas(len(fresh) + 1)
    out = sampling.sample_renoise(
        denoise, noise, sigmas, lambda x, *step: next(noises), lambda i, n, x0: estimates.append(x0)
    )
    return out, states, estimates


def many_steps(model, modulation, start, *, steps: int, scale: float, sigma_max: float = 1.0):
    """Latent and states of the Euler sampler."""
    states = []
    denoise = recorded(sampling.from_velocity(guided(model, modulation, scale)), states)
    sigmas = sampling.flow_sigmas(steps, sigma_max)
    return sampling.sample_euler(denoise, start, sigmas, noise=torch.randn_like), states


def recorded(denoise, states: list):
    def recording(x: torch.Tensor, sigma: float) -> torch.Tensor:
        states.append(x)
        return denoise(x, sigma)

    return recording


def few_step_sampler(golden: Golden) -> None:
    model = models.transformer(golden.depth)
    modulation = model.prepare(golden.input("context"))
    noise = golden.input("noise")
    fresh = [golden.input(f"fresh{i}") for i in range(golden.config["steps"] - 1)]
    for i, drawn in enumerate(fresh):
        golden.check(f"fresh{i}", drawn)
    final, states, estimates = few_steps(model, modulation, noise, fresh)
    golden.check("final", final)
    for i, (state, estimate) in enumerate(zip(states, estimates, strict=True)):
        golden.check(f"z{i}", state)
        golden.check(f"x0_{i}", estimate)
    for name in golden.names:
        if found := re.fullmatch(r"final_(\d+)_steps", name):
            golden.check(name, few_steps(model, modulation, noise, fresh[: int(found[1]) - 1])[0])


def multi_step_sampler(golden: Golden) -> None:
    model = models.transformer(golden.depth)
    context, noise = golden.input("context"), golden.input("noise")
    modulation = model.prepare(context)
    pair = torch.cat((modulation, model.prepare(torch.zeros_like(context))))
    final, states = many_steps(model, pair, noise, steps=golden.config["steps"], scale=golden.config["cfg_scale"])
    golden.check("final", final)
    for i, state in enumerate(states[1:], start=1):
        golden.check(f"x{i}", state)
    for name in ("final_no_cfg", "final_init"):
        if name not in golden.names:
            continue
        note = golden.notes[name]
        steps = number_in(note, r"steps=(\d+)")
        scale = number_in(note, r"cfg_scale=([\d.]+)", golden.config["cfg_scale"])
        sigma = number_in(note, r"sigma_max ([\d.]+)", 1)
        start = golden.input("init") * (1 - sigma) + noise * sigma if sigma < 1 else noise
        contexts = modulation if scale == 1 else pair
        out = many_steps(model, contexts, start, steps=int(steps), scale=scale, sigma_max=sigma)[0]
        golden.check(name, out)


def end_to_end(golden: Golden) -> None:
    model = models.transformer(golden.depth)
    generator = torch.Generator().manual_seed(int(golden.metadata["torch_manual_seed"]))
    latent_shape = golden["noise"].shape
    noise = torch.randn(latent_shape, generator=generator)
    golden.check("noise", noise)
    wave = golden.input("wave")
    uniform = torch.rand(1, generator=replay_from(generator)).item()
    ((first, _),) = prompts.draw_masks(1, wave.shape[-1], replay_from(generator))
    golden.check("mask_draws", torch.tensor([uniform, first], dtype=torch.float64))
    masked = prompts.mask_prompt(wave, generator)
    vae, audio = models.vae(), models.audio_conditioner()
    vae_noise = torch.randn(golden["vae_noise"].shape, generator=generator)
    golden.check("vae_noise", vae_noise)
    fresh = [torch.randn(latent_shape, generator=generator) for _ in range(golden.config["steps"] - 1)]
    for i, drawn in enumerate(fresh):
        golden.check(f"fresh{i}", drawn)

    ids = golden["ids"]
    golden.check("ids", ids)  # the input itself
    padded = torch.nn.functional.pad(ids, (0, 128 - len(ids)))[None]
    words = encode_text(models.t5(), padded, (padded != 0).long())
    video = models.video_conditioner()
    seen = video(encode_clip(models.clip(), golden.input("frames")), golden.input("sync"))
    heard = audio(with_noise(*vae.encode_statistics(masked), vae_noise))
    silence = audio(with_noise(audio.silence_mean[None], audio.silence_std[None], vae_noise))
    fusion = models.maf(models.small.RELEASED.maf_depth)
    every = model.prepare(fusion(words, seen, heard))
    latent = few_steps(model, every, noise, fresh)[0]
    golden.check("all/latent", latent)
    alone = model.prepare(fusion(words, video.empty_tokens.weight[None], silence))
    golden.check("text/latent", few_steps(model, alone, noise, fresh)[0])
    base = golden.json("base")
    null = model.prepare(torch.zeros(1, model.sizes.context_tokens, model.sizes.context_width))
    pair = torch.cat((every, null))
    out = many_steps(model, pair, noise, steps=base["steps"], scale=base["cfg_scale"])[0]
    golden.check("base/latent", out)
    sound(golden, vae.decode(latent))


def sound(golden: Golden, decoded: torch.Tensor) -> None:
    """Samples, peak and levels of a decoded sound, of which upstream keeps the first 10 s."""
    kept = decoded[..., :KEPT]
    part = golden["audio_start"].shape[-1]
    golden.check("audio_start", kept[..., :part])
    golden.check("audio_middle", kept[..., KEPT // 2 : KEPT // 2 + part])
    golden.check("audio_end", kept[..., -part:])
    golden.check("audio_peak", kept.abs().amax()[None])
    golden.check("audio_rms", kept[0].unflatten(-1, (10, SECOND)).square().mean(-1).sqrt())


def replay_from(generator: torch.Generator) -> torch.Generator:
    """A generator that draws what this one would draw next."""
    copy = torch.Generator()
    copy.set_state(generator.get_state())
    return copy


def number_in(note: str, pattern: str, default: float | None = None) -> float:
    """The number that a note gives, or the default where it gives none."""
    if found := re.search(pattern, note):
        return float(found[1])
    if default is None:
        raise NotUnderstood(f"{note!r} does not say {pattern}")
    return default


PARTS = {
    "vae": vae,
    "synchformer": synchformer,
    "text conditioner": text,
    "video conditioner": video,
    "read_video": preprocess,
    "audio conditioner": audio,
    "audio resampling": resampling,
    "multimodal adaptive fusion": maf,
    "diffusion transformer": transformer,
    "few-step sampler": few_step_sampler,
    "multi-step rectified flow sampler": multi_step_sampler,
    "conditioners, fusion, sampler, decoder": end_to_end,
}
