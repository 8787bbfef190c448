"""An opened checkpoint: which components it has, and their tensors when they are needed."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from ..errors import AudioXError, MissingComponent
from ..lengths import PROMPT_SAMPLES
from ..models.conditioners import AudioSizes
from ..models.vae import OobleckVAE, silence_statistics
from ..progress import Counter, Progress
from ..release.components import (
    CLIP_VISION,
    COMPONENT_TITLES,
    COMPONENTS,
    NETWORK,
    SYNCHFORMER,
    T5,
    TOKENIZER,
    VAE,
)
from ..release.files import RELEASES
from .detection import stored_guidance
from .file_contents import TensorSource, TensorSources
from .layout import Layout
from .mmap import touch_pages
from .notices import differing_copies
from .reader import OpenTensors, TensorFile
from .single_file import TOKENIZER_NAME
from .transforms import Shape
from .vae_copies import VAECopies
from .validation import SILENCE_NAMES, float32_names, read_sizes

HOW_TO_ADD = {
    NETWORK: "Choose the model file, for example audiox_turbo.ckpt",
    VAE: "Put vae.ckpt beside the model, or into a folder pretransform/ next to it",
    CLIP_VISION: "Use the released model file, which has it, not the diffusion model alone",
    SYNCHFORMER: "Put synchformer_state_dict.pth beside the model, or into a folder synchformer/ next to it",
    T5: "Put t5-base's model.safetensors and tokenizer.json into a folder t5-base/ next to the model",
    TOKENIZER: "Put t5-base's tokenizer.json beside the text encoder's weights",
}
"""Component -> how to come by it."""

OPTIONS = {VAE: "--vae", SYNCHFORMER: "--synchformer", T5: "--text-encoder"}
"""Component -> the command line's option for its file."""

