"""Every model of the pack under ComfyUI's manager, loaded whole and in part; prints JSON. A process of its own, as
`comfy_checks`, whose helpers it shares.

    python -m devtools.comfy_partial COMFYUI PACK MODEL

Load AudioX must log its memory report at debug level. For each model: the largest difference of its output, the bytes
that stay when as little as possible is loaded, all bytes, and for what makes an estimate, the estimate and the peak
that was seen.
"""

import json
import logging
import sys
from pathlib import Path

import torch

from devtools.comfy_checks import import_pack
from devtools.memory_tracker import peak_of


def unload(patcher) -> None:
    patcher.unpatch_model(patcher.offload_device, unpatch_weights=True)


def compared(patcher, run) -> dict[str, float]:
    """The output with all weights loaded, with half of them, and with as few as possible."""
    outputs, loaded = [], []
    for memory in (2 * patcher.model_size(), patcher.model_size() // 2, 1):
        unload(patcher)
        patcher.partially_load(patcher.load_device, memory)
        with torch.inference_mode():
            outputs.append(run())
        loaded.append(patcher.model.model_loaded_weight_memory)
    difference = max((outputs[0] - other).abs().max().item() for other in outputs[1:])
    size = outputs[0].abs().max().item()
    return {"difference": difference, "largest": size, "loaded": loaded, "bytes": patcher.model_size()}


def check_network(patcher) -> dict[str, float]:
    model = patcher.model
    sizes = model.diffusion_model.sizes
    generator = torch.Generator().manual_seed(0)
    text = torch.randn(1, 128, sizes.transformer.context_width, generator=generator)
    x = torch.randn(2, 64, 236, generator=generator)
    cond = {"cross_attn": text, "pooled_output": torch.ones(1, 1), "device": torch.device("cpu"), "noise": x}

    def run() -> torch.Tensor:
        rows = model.extra_conds(**cond)["prepared"]
        return model.apply_model(x, torch.tensor([0.7, 0.7]), prepared=rows.process_cond(2).cond)

    found = compared(patcher, run)
    found["estimate"] = model.memory_required(x.shape, {k: [v] for k, v in model.extra_conds_shapes(**cond).items()})
    found["seen"] = peak_of(run)
    return found


def check_vae(vae) -> dict[str, dict]:
    generator = torch.Generator().manual_seed(0)
    latent, sound = torch.randn(1, 64, 60, generator=generator), torch.randn(1, 2, 2048 * 60, generator=generator)
    model = vae.first_stage_model
    decode = compared(vae.patcher, lambda: model.decode(latent))
    encode = compared(vae.patcher, lambda: model.encode(sound))
    decode |= {
        "estimate": vae.memory_used_decode(latent.shape, torch.float32),
        "seen": peak_of(lambda: model.decode(latent)),
    }
    encode |= {
        "estimate": vae.memory_used_encode(sound.shape, torch.float32),
        "seen": sound.nbytes + peak_of(lambda: model.encode(sound)),
    }
    return {"decode": decode, "encode": encode}


def check_video(encoder) -> dict[str, dict]:
    generator = torch.Generator().manual_seed(0)
    from pack.audiox_core.models.synchformer import encode

    def frames(count: int, size: int) -> torch.Tensor:
        return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)

    pixels = frames(4, encoder.sizes[0].image_size).float() / 255
    found = {"CLIP": compared(encoder.clip.patcher, lambda: encoder.clip.model(pixel_values=pixels)[0])}
    if encoder.sync is not None:
        clip = frames(24, encoder.sizes[1].image_size)
        found["Synchformer"] = compared(encoder.sync_patcher, lambda: encode(encoder.sync, clip, dtype=torch.float32))
    return found


def logged(run) -> tuple[object, str]:
    """What a function returns, and what it logs at debug level."""
    said: list[str] = []
    handler, root = logging.Handler(), logging.getLogger()
    handler.emit = lambda record: said.append(record.getMessage())
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        return run(), "\n".join(said)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def main(tree: Path, pack: Path, model: Path) -> None:
    sys.path.insert(0, str(tree))
    from comfy.cli_args import args

    args.cpu = True
    args.fp32_text_enc = True
    import_pack(pack)
    from pack.audiox_core.checkpoint import open_checkpoint
    from pack.nodes.adapters.vae import AudioXVAE
    from pack.nodes.load import patcher_from, text_encoder_of, video_encoder_of

    checkpoint = open_checkpoint(model)
    options = {"variant": None, "dtype": torch.float32}
    patcher, said = logged(lambda: patcher_from(checkpoint, str(model), options, disable_dynamic=True))
    assert "Planned Memory Allocation:" in said, said
    found = {"network": check_network(patcher)}
    half = patcher_from(checkpoint, str(model), options | {"dtype": torch.float8_e4m3fn}, disable_dynamic=True)
    found["network in fp8"] = check_network(half)
    vae = AudioXVAE(checkpoint.sizes["vae"], checkpoint.state_dict("vae", torch.float32), None)
    found |= check_vae(vae) | check_video(video_encoder_of(checkpoint))
    clip = text_encoder_of(checkpoint, str(model), "from checkpoint")
    tokens = clip.tokenize("rain on a road")

    def encode_text() -> torch.Tensor:
        return clip.cond_stage_model.encode_token_weights(tokens)[0]

    found["T5"] = compared(clip.patcher, encode_text)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
