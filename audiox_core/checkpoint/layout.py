"""Which files make up a checkpoint, from the path of a folder or of one file in it.

Known layouts: the released folder (`audiox_turbo/`, `pretrained_ckpt/`, `pretransform/`, `synchformer/`), one
folder for each variant as other node packs keep it (`models/AudioX/<variant>/model.ckpt`, `VAE.ckpt`,
`synchformer_state_dict.pth`), and a single file with or without companions beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import AudioXError
from .key_mapping import NETWORK, is_released
from .reader import SUFFIXES, TensorFile
from .single_file import PREFIXES, is_single_file

_OFFICIAL_FOLDERS = {"audiox_turbo", "pretrained_ckpt", "pretransform", "synchformer"}
_VAE_STEMS = {"vae"}
_SYNCHFORMER_STEMS = {"synchformer_state_dict", "synchformer"}
_T5_FOLDERS = {"t5-base", "t5_base", "t5base", "google-t5--t5-base"}
_T5_FILES = ("model.safetensors", "pytorch_model.bin")
_COMPANION_STEMS = _VAE_STEMS | _SYNCHFORMER_STEMS | {"optimizer", "scheduler", "training_args"}
_COMPANION_FOLDER = re.compile(r"pretransform|synchformer|(?:google-*)?t5[-_].*|.*clip-vit.*")

TRAINING_PREFIXES = ("module.", "model.", "student.", "student.model.", "student.module.", "module.student.")
"""What training code puts in front of every name."""

_HINTS = (
    ("turbo", re.compile(r"turbo|student|distill|(?<![a-z])dmd(?![a-z])")),
    ("base", re.compile(r"teacher|pretrained_ckpt|(?<![a-z])base(?![a-z])")),
    ("maf-mmdit", re.compile(r"maf|mmdit")),  # AudioX-MAF itself is known by its tensors
)


@dataclass(frozen=True)
class Layout:
    """Paths of the files of one checkpoint; None for what was not found."""

    model: Path
    vae: Path | None = None
    synchformer: Path | None = None
    text_encoder: Path | None = None
    tokenizer: Path | None = None
    config: Path | None = None


def strip_training_prefix(name: str) -> str | None:
    """The released name behind a stored one, without a training prefix; None when there is none."""
    for prefix in ("", *TRAINING_PREFIXES):
        if name.startswith(prefix) and is_released(name[len(prefix) :]):
            return name[len(prefix) :]
    return None


def is_companion(name: Path | str) -> bool:
    """Is a file, by its path relative to a folder of models, a VAE, Synchformer or encoder and so no model to open?"""
    path = Path(str(name).lower())
    folders = path.parts[:-1]
    return path.stem in _COMPANION_STEMS or any(_COMPANION_FOLDER.fullmatch(folder) for folder in folders)


def holds_network(file: TensorFile) -> bool:
    """Does a file hold the transformer (of any AudioX), in released or in our names?"""
    if is_single_file(file.shapes):
        return any(name.startswith(PREFIXES[NETWORK]) for name in file.shapes)
    return any(".transformer.layers.0." in f".{name}" and "model." in name for name in file.shapes)


def find_layout(path: Path | str, variant: str | None = None) -> Layout:
    """Find the model file at a path, and its companions around it.

    Raises:
        AudioXError: nothing there, no model among the files, or several with nothing to choose by.
    """
    path = Path(path)
    model = _model_in(path, variant) if path.is_dir() else path
    return _with_companions(model, [model.parent, model.absolute().parent.parent])


def variant_hint(path: Path) -> tuple[str, str] | None:
    """(variant, "file name" or "folder name") that the names say, the nearest first, or None.

    A name that says two things says nothing, and stops the search: the loader has to be told.
    """
    path = path.absolute()
    named = [(path.stem, "file name"), *((folder.name, "folder name") for folder in path.parents[:2])]
    for name, source in named:
        name = name.lower().replace("t5-base", "").replace("t5_base", "")
        found = [variant for variant, pattern in _HINTS if pattern.search(name)]
        if found:
            return (found[0], source) if len(found) == 1 else None
    return None


def config_objective(config: Path | None) -> str | None:
    """The training objective in upstream's config.json: "rectified_flow" or "v"."""
    if config is None:
        return None
    try:
        return json.loads(config.read_text(encoding="utf-8"))["model"]["diffusion"]["diffusion_objective"]
    except (ValueError, KeyError, TypeError):
        return None  # some other program's config.json


