"""The official AudioX-Turbo code as the other side of the benchmark, imported from a checkout that the user names.

Nothing of it is copied here. Its top-level imports ask for packages that inference does not need; those that are not
installed get a stand-in module (`STAND_INS`). Four stand-ins carry contents: `dac.nn.layers` (a convolution with
weight norm), `timm.layers` (initialisation, a pair), `omegaconf` (a yaml file as attributes) and the CLIP tower,
which is built from its sizes and not from the hub: the benchmark fills in the weights.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from . import inputs
from .runner import Job, Options

STAND_INS = (
    "aeiou",
    "alias_free_torch",
    "auraloss",
    "dac",
    "einops_exts",
    "ema_pytorch",
    "k_diffusion",
    "omegaconf",
    "pytorch_lightning",
    "timm",
    "vector_quantize_pytorch",
    "wandb",
    "x_transformers",
)


class StandIn(types.ModuleType):
    """A module whose every name is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class StandInFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Serves the stand-ins; asked last, so that an installed package is used instead."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in STAND_INS:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        made = StandIn(spec.name)
        made.__path__ = []
        return made

    def exec_module(self, module) -> None:
        vars(module).update(CONTENTS.get(module.__name__, {}))


def _with_weight_norm(convolution: type[nn.Module]) -> Callable[..., nn.Module]:
    return lambda *args, **options: nn.utils.weight_norm(convolution(*args, **options))


def _yaml_as_attributes(path: Path) -> SimpleNamespace:
    import yaml

    return json.loads(json.dumps(yaml.safe_load(Path(path).read_text())), object_hook=lambda x: SimpleNamespace(**x))


CONTENTS = {
    "dac.nn.layers": {
        "WNConv1d": _with_weight_norm(nn.Conv1d),
        "WNConvTranspose1d": _with_weight_norm(nn.ConvTranspose1d),
    },
    "timm.layers": {"trunc_normal_": nn.init.trunc_normal_, "to_2tuple": lambda x: (x, x)},
    "omegaconf": {"OmegaConf": SimpleNamespace(load=_yaml_as_attributes)},
}


def module(options: Options, name: str):
    """A module of the checkout; what it prints when imported goes to stderr."""
    root = Path(options.official).resolve()
    if not (root / "audiox_turbo").is_dir():
        raise SystemExit(f"{root} holds no folder audiox_turbo; give a checkout of NoizAI/AudioX-Turbo.")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
        sys.meta_path.append(StandInFinder())
    with contextlib.redirect_stdout(sys.stderr):
        return importlib.import_module("audiox_turbo." + name)


def config(options: Options, depth: int) -> dict:
    """The checkout's own inference configuration, with another number of transformer layers."""
    path = Path(options.official) / "configs" / "audiox_turbo_infer_4step.json"
    read = json.loads(path.read_text(encoding="utf-8"))
    read["model"]["diffusion"]["config"]["depth"] = depth
    return read


def transformer(options: Options) -> nn.Module:
    settings = config(options, options.depth)["model"]["diffusion"]["config"]
    settings.pop("video_fps")  # as upstream's factory does
    wrapper = module(options, "models.diffusion").MMDiTWrapper(**settings)
    return inputs.fill_official(wrapper.to(options.device), "model.")


def conditioning(options: Options) -> dict[str, Tensor | None]:
    """What the official model hands to its transformer for one prompt, masks included."""
    absent = ("global_cond", "input_concat_cond", "prepend_cond", "prepend_cond_mask")
    context = inputs.numbers(options, "context", 1, 384, 768)
    prompt = {"cross_attn_cond": context, "cross_attn_mask": context.new_ones(1, 384)}
    return prompt | dict.fromkeys(absent)


def evaluation(options: Options) -> Job:
    model, prompt = transformer(options), conditioning(options)
    x, t = inputs.numbers(options, "latent", 1, 64, 236), torch.tensor([0.75], device=options.device)
    return Job(lambda: model(x, t, **prompt))


def sampling(options: Options) -> Job:
    model, prompt = transformer(options), conditioning(options)
    sample = module(options, "inference.sampling").sample_dmd
    x = inputs.numbers(options, "latent", 1, 64, 236)
    return Job(lambda: sample(model, x, steps=4, device=options.device, **prompt), prepare=lambda: torch.manual_seed(0))


def dit_evaluation(options: Options) -> Job:
    """The first AudioX's transformer, which this checkout still has, as its configuration makes it."""
    model = module(options, "models.diffusion").DiTWrapper(
        io_channels=64,
        embed_dim=1536,
        depth=options.depth,
        num_heads=24,
        cond_token_dim=768,
        global_cond_dim=1536,
        project_cond_tokens=False,
        transformer_type="continuous_transformer",
    )
    inputs.fill_official(model.to(options.device), "model.")
    prompt = conditioning(options) | {"cross_attn_cond": inputs.numbers(options, "context", 1, inputs.DIT_TOKENS, 768)}
    prompt |= {"cross_attn_mask": None, "cfg_scale": inputs.GUIDANCE, "rescale_cfg": True}
    x, t = inputs.numbers(options, "latent", 1, 64, 236), torch.tensor([0.75], device=options.device)
    return Job(lambda: model(x, t, **prompt))


