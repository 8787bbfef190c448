"""The VAE that a model has twice: one decodes, the other one encodes audio prompts.

The official code decodes with the separate file, or with the model's own `pretransform.`, and encodes prompts with the
audio conditioner's copy. In the released files all are expected to be the same; where they are not, each is used where
the official code uses it. Only its encoder is ever used of the second.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..release.components import PROMPT_ENCODER, VAE
from .file_contents import FileContents, TensorSources


@dataclass(frozen=True)
class VAECopies:
    """prompt: the encoder of the copy for audio prompts, if it isn't the very same one.

    stored: is it known to be another one, because a converted file keeps it? unusable: the first tensor of it that is
    missing or has another shape than in the VAE; it then isn't used.
    """

    prompt: TensorSources = field(default_factory=dict)
    stored: bool = False
    unusable: str | None = None

    def of_the_same_shape(self, vae: TensorSources) -> VAECopies:
        """The copy if it can stand in for the VAE's encoder, else none and why."""
        encoder = {name: source for name, source in vae.items() if name.startswith("encoder.")}
        if not self.prompt or not encoder:
            return VAECopies()
        for name, source in encoder.items():
            if name not in self.prompt or self.prompt[name].shape != source.shape:
                return VAECopies(unusable=name)
        return VAECopies({name: self.prompt[name] for name in encoder}, self.stored)


def choose_vae(model: FileContents, separate: FileContents | None, *, alone: bool) -> tuple[TensorSources, VAECopies]:
    """The VAE that decodes, and the copy that encodes audio prompts.

    separate: the VAE's own file. alone: use it for everything.
    """
    if separate is not None and alone:
        return separate.part(VAE), VAECopies()
    copies = model.copies.get(VAE, {})
    prompt: TensorSources = next((copy for prefix, copy in copies.items() if "audio_prompt" in prefix), {})
    decoding: TensorSources = next((copy for prefix, copy in copies.items() if "audio_prompt" not in prefix), {})
    used = separate.part(VAE) if separate is not None else decoding or prompt
    if stored := model.part(PROMPT_ENCODER):
        return used, VAECopies(stored, stored=True)
    return used, VAECopies(prompt) if any(used.get(name) != source for name, source in prompt.items()) else VAECopies()