def find_text_encoder(path: Path | str) -> tuple[Path, Path | None]:
    """(weights, tokenizer.json) of a T5 given as a folder or as a file.

    Raises:
        AudioXError: the folder holds no weights.
    """
    path = Path(path)
    if not path.is_dir():
        tokenizer = path.parent / "tokenizer.json"
        return path, tokenizer if tokenizer.is_file() else None
    for name in _T5_FILES:
        if (path / name).is_file():
            tokenizer = path / "tokenizer.json"
            return path / name, tokenizer if tokenizer.is_file() else None
    raise AudioXError(f"{path} holds no T5: expected {' or '.join(_T5_FILES)} in it.")


def _model_in(folder: Path, variant: str | None) -> Path:
    found, errors = [], []
    for candidate in _candidates(folder):
        try:
            if holds_network(TensorFile(candidate)):
                found.append(candidate)
        except AudioXError as error:
            errors.append(error)
    if len(found) > 1 and variant is not None:
        hinted = [path for path in found if (variant_hint(path) or ("",))[0] == variant]
        found = hinted or found
    found = list(_one_per_stem(found))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(path.relative_to(folder)) for path in found)
        raise AudioXError(f"{folder} holds several models ({names}); give the path of one of them, or say the variant.")
    if errors:
        raise errors[0]
    raise AudioXError(f"{folder} holds no AudioX model; expected audiox_turbo/audiox_turbo.ckpt or such.")


def _candidates(folder: Path) -> Iterator[Path]:
    """Files in a folder and its sub folders that may be a model, by name."""
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        if path.suffix.lower() in SUFFIXES and path.is_file() and not is_companion(path.relative_to(folder)):
            yield path


def _one_per_stem(paths: Iterable[Path]) -> Iterator[Path]:
    """Of model.ckpt and model.safetensors side by side, which are the same weights, the safer one."""
    best: dict[Path, Path] = {}
    for path in paths:
        known = best.get(path.with_suffix(""))
        if known is None or path.suffix == ".safetensors":
            best[path.with_suffix("")] = path
    yield from best.values()


def _with_companions(model: Path, roots: list[Path]) -> Layout:
    near = roots[0]
    weights = tokenizer = None
    folder = next((sub for root in roots for sub in _sub_folders(root, _T5_FOLDERS)), None)
    if folder is not None and any((folder / name).is_file() for name in _T5_FILES):
        weights, tokenizer = find_text_encoder(folder)
    config = near / "config.json"
    return Layout(
        model=model,
        vae=_companion(roots, model, _VAE_STEMS, {"pretransform", "vae"}),
        synchformer=_companion(roots, model, _SYNCHFORMER_STEMS, {"synchformer"}),
        text_encoder=weights,
        tokenizer=tokenizer,
        config=config if config.is_file() else None,
    )


def _companion(roots: list[Path], model: Path, stems: set[str], folders: set[str]) -> Path | None:
    """A file with one of the stems: beside the model, or in a folder of upstream's name around it."""
    places = [roots[0]]
    for root in roots:
        places += _sub_folders(root, folders)
    if roots[0].name.lower() in _OFFICIAL_FOLDERS:
        places.append(roots[0].parent)
    for place in places:
        matches = [
            path
            for path in sorted(_entries(place))
            if path.stem.lower() in stems and path.suffix.lower() in SUFFIXES and path.is_file()
        ]
        if matches and model not in matches:
            return next(_one_per_stem(sorted(matches, key=lambda path: path.suffix != ".safetensors")))
    return None


def _sub_folders(root: Path, names: set[str]) -> list[Path]:
    return [path for path in sorted(_entries(root)) if path.name.lower() in names and path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