def autoencoder(options: Options) -> nn.Module:
    settings = config(options, 1)
    create = module(options, "models.factory").create_pretransform_from_config
    made = create(settings["model"]["pretransform"], settings["sample_rate"])
    return inputs.fill_official(made.to(options.device), "pretransform.")


def vae_decode(options: Options) -> Job:
    model, latent = autoencoder(options), inputs.numbers(options, "latent", 1, 64, 236)
    return Job(lambda: model.decode(latent))


def vae_encode(options: Options) -> Job:
    model, sound = autoencoder(options), inputs.numbers(options, "sound", 1, 2, 441000, scale=0.3)
    return Job(lambda: model.encode(sound), prepare=lambda: torch.manual_seed(0))


def hubless(options: Options):
    """The conditioners' module, with CLIP built from its sizes and T5, which no released file holds, left out."""
    conditioners = module(options, "models.conditioners")
    import transformers

    tower = transformers.CLIPVisionModelWithProjection
    local = SimpleNamespace(from_pretrained=lambda path: tower(transformers.CLIPVisionConfig()))
    conditioners.CLIPVisionModelWithProjection = local
    conditioners.T5Conditioner = lambda **settings: nn.Identity()
    return conditioners


def video_conditioner(options: Options) -> Job:
    prompts = config(options, 1)["model"]["conditioning"]
    settings = next(entry["config"] for entry in prompts["configs"] if entry["id"] == "video_prompt")
    build = hubless(options).CLIPWithSyncWithEmptyFeatureConditioner
    with contextlib.redirect_stdout(sys.stderr):
        model = build(output_dim=prompts["cond_dim"], **settings)
    inputs.fill_official(model.to(options.device), inputs.small.VIDEO)
    features = inputs.numbers(options, "sync", 1, 240, 768)
    video = {"video_tensors": inputs.frames(options, 50)[None], "video_sync_frames": features}
    return Job(lambda: model([video], options.device)[0])


def synchformer(options: Options) -> Job:
    features = module(options, "models.synchformer.features_utils")
    model = features.FeaturesUtils(enable_conditions=False)
    model.synchformer = inputs.fill_official(features.Synchformer().to(options.device), "")
    data = module(options, "data.utils")
    clip = inputs.frames(options, 8 + 8 * options.segments)
    data.read_video = lambda *args, **settings: clip
    data._get_sync_feature_extractor = lambda *args: model
    return Job(lambda: data.encode_video_with_synchformer("", device=options.device))


def video_reading(options: Options) -> Job:
    if importlib.util.find_spec("decord") is None:
        raise SystemExit("upstream reads videos with decord, which is not installed: pip install decord")
    read = module(options, "data.utils").read_video
    path = str(Path(options.folder) / "clip.mp4")
    return Job(lambda: torch.cat([read(path, 0, inputs.CLIP_SECONDS, rate) for rate in (5, 25)]))


def released(options: Options) -> list[Path]:
    """The VAE's and the model's file."""
    folder = Path(options.folder)
    return [folder / "pretransform" / "vae.ckpt", folder / "audiox_turbo" / "audiox_turbo.ckpt"]


def load_model(options: Options) -> nn.Module:
    vae, model = map(str, released(options))
    hubless(options)
    settings = config(options, options.load_depth)
    for entry in settings["model"]["conditioning"]["configs"]:
        if "pretransform_ckpt_path" in entry["config"]:
            entry["config"]["pretransform_ckpt_path"] = vae
    with contextlib.redirect_stdout(sys.stderr):
        return module(options, "inference").load_audiox_turbo_model(settings, model, vae, device=options.device)[0]


def load(options: Options) -> Job:
    forget = lambda: inputs.forget(*released(options))  # noqa: E731
    return Job(lambda: inputs.touch(load_model(options)) and None, prepare=forget, inference=False)


class GivenText(nn.Module):
    """In the place of T5: the tokens that our side is given."""

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.tokens = tokens

    def forward(self, texts, device) -> tuple[Tensor, Tensor]:
        return self.tokens, self.tokens.new_ones(1, self.tokens.shape[1])


def speaker(options: Options) -> Callable[[], None]:
    """From the released files to what makes 10 s of sound for a text with a new seed each time; T5 is left out."""
    model, seeds = load_model(options), itertools.count()
    model.conditioner.conditioners["text_prompt"] = GivenText(inputs.numbers(options, "text", 1, 128, 768))
    make = module(options, "inference.generation").generate_diffusion_cond_dmd
    samples = config(options, 1)["sample_size"]

    def run() -> None:
        def none(*shape: int) -> Tensor:  # how upstream is told that there is no such prompt
            return torch.zeros(shape, device=options.device)

        video = {"video_tensors": none(1, 50, 3, 224, 224), "video_sync_frames": none(1, 240, 768)}
        prompt = {"video_prompt": video, "text_prompt": "", "audio_prompt": none(1, 2, 441000)}
        make(model, steps=4, conditioning=[prompt], sample_size=samples, seed=next(seeds), device=options.device)

    return run


def first_sound(options: Options) -> Job:
    forget = lambda: inputs.forget(*released(options))  # noqa: E731
    return Job(lambda: speaker(options)(), prepare=forget, inference=False)


def next_sound(options: Options) -> Job:
    return Job(speaker(options))


def load_converted(options: Options) -> Job:
    """Upstream has no converted form: its own files, to compare ours with."""
    return load(options)
