"""What the golden files of AudioX, AudioX-MAF and AudioX-MAF-MMDiT hold, by file name, computed by our models."""

import golden_models as models
import torch
from golden_file import Golden

from audiox_core.model.dit import rotary_table
from audiox_core.pipeline import guided


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


FILES = {"v1_dit": dit}
