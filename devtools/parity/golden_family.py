"""What the golden files of AudioX, AudioX-MAF and AudioX-MAF-MMDiT hold, by file name, computed by our models."""

import itertools

import torch

from audiox_core import sampling
from audiox_core.models.dit import rotary_table
from audiox_core.models.encoders import encode_clip, encode_text
from devtools import seeded_weights as seeded
from devtools.parity import golden_models as models
from devtools.parity import golden_prompts
from devtools.parity import official_inpainting as inpainting
from devtools.parity.golden_file import Golden
from devtools.parity.golden_models import guided

SAMPLER_LIMIT = 2e-4
"""Ten times what upstream's own samplers differ by between one and two threads."""


def dit(golden: Golden) -> None:
    model = models.dit(golden.depth)
    x, context, time = golden.input("x"), golden.input("context"), torch.tensor(golden.inputs["t"])
    cos, sin = rotary_table(golden["rotary_angles"].shape[0], x.device)
    golden.check("rotary_angles", unwrapped(cos, sin, golden["rotary_angles"]))
    golden.check("time_embedding", model.enter(x, time)[1])
    prepared = model.prepare(context)
    tokens = [0, 1, 2, 118, 236]
    seen = []
    hooks = [layer.register_forward_hook(lambda layer, inputs, out: seen.append(out)) for layer in model.layers]
    golden.check("plain", model(x, time, prepared))
    for hook in hooks:
        hook.remove()
    for i, hidden in enumerate(seen):
        golden.check(f"hidden/{i}", hidden[:, tokens])
    golden.check("odd_length", model(golden.input("x215"), time, prepared))
    negative = golden.input("negative")
    masked = negative * (torch.arange(negative.shape[1]) < 200)[:, None]
    scales = golden.json("scales")
    for name, against in (("cfg", torch.zeros_like(context)), ("negative", negative), ("negative_masked", masked)):
        pair = torch.cat((prepared, model.prepare(against)))
        golden.check(name, guided(model, pair, scales[name])(x, time))
    pair = torch.cat((prepared, model.prepare(torch.zeros_like(context))))
    golden.check("phi", guided(model, pair, scales["phi"], scales["scale_phi"])(x, time))


