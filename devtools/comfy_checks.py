"""ComfyUI's encoder classes against the core's, inside one process; prints JSON. Run it as a separate
process: `comfy` has to be told about the CPU before anything imports it.

    python -m devtools.comfy_checks COMFYUI PACK MODEL

For T5 and for the CLIP vision tower: the largest difference and the largest value, weights and sums in float32.
Also the weights of a MODEL and a CLIP against those that ComfyUI loads anew from their `cached_patcher_init`.
"""

import importlib.util
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch


def import_pack(pack: Path):
    """The pack under a separate name, as ComfyUI imports it."""
    spec = importlib.util.spec_from_file_location("pack", pack / "__init__.py", submodule_search_locations=[str(pack)])
    module = importlib.util.module_from_spec(spec)
    sys.modules["pack"] = module
    spec.loader.exec_module(module)


def compared(ours: torch.Tensor, theirs: torch.Tensor) -> dict[str, float]:
    if ours.shape != theirs.shape:
        return {"difference": float("inf"), "largest": 0.0}
    return {"difference": (ours - theirs).abs().max().item(), "largest": theirs.abs().max().item()}


def check_text(checkpoint, text: str) -> dict[str, float]:
    from pack.audiox_core.models.encoders import build_t5, encode_text, tokenize
    from pack.nodes.adapters.text_encoder import load_text_encoder
    from pack.nodes.encode import encoded_text

    sizes = checkpoint.sizes["t5"]
    clip = load_text_encoder(sizes, checkpoint.state_dict("t5"), checkpoint.tokenizer_json())
    [[ours, _]], _ = encoded_text(clip, text)
    model = build_t5(sizes, {name: x.float() for name, x in checkpoint.state_dict("t5").items()})
    ids, mask, _ = tokenize(checkpoint.tokenizer_json(), text)
    return compared(ours, encode_text(model.eval(), ids, mask))


def check_clip(checkpoint) -> dict[str, float]:
    from pack.audiox_core.models.encoders import build_clip, normalise_clip
    from pack.nodes.adapters.video_encoder import load_clip_vision

    sizes = checkpoint.sizes["clip_vision"]
    frames = torch.randint(
        0,
        256,
        (2, 3, sizes.image_size, sizes.image_size),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(0),
    )
    pixels = normalise_clip(frames)
    ours = load_clip_vision(sizes, checkpoint.state_dict("clip_vision")).model(pixel_values=pixels)[0]
    model = build_clip(sizes, {name: x.float() for name, x in checkpoint.state_dict("clip_vision").items()})
    return compared(ours, model.eval()(pixel_values=pixels).last_hidden_state)


def check_laziness(checkpoint) -> list[list[str]]:
    """The components that are read when the video encoders are built, asked for their frames, and used twice."""
    from pack.audiox_core.checkpoint import Checkpoint
    from pack.nodes.load import video_encoder_of

    read: list[str] = []
    whole = Checkpoint.state_dict

    def recorded(self, part: str, *arguments):
        read.append(part)
        return whole(self, part, *arguments)

    Checkpoint.state_dict = recorded
    try:
        encoder = video_encoder_of(checkpoint)
        steps = [read.copy()]
        frames = [torch.zeros(request.count, 3, request.size, request.size).byte() for request in encoder.requests()]
        steps.append(read.copy())
        for _ in range(2):
            encoder.encode(*frames)
            steps.append(read.copy())
    finally:
        Checkpoint.state_dict = whole
    return steps