_log = logging.getLogger(__name__)

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Checkpoint:
    """An opened and checked checkpoint; no weights are in memory yet.

    variant: a key of `variants.VARIANTS`. variant_source: what it was detected by, see `detection.detect_variant`.
    sources: component -> native name -> where the tensor comes from.
    vae_copies: the copy of the VAE that the official code encodes audio prompts with.
    tokenizer_file: tokenizer.json, if it is a separate file.
    opening_notices: what was left out, a sentence for each kind; see also `notices`.
    """

    layout: Layout
    variant: str
    variant_source: str
    sources: Mapping[str, TensorSources]
    vae_copies: VAECopies = field(default_factory=VAECopies)
    tokenizer_file: Path | None = None
    opening_notices: tuple[str, ...] = ()

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """Names of the components that are there, of `components.COMPONENTS`."""
        present = {*self.sources, *([TOKENIZER] if self.tokenizer_file else [])}
        return tuple(part for part in COMPONENTS if part in present)

    @cached_property
    def sizes(self) -> dict[str, Any]:
        """Component -> its sizes object, from the shapes."""
        return {part: read_sizes(part, self.shapes(part)) for part in self.sources if part != TOKENIZER}

    @cached_property
    def files(self) -> tuple[TensorFile, ...]:
        """The tensor files that something is read from."""
        parts = (*self.sources.values(), self.vae_copies.prompt)
        files = [source.file for sources in parts for source in sources.values()]
        return tuple({file.path: file for file in files}.values())

    @property
    def guidance(self) -> float | None:
        """The guidance scale that the model's file requests in place of its variant's."""
        return stored_guidance(next(iter(self.sources[NETWORK].values())).file)

    def video_encoders(self) -> tuple[str, ...]:
        """Components that encode a video prompt for this model, whether they are there or not."""
        return (CLIP_VISION, SYNCHFORMER) if self.sizes[NETWORK].video.sync_rows else (CLIP_VISION,)

    def shapes(self, part: str) -> dict[str, Shape]:
        """Native names and shapes of a component; the network's silence only if the file has it."""
        self.require(part)
        return {name: source.shape for name, source in self.sources.get(part, {}).items()}

    def numbers(self, part: str) -> int:
        """How many numbers the tensors of a component hold."""
        return sum(math.prod(shape) for shape in self.shapes(part).values())

    def stored_dtype(self, part: str) -> torch.dtype:
        """The type in which most numbers of a component are stored."""
        self.require(part)
        counts: dict[torch.dtype, int] = {}
        for source in self.sources[part].values():
            counts[source.dtype] = counts.get(source.dtype, 0) + math.prod(source.shape)
        return max(counts, key=counts.__getitem__)

    def state_dict(
        self, part: str, dtype: torch.dtype | None = None, progress: Progress | None = None
    ) -> dict[str, torch.Tensor]:
        """Tensors of a component under native names, on the CPU.

        Tensors are converted one after the other, so only the result and one source are in memory. What needs no
        conversion stays mapped from the file; with a progress its pages are read here and now, so that the time it
        takes is seen. Weights that the model keeps in float32 (the time features, the statistics of silence) stay so
        whatever `dtype` says; None keeps the file's types.

        Raises:
            AudioXError: the checkpoint lacks the component.
        """
        self.require(part)
        reader = TensorReader()
        counter = None if progress is None else Counter(progress, "load", self.stored_bytes(part))
        tensors = {}
        for name, source, final in self.final_dtypes(part, dtype):
            tensors[name] = reader.tensor(source, final)
            if counter is not None:
                touch_pages(tensors[name])
                counter(source.stored_bytes)
        if part == TOKENIZER and self.tokenizer_file is not None:
            content = bytearray(self.tokenizer_file.read_bytes())
            tensors[TOKENIZER_NAME] = torch.frombuffer(content, dtype=torch.uint8)
        if part == NETWORK:
            tensors |= self.silence()
        return tensors

    def stored_bytes(self, part: str) -> int:
        """Bytes of the files' tensors that a component is read from."""
        return sum(source.stored_bytes for source in self.sources.get(part, {}).values())

    def load_model(
        self, part: str, model_class: type[Model], dtype: torch.dtype, progress: Progress | None = None
    ) -> Model:
        """A component as one of our own modules: built on the meta device, then given the file's tensors.

        model_class: takes the component's sizes and a device. Raises AudioXError as `state_dict` does.
        """
        self.require(part)
        model = model_class(self.sizes[part], device="meta")
        model.load_state_dict(self.state_dict(part, dtype, progress), assign=True)
        return model.eval().requires_grad_(False)

    def final_dtypes(self, part: str, dtype: torch.dtype | None) -> Iterator[tuple[str, TensorSource, torch.dtype]]:
        """Name, source and type after conversion of each stored tensor of a component."""
        float32 = float32_names(part, self.shapes(part)) if part == NETWORK else frozenset()
        for name, source in self.sources.get(part, {}).items():
            final = torch.float32 if name in float32 and dtype else dtype
            yield name, source, source.dtype if final is None or not source.dtype.is_floating_point else final

    def silence(self) -> dict[str, torch.Tensor]:
        """The network's statistics of encoded silence, from the VAE; empty if the file has them or needs none."""
        audio = self.sizes[NETWORK].audio
        if not isinstance(audio, AudioSizes) or all(name in self.sources[NETWORK] for name in SILENCE_NAMES):
            return {}
        if VAE not in self.sources:
            raise MissingComponent(
                f"{HOW_TO_ADD[VAE]}: {self.layout.model} has no VAE and no statistics of silence, which the model "
                "needs without an audio prompt.",
                OPTIONS[VAE],
            )
        values = silence_statistics(self.load_prompt_vae(torch.float32), PROMPT_SAMPLES)
        expected = (audio.latent_channels, audio.latent_length)
        if tuple(values[0].shape) != expected:
            raise AudioXError(
                f"The VAE of {self.layout.model} encodes a 10 s prompt to latents {list(values[0].shape)}, but the "
                f"model expects {list(expected)}; use the VAE that belongs to it."
            )
        return {name: value.contiguous() for name, value in zip(SILENCE_NAMES, values, strict=True)}

    @cached_property
    def prompt_encoder(self) -> TensorSources:
        """The encoder for audio prompts if it is another one than the VAE's, else empty; values are compared once."""
        prompt = self.vae_copies.prompt
        if not prompt or VAE not in self.sources or self.vae_copies.stored:
            return prompt
        reader, vae = TensorReader(), self.sources[VAE]
        different = next((name for name, source in prompt.items() if not reader.equal(vae[name], source)), None)
        if different is None:
            return {}
        _log.warning("%s", differing_copies(vae[different], prompt[different]))
        return prompt

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know about the files; compares the copies of the VAE."""
        if not self.prompt_encoder:
            return self.opening_notices
        name, prompt = next(iter(self.prompt_encoder.items()))
        return (*self.opening_notices, differing_copies(self.sources[VAE][name], prompt))

    def prompt_vae_state_dict(self, dtype: torch.dtype | None = None) -> dict[str, torch.Tensor]:
        """`state_dict` of the VAE that encodes audio prompts; only its encoder counts."""
        reader = TensorReader()
        encoder = {name: reader.tensor(source, dtype or source.dtype) for name, source in self.prompt_encoder.items()}
        return self.state_dict(VAE, dtype) | encoder

    def load_prompt_vae(self, dtype: torch.dtype) -> OobleckVAE:
        """The VAE that encodes audio prompts."""
        self.require(VAE)
        vae = OobleckVAE(self.sizes[VAE], device="meta")
        vae.load_state_dict(self.prompt_vae_state_dict(dtype), assign=True)
        return vae.eval().requires_grad_(False)

    def describe(self) -> dict[str, Any]:
        """The checkpoint as plain values: variant, components with file, counts, bytes, types and sizes."""
        return {
            "variant": self.variant,
            "variant_source": self.variant_source,
            "parts": {part: self._describe_part(part) for part in self.parts},
            "absent": {part: HOW_TO_ADD[part] for part in COMPONENTS if part not in self.parts},
            "notices": list(self.opening_notices),
            "files": [
                {
                    "path": str(file.path),
                    "bytes": sum(path.stat().st_size for path in file.paths),
                    "metadata": file.metadata,
                }
                for file in self.files
            ],
        }

    def tokenizer_json(self) -> bytes:
        """Contents of the text encoder's tokenizer.json.

        Raises:
            AudioXError: the checkpoint has none.
        """
        return self.state_dict(TOKENIZER)[TOKENIZER_NAME].numpy().tobytes()

    def _describe_part(self, part: str) -> dict[str, Any]:
        if part == TOKENIZER and self.tokenizer_file is not None:
            return {"file": str(self.tokenizer_file), "bytes": self.tokenizer_file.stat().st_size}
        return describe_tensors(self.sources[part]) | {"sizes": repr(self.sizes.get(part))}

    def require(self, part: str) -> None:
        """Make sure that a component is there.

        Raises:
            AudioXError: it isn't; says where to put which file.
        """
        if part not in self.parts:
            release = next(key for key, release in RELEASES.items() if release.variant == self.variant)
            fetch = f"`python -m audiox_core download {release}` fetches only what is missing"
            raise MissingComponent(
                f"{HOW_TO_ADD[part]}: {self.layout.model} comes without a {COMPONENT_TITLES[part]}; {fetch}.",
                OPTIONS.get(part),
            )


class TensorReader:
    """Reads tensors from files, each of which is opened once."""

    def __init__(self) -> None:
        self._open: dict[Path, OpenTensors] = {}

    def tensor(self, source: TensorSource, dtype: torch.dtype) -> torch.Tensor:
        """One native tensor; a view into the mapped file if it needs no conversion."""
        file = self._opened(source)
        stored = [file.read(name) for name in source.recipe.sources]
        tensor = source.recipe.transform.apply(*stored, dtype=dtype)
        if tensor.data_ptr() != stored[0].data_ptr():
            for each in stored:
                file.done(each)
        return tensor

    def done(self, source: TensorSource, tensor: torch.Tensor) -> None:
        """Release the mapped pages of a tensor that was used as stored."""
        file = self._opened(source)
        stored = file.read(source.recipe.sources[0])
        if tensor.data_ptr() == stored.data_ptr():
            file.done(stored)

    def equal(self, one: TensorSource, other: TensorSource) -> bool:
        """Are two native tensors the same, in the coarser of their two types?"""
        if one.shape != other.shape:
            return False
        if one.recipe.transform is not other.recipe.transform:
            coarse = coarser(one.dtype, other.dtype)
            return torch.equal(self.tensor(one, coarse), self.tensor(other, coarse))
        pairs = zip(one.recipe.sources, other.recipe.sources, strict=True)
        return all(self._equal_stored(one, a, other, b) for a, b in pairs)

    def _equal_stored(self, one: TensorSource, a: str, other: TensorSource, b: str) -> bool:
        files = self._opened(one), self._opened(other)
        stored = files[0].read(a), files[1].read(b)
        coarse = coarser(*(tensor.dtype for tensor in stored))
        same = torch.equal(*(tensor.to(coarse) for tensor in stored))
        for file, tensor in zip(files, stored, strict=True):
            file.done(tensor)
        return same

    def _opened(self, source: TensorSource) -> OpenTensors:
        path = source.file.path
        if path not in self._open:
            self._open[path] = source.file.open()
        return self._open[path]


def describe_tensors(sources: TensorSources) -> dict[str, Any]:
    """File, counts, bytes and types of a component, as plain values."""
    types: dict[str, int] = {}
    for source in sources.values():
        name = str(source.dtype).removeprefix("torch.")
        types[name] = types.get(name, 0) + 1
    return {
        "file": str(next(iter(sources.values())).file.path),
        "tensors": len(sources),
        "numbers": sum(math.prod(source.shape) for source in sources.values()),
        "bytes": sum(math.prod(source.shape) * source.dtype.itemsize for source in sources.values()),
        "dtypes": types,
    }


def coarser(*dtypes: torch.dtype) -> torch.dtype:
    """The type that takes the fewest bytes."""
    return min(dtypes, key=lambda dtype: dtype.itemsize)
