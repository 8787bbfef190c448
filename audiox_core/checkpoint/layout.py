"""Which files make up a checkpoint, found from the path of a folder or of one file in it.

Known layouts: the released folder (`audiox_turbo/`, `pretrained_ckpt/`, `pretransform/`, `synchformer/`), one
folder for each variant as other node packs keep it (`models/AudioX/<variant>/model.ckpt`, `VAE.ckpt`,
`synchformer_state_dict.pth`), a single file with or without companions beside it, and files in pieces, see `shards`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import AudioXError
from ..release.components import NETWORK
from .reader import SUFFIXES, TensorFile
from .shards import COMPONENT_FOLDERS, INDEX_SUFFIX, NUMBERED, is_first_shard, open_file
from .single_file import PREFIXES, is_single_file

_OFFICIAL_FOLDERS = {"audiox_turbo", "pretrained_ckpt", "pretransform", "synchformer"}
_VAE_STEMS = {"vae"}
_SYNCHFORMER_STEMS = {"synchformer_state_dict", "synchformer"}
_T5_FOLDERS = {"t5-base", "t5_base", "t5base", "google-t5--t5-base"}
_T5_FILES = ("model.safetensors", "pytorch_model.bin")
_COMPANION_STEMS = _VAE_STEMS | _SYNCHFORMER_STEMS | {"optimizer", "scheduler", "training_args"}
_COMPANION_FOLDER = re.compile(r"pretransform|synchformer|conditioners|vae|(?:google-*)?t5[-_].*|.*clip-vit.*")

_HINTS = (
    ("turbo", re.compile(r"turbo|student|distill|(?<![a-z])dmd(?![a-z])")),
    ("base", re.compile(r"teacher|pretrained_ckpt|(?<![a-z])base(?![a-z])")),
    ("maf-mmdit", re.compile(r"maf|mmdit")),  # AudioX-MAF itself is known by its tensors
)


@dataclass(frozen=True)
class Layout:
    """Paths of the files of one checkpoint; None for those that were not found."""

    model: Path
    vae: Path | None = None
    synchformer: Path | None = None
    text_encoder: Path | None = None
    tokenizer: Path | None = None
    config: Path | None = None


def is_companion(name: Path | str) -> bool:
    """Is a file, by its path below a folder of models, a VAE, Synchformer or encoder rather than a model to open?"""
    path = Path(str(name).lower())
    folders = path.parts[:-1]
    if path.stem in _COMPANION_STEMS or not is_first_shard(path):
        return True
    return any(_COMPANION_FOLDER.fullmatch(folder) for folder in folders)


def holds_network(file: TensorFile) -> bool:
    """Does a file hold the transformer of any AudioX, under released or under our names?"""
    if is_single_file(file.shapes):
        return any(name.startswith(PREFIXES[NETWORK]) for name in file.shapes)
    return any(".transformer.layers.0." in f".{name}" and "model." in name for name in file.shapes)


def find_model(path: Path | str, variant: str | None = None) -> TensorFile:
    """The model file at a path; of several in a folder, the one whose name says the variant.

    Raises:
        AudioXError: nothing there, no model among the files, or several and no way to choose.
    """
    path = Path(path)
    return _model_in(path, variant) if path.is_dir() else open_file(path)


def find_layout(model: Path) -> Layout:
    """The companions around a model file."""
    roots = [model.parent, model.absolute().parent.parent]
    weights = tokenizer = None
    folder = next((sub for root in roots for sub in _sub_folders(root, _T5_FOLDERS)), None)
    if folder is not None and any((folder / name).is_file() for name in _T5_FILES):
        weights, tokenizer = find_text_encoder(folder)
    config = model.parents[model.parent.name in COMPONENT_FOLDERS] / "config.json"
    return Layout(
        model=model,
        vae=_companion(roots, model, _VAE_STEMS, {"pretransform", "vae"}),
        synchformer=_companion(roots, model, _SYNCHFORMER_STEMS, {"synchformer"}),
        text_encoder=weights,
        tokenizer=tokenizer,
        config=config if config.is_file() else None,
    )


def variant_hint(path: Path) -> tuple[str, str] | None:
    """(variant, "file name" or "folder name") that the names say, the nearest first, or None.

    An ambiguous name ends the search; the variant must then be given.
    """
    path = path.absolute()
    names = [(path.stem, "file name"), *((folder.name, "folder name") for folder in path.parents[:2])]
    for name, source in names:
        name = name.lower().replace("t5-base", "").replace("t5_base", "")
        variants = [variant for variant, pattern in _HINTS if pattern.search(name)]
        if variants:
            return (variants[0], source) if len(variants) == 1 else None
    return None


def config_objective(config: Path | None) -> str | None:
    """The training objective in the official config.json: "rectified_flow" or "v"."""
    if config is None:
        return None
    try:
        return json.loads(config.read_text(encoding="utf-8"))["model"]["diffusion"]["diffusion_objective"]
    except (ValueError, KeyError, TypeError, RecursionError):
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
    raise AudioXError(f"{path} holds no T5, expected {' or '.join(_T5_FILES)} in it.")


def _model_in(folder: Path, variant: str | None) -> TensorFile:
    models: dict[Path, TensorFile] = {}
    errors = []
    for path in _candidates(folder):
        try:
            file = open_file(path)
        except AudioXError as error:
            errors.append(error)
            continue
        if holds_network(file):
            models[path] = file
    paths = list(models)
    if len(paths) > 1 and variant is not None:
        paths = [path for path in paths if (variant_hint(path) or ("",))[0] == variant] or paths
    paths = list(_one_per_stem(paths))
    if len(paths) == 1:
        return models[paths[0]]
    if paths:
        names = ", ".join(str(path.relative_to(folder)) for path in paths)
        raise AudioXError(f"{folder} holds several models ({names}); give the path of one of them, or say the variant.")
    if errors:
        raise errors[0]
    raise AudioXError(f"{folder} holds no AudioX model, expected a file such as audiox_turbo/audiox_turbo.ckpt.")


def _candidates(folder: Path) -> Iterator[Path]:
    """Files in a folder and its subfolders that may be a model, by name."""
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        if is_companion(path.relative_to(folder)) or not path.is_file():
            continue
        if path.suffix.lower() in SUFFIXES or (path.name.endswith(INDEX_SUFFIX) and not _has_numbered(path)):
            yield path


def _has_numbered(index: Path) -> bool:
    """Does an index list numbered files, of which the first stands for all?"""
    return any(NUMBERED.fullmatch(path.name) for path in _entries(index.parent))


def _one_per_stem(paths: Iterable[Path]) -> Iterator[Path]:
    """Of model.ckpt and model.safetensors side by side, which are the same weights, the safer one."""
    best: dict[Path, Path] = {}
    for path in paths:
        stem = path.with_suffix("")
        if stem not in best or path.suffix == ".safetensors":
            best[stem] = path
    yield from best.values()


def _companion(roots: list[Path], model: Path, stems: set[str], folders: set[str]) -> Path | None:
    """A file with one of the stems: beside the model, or in one of the official folders around it."""
    searched = [roots[0]]
    for root in roots:
        searched += _sub_folders(root, folders)
    if roots[0].name.lower() in _OFFICIAL_FOLDERS:
        searched.append(roots[0].parent)
    for folder in searched:
        matches = [
            path
            for path in sorted(_entries(folder))
            if path.stem.lower() in stems and path.suffix.lower() in SUFFIXES and path.is_file()
        ]
        if matches and model not in matches:
            return next(_one_per_stem(sorted(matches, key=lambda path: path.suffix != ".safetensors")))
    return None


def _sub_folders(root: Path, names: set[str]) -> list[Path]:
    return [path for path in sorted(_entries(root)) if path.name.lower() in names and path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