def check_cpu_dtypes(model: Path) -> dict[str, list[str]]:
    """Types of a converted network and of its computation on a CPU with enough and with too little memory.

    "weights" is there too where both have the same numbers.
    """
    import comfy.model_management
    from pack.audiox_core.checkpoint.convert import convert
    from pack.nodes.load import load_model

    def loaded(free: int) -> torch.nn.Module:
        comfy.model_management.get_free_memory = lambda device: free
        return load_model(str(path), {"variant": None, "dtype": None}).model

    whole = comfy.model_management.get_free_memory
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "turbo.safetensors"
        convert(model, path, dtype=torch.bfloat16)
        try:
            wide, narrow = loaded(2**40), loaded(0)
        finally:
            comfy.model_management.get_free_memory = whole
        same = all(
            one.float().equal(other.float())
            for one, other in zip(wide.state_dict().values(), narrow.state_dict().values(), strict=True)
        )
    types = {
        name: [str(of.get_dtype()), str(of.manual_cast_dtype)] for name, of in (("wide", wide), ("narrow", narrow))
    }
    return types | ({"weights": ["the same"]} if same else {})


def check_prompt_vae(checkpoint) -> dict[str, float]:
    """The second encoder of a checkpoint with two VAEs, here one with two tensors exchanged, against the core's."""
    from pack.audiox_core.checkpoint.vae_copies import VAECopies
    from pack.nodes.load import vae_of

    encoder = {name: source for name, source in checkpoint.sources["vae"].items() if name.startswith("encoder.")}
    alpha, beta = (next(name for name in encoder if name.endswith(end)) for end in (".alpha", ".beta"))
    exchanged = encoder | {alpha: encoder[beta], beta: encoder[alpha]}
    both = replace(checkpoint, vae_copies=VAECopies(exchanged, stored=True))
    vae, sound = vae_of(both), torch.rand(1, 2, 8192, generator=torch.Generator().manual_seed(0))
    ours, _ = vae.encode_prompt_statistics(sound)
    if ours.equal(vae.encode_statistics(sound)[0]):
        raise ValueError("The prompt was encoded with the VAE that decodes.")
    return compared(ours, both.load_prompt_vae(torch.float32).encode_statistics(sound)[0])


def check_needs(checkpoint) -> None:
    """What Load AudioX requires of a checkpoint before it reads it follows from the graph."""
    from pack.nodes.load import FROM_CHECKPOINT, needed_parts

    def needs(**inputs: object) -> tuple[str, ...]:
        return needed_parts(checkpoint, {"2": {"inputs": inputs}}, "1", FROM_CHECKPOINT)

    graphs = {
        ("vae",): needs(model=["1", 0], clip=["7", 2], text="1"),
        ("vae", "t5"): needs(clip=["1", 2]),
        ("vae", "clip_vision", "synchformer"): needs(video_encoder=["1", 3]),
    }
    wrong = {expected: found for expected, found in graphs.items() if expected != found}
    if wrong:
        raise ValueError(f"Load AudioX would require {wrong}.")


def check_reload(patcher) -> dict[str, float]:
    """Weights of a patcher and of the one that its `cached_patcher_init` makes anew."""

    def weights(of) -> torch.Tensor:
        return torch.cat([x.flatten().float() for x in of.model.state_dict().values()])

    load, arguments = patcher.cached_patcher_init
    return compared(weights(load(*arguments, disable_dynamic=True)), weights(patcher))


def main(tree: Path, pack: Path, model: Path) -> None:
    sys.path.insert(0, str(tree))
    from comfy.cli_args import args

    args.cpu = True
    args.fp32_text_enc = True
    import_pack(pack)
    from pack.audiox_core.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(model)
    texts = {
        "text": "rain on a quiet road, then thunder",
        "empty": "",
        "brackets": "rain (heavy:1.4) and (distant)",
        "long": "a bell in the night " * 60,
    }
    with torch.inference_mode():
        found = {f"T5, {name}": check_text(checkpoint, text) for name, text in texts.items()}
        found["CLIP"] = check_clip(checkpoint)
        found["prompt VAE"] = check_prompt_vae(checkpoint)
        check_needs(checkpoint)
        from pack.nodes.load import load_model, text_encoder_of

        found["MODEL anew"] = check_reload(load_model(str(model), {"variant": None, "dtype": None}))
        found["T5 anew"] = check_reload(text_encoder_of(checkpoint, str(model), "from checkpoint").patcher)
        found["types on a CPU"] = check_cpu_dtypes(model)
        found["video encoders"] = check_laziness(checkpoint)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
