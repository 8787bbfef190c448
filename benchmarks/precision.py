"""How far each number type is from float32: on the golden inputs of the tests, and as prompts answered right.

    python -m benchmarks precision [--types bf16 fp16 fp8] [--golden FOLDER] [--full | --no-prompts]

Distances are those to the official code's float32 outputs, |ours - theirs| / |theirs| over all numbers of a tensor.
fp8 is ComfyUI's way: weights stored as float8_e4m3fn and cast to bfloat16 where they are used. The prompts are those
of `python -m audiox_core evaluate --quick` on the demo checkpoints; --full asks all of them.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from audiox_core.checkpoint import open_checkpoint
from audiox_core.demo import demo_path
from audiox_core.models.encoders import encode_clip, encode_text
from audiox_core.models.network import AudioXNetwork
from audiox_core.models.synchformer import encode
from audiox_core.pipeline import AudioX
from devtools.parity import golden_models as models
from devtools.parity.golden_file import Golden
from devtools.paths import ROOT
from training.evaluation.run import QUICK, EvaluationPlan, evaluate


@dataclass(frozen=True)
class Type:
    """What weights are stored as, and what is computed in."""

    stored: torch.dtype
    computed: torch.dtype


TYPES = {
    "fp32": Type(torch.float32, torch.float32),
    "bf16": Type(torch.bfloat16, torch.bfloat16),
    "fp16": Type(torch.float16, torch.float16),
    "fp8": Type(torch.float8_e4m3fn, torch.bfloat16),
}


def cast(model: nn.Module, kind: Type) -> nn.Module:
    """A copy of a model in a type; what it keeps in float32 itself stays."""
    model = copy.deepcopy(model)
    fixed: set[str] = set()
    if hasattr(model, "sizes"):  # ours; the encoders of transformers keep nothing
        made = type(model)(model.sizes, dtype=torch.float16, device="meta").state_dict()
        fixed = {name for name, tensor in made.items() if tensor.dtype == torch.float32}
    for name, parameter in model.named_parameters():
        if name not in fixed:
            parameter.data = parameter.data.to(kind.stored).to(kind.computed)
    return model


def transformer(golden: Golden, kind: Type) -> Iterator[tuple[str, Tensor]]:
    model = cast(models.transformer(golden.depth), kind)
    prepared = model.prepare(golden.input("context").to(kind.computed))
    x = golden.input("x").to(kind.computed)
    for name in golden.names:
        if name.startswith("v/t="):
            yield name, model(x, torch.tensor([float(name.removeprefix("v/t="))]), prepared)


def cross_attending(golden: Golden, kind: Type) -> Iterator[tuple[str, Tensor]]:
    model = cast(models.dit(golden.depth), kind)
    prepared = model.prepare(golden.input("context").to(kind.computed))
    yield "plain", model(golden.input("x").to(kind.computed), torch.tensor(golden.inputs["t"]), prepared)


def fusion(golden: Golden, kind: Type) -> Iterator[tuple[str, Tensor]]:
    model = cast(models.maf(models.small.RELEASED.maf_depth), kind)
    tokens = [golden.input(f"{name}_prompt").to(kind.computed) for name in ("text", "video", "audio")]
    yield "context", model(*tokens)


def vae(golden: Golden, kind: Type) -> Iterator[tuple[str, Tensor]]:
    model = cast(models.vae(), kind)
    yield "decoded", model.decode(golden.input("latent_in").to(kind.computed))
    yield "mean_odd", model.encode(golden.input("audio_odd").to(kind.computed))


def synchformer(golden: Golden, kind: Type) -> Iterator[tuple[str, Tensor]]:
    yield "features", encode(cast(models.synchformer(), kind), golden.input("frames"))


def text(golden: Golden, kind: Type) -> Iterator[tuple[str, Tensor]]:
    ids = golden["ids"]
    yield "out", encode_text(cast(models.t5(), kind), ids, (ids != 0).to(ids.dtype))


def video(golden: Golden, kind: Type) -> Iterator[tuple[str, Tensor]]:
    tokens = encode_clip(cast(models.clip(), kind), golden.input("frames"))
    model = cast(models.video_conditioner(), kind)
    yield "clip_hidden_first", tokens[:, : golden["clip_hidden_first"].shape[1]]
    yield "out", model(tokens, golden.input("sync").to(kind.computed))


CASES: dict[str, tuple[str, Callable, bool]] = {
    "MMDiT (Turbo, Base), velocity": ("dit", transformer, True),
    "DiT (AudioX), v": ("v1_dit", cross_attending, True),
    "prompt fusion": ("maf", fusion, True),
    "VAE, decode and encode": ("vae", vae, False),
    "Synchformer": ("synchformer", synchformer, False),
    "CLIP and video conditioner": ("video_conditioner", video, False),
    "T5": ("text_conditioner", text, False),
}
"""Title -> golden file, what computes its tensors, and whether ComfyUI can store these weights as fp8."""


def distance(golden: Golden, name: str, value: Tensor) -> float:
    """Distance of a value to the golden one, relative to its size."""
    expected = golden[name].float()
    if name in golden.kept:
        value = value[tuple(slice(None, None, step) for step in golden.kept[name])]
    return ((value.float() - expected).norm() / expected.norm()).item()


def golden_rows(folder: Path, kinds: list[str]) -> Iterator[tuple[str, dict[str, float]]]:
    """Title and the largest distance of its tensors in each type."""
    for title, (file, compute, in_fp8) in CASES.items():
        golden = Golden.read(folder / f"{file}.safetensors")
        found = {}
        for kind in kinds:
            if kind != "fp8" or in_fp8:
                with torch.inference_mode():
                    found[kind] = max(distance(golden, *each) for each in compute(golden, TYPES[kind]))
        yield title, found


def prompt_accuracy(kind: Type, plan: EvaluationPlan) -> dict[str, float]:
    """Share of captions that Base and Turbo answer right in a type."""
    pair = {name: AudioX(open_checkpoint(demo_path(name)), dtype=kind.computed) for name in ("base", "turbo")}
    for model in pair.values():
        network = model.load("network", AudioXNetwork, kind.computed)
        model._parts["network"] = cast(network, kind)
    results = evaluate(pair, replace(plan, sections=("prompts",))).results
    return {name: results[name]["prompt_accuracy"] for name in pair}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks precision", description=__doc__.split("\n")[0])
    parser.add_argument("--types", nargs="+", choices=tuple(TYPES), default=list(TYPES))
    parser.add_argument("--golden", type=Path, default=ROOT / "tests" / "golden", metavar="FOLDER")
    parser.add_argument("--full", action="store_true", help="all prompts of the evaluation, not its quick ones")
    parser.add_argument("--no-prompts", dest="prompts", action="store_false", help="the golden inputs alone")
    options = parser.parse_args(arguments)
    print(f"{'distance to the official float32':34}" + "".join(f"{kind:>10}" for kind in options.types))
    for title, found in golden_rows(options.golden, options.types):
        print(f"{title:34}" + "".join(cell(found.get(kind), "9.1e") for kind in options.types), flush=True)
    if options.prompts:
        answers = {
            kind: prompt_accuracy(TYPES[kind], EvaluationPlan() if options.full else QUICK) for kind in options.types
        }
        for name in ("base", "turbo"):
            title = f"prompts answered right, {name}"
            print(f"{title:34}" + "".join(cell(answers[kind][name], "9.0%") for kind in options.types))
    return 0


def cell(value: float | None, form: str) -> str:
    return f"{'-':>10}" if value is None else f" {value:{form}}"
