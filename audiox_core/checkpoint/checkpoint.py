"""An opened checkpoint: what it holds, and its tensors when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..errors import AudioXError
from ..lengths import PROMPT_SAMPLES
from ..models.conditioners import AudioSizes
from ..models.vae import OobleckVAE, silence_statistics
from .detection import stored_guidance
from .file_contents import TensorSource, TensorSources
from .key_mapping import CLIP_VISION, NETWORK, PARTS, SYNCHFORMER, T5, TOKENIZER, VAE
from .layout import Layout
from .reader import OpenTensors, TensorFile
from .single_file import TOKENIZER_NAME
from .transforms import Shape
from .validation import SILENCE_NAMES, float32_names, read_sizes

HOW_TO_ADD = {
    NETWORK: "give the model file, for example audiox_turbo.ckpt",
    VAE: "put vae.ckpt beside the model or in a folder pretransform/ next to it, or pass it as --vae on the command "
    "line",
    CLIP_VISION: "it is in the released model file: use that one, not a file with the diffusion model alone",
    SYNCHFORMER: "put synchformer_state_dict.pth beside the model or in a folder synchformer/ next to it, or "
    "pass it as --synchformer on the command line",
    T5: "put t5-base with its model.safetensors in a folder t5-base/ next to the model, or pass it as "
    "--text-encoder on the command line",
    TOKENIZER: "put t5-base's tokenizer.json beside the text encoder's weights",
}

PART_TITLES = {
    NETWORK: "diffusion model",
    VAE: "VAE",
    CLIP_VISION: "CLIP vision tower",
    SYNCHFORMER: "Synchformer",
    T5: "T5 text encoder",
    TOKENIZER: "tokenizer",
}


@dataclass(frozen=True)
class Checkpoint:
    """An opened and checked checkpoint; no weights are in memory yet.

    variant: a key of `variants.VARIANTS`. variant_source: what told it, see `variant.variant_of`.
    origins: part -> native name -> where the tensor comes from.
    vae_copies: other copies of the VAE, which must agree with the one used.
    tokenizer_file: tokenizer.json when it is a file of its own.
    """

    layout: Layout
    variant: str
    variant_source: str
    origins: Mapping[str, TensorSources]
    vae_copies: tuple[TensorSources, ...] = ()
    tokenizer_file: Path | None = None

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts that are there: network, vae, clip_vision, synchformer, t5, tokenizer."""
        held = {*self.origins, *([TOKENIZER] if self.tokenizer_file else [])}
        return tuple(part for part in PARTS if part in held)

    @cached_property
    def sizes(self) -> dict[str, Any]:
        """Part -> its sizes object, read off the shapes."""
        return {part: read_sizes(part, self.shapes(part)) for part in self.origins if part != TOKENIZER}

    @cached_property
    def files(self) -> tuple[TensorFile, ...]:
        """The tensor files that something is read from."""
        every = [origin.file for origins in self.origins.values() for origin in origins.values()]
        return tuple({file.path: file for file in every}.values())

    @property
    def guidance(self) -> float | None:
        """The guidance scale that the model's file asks for in place of its variant's."""
        return stored_guidance(next(iter(self.origins[NETWORK].values())).file)

    def video_encoders(self) -> tuple[str, ...]:
        """Parts that a video prompt of this model goes through, whether they are there or not."""
        return (CLIP_VISION, SYNCHFORMER) if self.sizes[NETWORK].video.sync_rows else (CLIP_VISION,)

    def shapes(self, part: str) -> dict[str, Shape]:
        """Native names and shapes of a part; the network's silence only when the file holds it."""
        self.require(part)
        return {name: origin.shape for name, origin in self.origins.get(part, {}).items()}

    def numbers(self, part: str) -> int:
        """How many numbers the tensors of a part hold."""
        return sum(math.prod(shape) for shape in self.shapes(part).values())

    def stored_dtype(self, part: str) -> torch.dtype:
        """The type in which most numbers of a part are stored."""
        self.require(part)
        held: dict[torch.dtype, int] = {}
        for origin in self.origins[part].values():
            held[origin.dtype] = held.get(origin.dtype, 0) + math.prod(origin.shape)
        return max(held, key=held.__getitem__)

    def state_dict(self, part: str, dtype: torch.dtype | None = None) -> dict[str, torch.Tensor]:
        """Tensors of a part under native names, on the CPU.

        One tensor is converted after the other, so that only the result and one source are in memory. What
        needs no conversion stays mapped from the file. Weights that the model keeps in float32 (the time
        features, the statistics of silence) stay so whatever `dtype` says; None keeps the file's types.

        Raises:
            AudioXError: the checkpoint lacks the part, or its two copies of the VAE differ.
        """
        self.require(part)
        if part == VAE:
            self.check_vae_copies()
        reading = TensorReader()
        tensors = {name: reading.tensor(origin, wanted) for name, origin, wanted in self.wanted_types(part, dtype)}
        if part == TOKENIZER and self.tokenizer_file is not None:
            content = bytearray(self.tokenizer_file.read_bytes())
            tensors[TOKENIZER_NAME] = torch.frombuffer(content, dtype=torch.uint8)
        if part == NETWORK:
            tensors |= self.silence()
        return tensors

    def wanted_types(self, part: str, dtype: torch.dtype | None) -> Iterator[tuple[str, TensorSource, torch.dtype]]:
        """Name, origin and final type of each stored tensor of a part."""
        fixed = float32_names(part, self.shapes(part)) if part == NETWORK else frozenset()
        for name, origin in self.origins.get(part, {}).items():
            stored = origin.dtype
            yield name, origin, _final_type(stored, torch.float32 if name in fixed and dtype else dtype)

    def silence(self) -> dict[str, torch.Tensor]:
        """The network's statistics of encoded silence, from the VAE; empty where the file has them or none need be."""
        audio = self.sizes[NETWORK].audio
        if not isinstance(audio, AudioSizes) or all(name in self.origins[NETWORK] for name in SILENCE_NAMES):
            return {}
        if VAE not in self.origins:
            raise AudioXError(
                f"{self.layout.model} has no VAE and no statistics of silence, which the model needs "
                f"without an audio prompt: {HOW_TO_ADD[VAE]}."
            )
        vae = OobleckVAE(self.sizes[VAE], device="meta")
        vae.load_state_dict(self.state_dict(VAE, torch.float32), assign=True)
        values = silence_statistics(vae.eval(), PROMPT_SAMPLES)
        expected = (audio.latent_channels, audio.latent_length)
        if tuple(values[0].shape) != expected:
            raise AudioXError(
                f"The VAE of {self.layout.model} makes latents {list(values[0].shape)} of a 10 s prompt, the "
                f"model expects {list(expected)}; use the VAE that belongs to it."
            )
        return {name: value.contiguous() for name, value in zip(SILENCE_NAMES, values, strict=True)}

    def check_vae_copies(self) -> None:
        """Compare the VAE's copies value by value, once.

        Raises:
            AudioXError: they differ; upstream would encode with one and decode with the other.
        """
        _ = self._vae_copies_agree

    @cached_property
    def _vae_copies_agree(self) -> bool:
        reading = TensorReader()
        for copy in self.vae_copies:
            for name, origin in copy.items():
                used = self.origins[VAE][name]
                if not reading.equal(used, origin):
                    raise AudioXError(
                        f"The VAE in {used.file.path} and the one in {origin.file.path} differ at "
                        f"{origin.recipe.sources[-1]}; remove the wrong one, or pass the right one as --vae on the "
                        "command line."
                    )
        return True

    def describe(self) -> dict[str, Any]:
        """What was found, as plain values: variant, parts with file, counts, bytes, types and sizes."""
        return {
            "variant": self.variant,
            "variant_source": self.variant_source,
            "parts": {part: self._describe_part(part) for part in self.parts},
            "absent": {part: HOW_TO_ADD[part] for part in PARTS if part not in self.parts},
            "files": [
                {"path": str(file.path), "bytes": file.path.stat().st_size, "metadata": file.metadata}
                for file in self.files
            ],
        }

    def tokenizer_json(self) -> bytes | None:
        """Contents of the text encoder's tokenizer.json; None when the checkpoint brings none."""
        if TOKENIZER not in self.parts:
            return None
        return self.state_dict(TOKENIZER)[TOKENIZER_NAME].numpy().tobytes()

    def _describe_part(self, part: str) -> dict[str, Any]:
        if part not in self.origins:
            return {"file": str(self.tokenizer_file), "bytes": self.tokenizer_file.stat().st_size}
        return describe_tensors(self.origins[part]) | {"sizes": repr(self.sizes.get(part))}

    def require(self, part: str) -> None:
        """Make sure that a part is there.

        Raises:
            AudioXError: it is not; says where to put which file.
        """
        if part not in self.parts:
            raise AudioXError(f"{self.layout.model} comes without a {PART_TITLES[part]}: {HOW_TO_ADD[part]}.")