def unwrapped(cos: torch.Tensor, sin: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Angles (positions, 2 * half) of cosines and sines, with the whole turns that the golden ones have."""
    ours = torch.atan2(sin.double(), cos.double()).repeat(1, 2)
    return (ours + ((angles - ours) / (2 * torch.pi)).round() * 2 * torch.pi).float()


def sigmas(golden: Golden) -> None:
    for name in golden.names:
        if name.startswith("sigmas/"):
            steps, low, high, rho = (float(number) for number in name.split("/")[1:])
            golden.check(name, torch.tensor(sampling.polyexponential_sigmas(int(steps), low, high, rho)))
    scalings = torch.tensor([sampling.v_scalings(sigma) for sigma in golden["grid"].tolist()])
    golden.check("grid", golden["grid"])  # the input itself
    for name, values in zip(("c_skip", "c_out", "c_in", "t"), scalings.T, strict=True):
        golden.check(name, values)
    settings = golden.json("brownian")
    schedule = settings["sigmas"].split(",")[0]
    times = golden[schedule].tolist()
    ends = [float(number) for number in schedule.split("/")[2:4]]  # of the path; the schedule's first is rounded up
    like = torch.empty(1, *settings["shape"])
    for name, seed in settings["seeds"].items():
        noise = sampling.BrownianNoise([seed], ends)
        steps = [noise(like, *pair)[0] for pair in itertools.pairwise(times[:-1])]
        golden.check(f"brownian/{name}", torch.stack(steps))


def masks(golden: Golden) -> None:
    for i, case in enumerate(golden.json("cases")):
        for length in (236, 24):
            mask = inpainting.soft_mask(length, case)
            golden.check(f"mask/{i}/{length}", mask)
            steps = torch.stack([inpainting.kept_at(mask, step, 8) for step in range(8)])
            golden.check(f"steps/{i}/{length}", steps.int())


class Run:
    """One run of a sampler as upstream makes it: stored noises, the states it passes, its inpainting."""

    def __init__(self, denoise: sampling.Denoise, seed: int) -> None:
        self.denoise, self.seed, self.drawn = denoise, seed, 0
        self.state: torch.Tensor | None = None
        self.states: list[torch.Tensor] = []
        self.inpaint: tuple[torch.Tensor, torch.Tensor, list[float], bool] | None = None

    def estimate(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        self.state = x
        return self.denoise(x, sigma)

    def fresh(self, kind: str, like: torch.Tensor) -> torch.Tensor:
        made = torch.from_numpy(seeded.noise(f"{kind}/{self.drawn}", self.seed, like.shape))
        self.drawn += 1
        return made

    def report(self, step: int, steps: int, denoised: torch.Tensor) -> None:
        if self.inpaint is not None:  # upstream changes the state after the estimate, before the step is taken
            init, mask, sigmas, churns = self.inpaint
            if churns:  # k-diffusion's Heun draws a noise that it does not use
                self.drawn += 1
            kept = inpainting.kept_at(mask, step, steps)
            noised = init + self.fresh("randn", init) * sigmas[step]
            self.state.copy_(noised * kept + self.state * ~kept)
        self.states.append(self.state.clone())


SAMPLERS = {
    "dpmpp-3m-sde": sampling.sample_dpmpp_3m_sde,
    "dpmpp-2m-sde": sampling.sample_dpmpp_2m_sde,
    "k-heun": sampling.sample_heun,
    "k-dpm-2": sampling.sample_dpm_2,
    "k-dpmpp-2s-ancestral": sampling.sample_dpmpp_2s_ancestral,
}
"""Upstream's name -> ours. The others that upstream offers are not offered here; see LEFT_OUT."""

LEFT_OUT = ("k-lms", "k-dpm-fast")


def sample_k(golden: Golden) -> None:
    model, settings = models.dit(golden.depth), golden.json("settings")
    context, start, init = (golden.input(name) for name in ("context", "start", "init"))
    negative = torch.from_numpy(seeded.noise("negative", int(golden.metadata["seed"]), context.shape))
    for case, options in golden.json("cases").items():
        if case in LEFT_OUT:
            golden.leave_out(f"out/{case}", "a sampler that is not offered")
            continue
        against = negative if case.endswith("-negative") else torch.zeros_like(context)
        pair = torch.cat((model.prepare(context), model.prepare(against)))
        velocity = guided(model, pair, settings["cfg_scale"], options.get("scale_phi", 0.0))
        high = options.get("sigma_max", settings["sigma_max"])
        schedule = sampling.polyexponential_sigmas(settings["steps"], settings["sigma_min"], high, settings["rho"])
        run = Run(sampling.from_v(velocity), int(golden.metadata["seed"]))
        x = start * schedule[0]
        if case == "variation":
            x = init + x
        if case.startswith("inpaint"):
            mask = inpainting.soft_mask(start.shape[-1], golden.json("mask_args"))
            run.inpaint = (init, mask, schedule, options["sampler_type"] == "k-heun")
            kept = inpainting.kept_at(mask, 0, settings["steps"])
            x = (init + x) * kept + x * ~kept
        kind = "brown" if options["sampler_type"].endswith("-sde") else "randn"
        brown = iter(range(settings["steps"]))

        def noise(like: torch.Tensor, sigma: float, following: float, run=run, kind=kind, brown=brown) -> torch.Tensor:
            if kind == "randn":
                return run.fresh("randn", like)
            return torch.from_numpy(seeded.noise(f"brown/{next(brown)}", run.seed, like.shape))

        extra = {"eta": 0.0} if case.endswith("eta0") else {}
        out = SAMPLERS[options["sampler_type"]](run.estimate, x, schedule, noise, run.report, **extra)
        for i, state in enumerate(run.states):
            golden.check(f"x/{case}/{i}", state, SAMPLER_LIMIT)
        golden.check(f"out/{case}", out, SAMPLER_LIMIT)


def maf_dit(golden: Golden) -> None:
    text, video, audio = (golden_prompts.shifted(golden, name) for name in ("text", "video", "audio"))
    text[:, 9:] = 0
    context = models.maf(models.small.RELEASED.maf_depth)(text, video, audio)
    golden.check("context", context[..., ::32])
    model, x, time = models.dit(golden.depth), golden.input("x"), torch.tensor(golden.inputs["t"])
    prepared = model.prepare(context)
    golden.check("plain", model(x, time, prepared))
    pair = torch.cat((prepared, model.prepare(torch.zeros_like(context))))
    golden.check("out", guided(model, pair, 7.0)(x, time))


def mmdit(golden: Golden) -> None:
    seed = int(golden.metadata["seed"])
    audio, noise = models.audio_conditioner(), golden_prompts.of(golden, "noise", "vae/0", 1, 64, 215)
    heard = audio(models.with_noise(*models.prompt_statistics(seed), noise))
    golden.check("audio", heard)
    silence = audio(models.with_noise(audio.silence_mean[None], audio.silence_std[None], noise))
    golden.check("audio_zeros", silence[..., ::8])
    model = models.transformer(golden.depth)
    x, context, time = golden.input("x"), golden.input("context"), torch.tensor(golden.inputs["t"])
    prepared = model.prepare(context)
    golden.check("plain", model(x, time, prepared))
    pair = torch.cat((prepared, model.prepare(torch.zeros_like(context))))
    golden.check("cfg", guided(model, pair, 7.0)(x, time))
    numbers = iter(range(4))

    def brownian(like: torch.Tensor, *step: float) -> torch.Tensor:
        return torch.from_numpy(seeded.noise(f"brown/{next(numbers)}", seed, like.shape))

    schedule = sampling.polyexponential_sigmas(4)
    denoise = sampling.from_v(guided(model, pair, 7.0))
    start = golden_prompts.of(golden, "noise", "start", *x.shape) * schedule[0]
    out = sampling.sample_dpmpp_3m_sde(denoise, start, schedule, brownian)
    golden.check("sample", out, SAMPLER_LIMIT)


def generate(golden: Golden) -> None:
    """A whole run of the first AudioX with upstream's draws from one generator, in their order."""
    settings = golden.inputs
    generator = torch.Generator().manual_seed(settings["torch seed"])
    start = torch.randn(1, 64, 236, generator=generator)
    golden.check("start", start[..., :: -(-236 // golden["start"].shape[-1])])
    torch.randn(1, 64, 215, generator=generator)  # upstream encodes the absent audio prompt and drops it
    entropy = int(torch.randint(0, 2**63 - 1, (), generator=generator))
    texts = Golden.read(golden.path.with_name("v1_text_conditioner.safetensors"))
    words = encode_text(models.t5(), texts["ids"][1:2].long(), texts["attention_mask"][1:2].long())
    seen = models.video_conditioner_v1()(encode_clip(models.clip(), golden_prompts.of(golden, "frames", "video", 50)))
    context = torch.cat((seen, words, models.audio_conditioner_v1().absent(words)), dim=1)
    model = models.dit(golden.depth)
    pair = torch.cat((model.prepare(context), model.prepare(torch.zeros_like(context))))
    schedule = sampling.polyexponential_sigmas(settings["steps"], *settings["sigma"])
    denoise = sampling.from_v(guided(model, pair, settings["cfg_scale"]))
    noise = sampling.BrownianNoise([entropy], schedule)
    latent = sampling.sample_dpmpp_3m_sde(denoise, start * schedule[0], schedule, noise)
    golden.check("latents", latent, SAMPLER_LIMIT)
    sound = models.vae().decode(latent)
    golden.check("audio_start", sound[..., :4096], SAMPLER_LIMIT)
    golden.check("audio_every_16th", sound[..., ::16], SAMPLER_LIMIT)
    levels = (sound[0] / sound.abs().max()).clamp(-1, 1) * 32767
    golden.check("int16_every_16th", levels.to(torch.int16)[:, ::16], absolute=3)


FILES = golden_prompts.FILES | {
    "v1_dit": dit,
    "v1_sigmas": sigmas,
    "v1_inpaint_masks": masks,
    "v1_sample_k": sample_k,
    "v1_generate": generate,
    "maf_dit": maf_dit,
    "mmdit": mmdit,
}
