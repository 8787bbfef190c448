"""ComfyUI's TorchCompileModel on our MODEL against the same MODEL without; prints JSON. A process of its own, as
`comfy_checks`.

    python -m devtools.comfy_compile COMFYUI PACK MODEL RUN ...

For each of the runs (`RUNS`) of KSampler's code, in their order: the largest difference to the run without, the largest
value, and how many graphs torch.compile has made and how often it had to interrupt one, both since the beginning.
"""

import json
import sys
from pathlib import Path

import torch
import torch._dynamo.utils

from devtools.comfy_checks import compared, import_pack

RUNS = {"first": (1, 236), "again": (1, 236), "batch": (2, 236), "long": (1, 408)}
"""Sounds and latent frames."""


def sample(patcher, sounds: int, frames: int) -> torch.Tensor:
    import comfy.sample

    generator = torch.Generator().manual_seed(0)
    width = patcher.model.diffusion_model.sizes.transformer.context_width
    text = torch.randn(1, 128, width, generator=generator)
    noise = torch.randn(sounds, 64, frames, generator=generator)
    cond = [[text, {"pooled_output": torch.ones(1, 1)}]]
    with torch.inference_mode():
        start = torch.zeros_like(noise)
        return comfy.sample.sample(patcher, noise, 2, 1.0, "euler", "simple", cond, cond, start, disable_pbar=True)


def compiled(patcher):
    """What the node returns, with a backend that needs no compiler, which is none of the node's own."""
    from comfy_api.torch_helpers import set_torch_compile_wrapper
    from comfy_extras.nodes_torch_compile import TorchCompileModel

    made = TorchCompileModel.execute(patcher, "inductor").args[0]
    set_torch_compile_wrapper(model=made, backend="eager")
    return made


def main(tree: Path, pack: Path, model: Path, *names: str) -> None:
    sys.path.insert(0, str(tree))
    from comfy.cli_args import args

    args.cpu = True
    args.use_pytorch_cross_attention = True  # as on a GPU; the attention for a CPU asks the system about its memory
    import_pack(pack)
    from pack.audiox_core.checkpoint import open_checkpoint
    from pack.audiox_core.models import onednn as products
    from pack.nodes.load import patcher_from

    products.onednn_is_faster = lambda: True
    options = {"variant": None, "dtype": torch.float32}
    patcher = patcher_from(open_checkpoint(model), str(model), options, disable_dynamic=True)
    expected = {name: sample(patcher, *RUNS[name]) for name in names}
    other, counters, found = compiled(patcher), torch._dynamo.utils.counters, {}
    for name in names:
        found[name] = compared(sample(other, *RUNS[name]), expected[name])
        found[name] |= {"graphs": counters["stats"]["unique_graphs"], "breaks": sum(counters["graph_break"].values())}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]), *sys.argv[4:])