class TensorReader:
    """Values from files that are opened once for a series of reads."""

    def __init__(self) -> None:
        self._open: dict[Path, OpenTensors] = {}

    def tensor(self, origin: TensorSource, dtype: torch.dtype) -> torch.Tensor:
        """One native tensor; a view into the mapped file when nothing has to be done to it."""
        opened = self._opened(origin)
        sources = [opened.read(name) for name in origin.recipe.sources]
        made = origin.recipe.transform.apply(*sources, dtype=dtype)
        if made.data_ptr() != sources[0].data_ptr():
            for source in sources:
                opened.done(source)
        return made

    def done(self, origin: TensorSource, tensor: torch.Tensor) -> None:
        """Give the pages of a tensor back that was not converted and has been used up."""
        opened = self._opened(origin)
        source = opened.read(origin.recipe.sources[0])
        if tensor.data_ptr() == source.data_ptr():
            opened.done(source)

    def equal(self, one: TensorSource, other: TensorSource) -> bool:
        """Are two native tensors the same, in the coarser of their two types?"""
        if one.shape != other.shape:
            return False
        if one.recipe.transform is not other.recipe.transform:
            coarse = coarser(one.dtype, other.dtype)
            return torch.equal(self.tensor(one, coarse), self.tensor(other, coarse))
        pairs = zip(one.recipe.sources, other.recipe.sources, strict=True)
        return all(self._equal_sources(one, a, other, b) for a, b in pairs)

    def _equal_sources(self, one: TensorSource, a: str, other: TensorSource, b: str) -> bool:
        opened = self._opened(one), self._opened(other)
        stored = opened[0].read(a), opened[1].read(b)
        coarse = coarser(*(tensor.dtype for tensor in stored))
        same = torch.equal(*(tensor.to(coarse) for tensor in stored))
        for file, tensor in zip(opened, stored, strict=True):
            file.done(tensor)
        return same

    def _opened(self, origin: TensorSource) -> OpenTensors:
        path = origin.file.path
        if path not in self._open:
            self._open[path] = origin.file.open()
        return self._open[path]


def describe_tensors(origins: TensorSources) -> dict[str, Any]:
    """File, counts, bytes and types of a part, as plain values."""
    types: dict[str, int] = {}
    for origin in origins.values():
        name = str(origin.dtype).removeprefix("torch.")
        types[name] = types.get(name, 0) + 1
    numbers = sum(torch.Size(origin.shape).numel() for origin in origins.values())
    return {
        "file": str(next(iter(origins.values())).file.path),
        "tensors": len(origins),
        "numbers": numbers,
        "bytes": sum(torch.Size(origin.shape).numel() * origin.dtype.itemsize for origin in origins.values()),
        "dtypes": types,
    }


def coarser(*dtypes: torch.dtype) -> torch.dtype:
    """The type that takes the fewest bytes."""
    return min(dtypes, key=lambda dtype: dtype.itemsize)


def _final_type(stored: torch.dtype, wanted: torch.dtype | None) -> torch.dtype:
    return wanted if wanted is not None and stored.is_floating_point else stored
