"""The released weights: which files, from which repository, how large, under which licence, into which folder.

Repositories and files are those of the papers' own instructions. Large sizes are counted from the tensors in float32;
revisions are those that public projects pin. The exact size and checksum come from the hub when a file is fetched, see
`download`. Nothing here needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .variants import VARIANTS, join_or

MODELS_FOLDER = "models/audiox"
"""The folder of the models' folders, in ComfyUI's base folder or below the current one."""

LICENCE = "CC-BY-NC 4.0 (no commercial use)"
WATERMARKED = f"{LICENCE}; the sound it generates is watermarked"


@dataclass(frozen=True)
class Repository:
    """A repository on the Hugging Face hub, and a revision of it that has the files."""

    name: str
    revision: str

    @property
    def page(self) -> str:
        """Its web address."""
        return f"https://huggingface.co/{self.name}"


@dataclass(frozen=True)
class WeightFile:
    """A file of a repository.

    size: in bytes, exact where sha256 is given, 0 for a few thousand. folder: the subfolder of the model's folder in
    which its own path begins.
    """

    repository: Repository
    source: str
    size: int
    purpose: str
    sha256: str | None = None
    folder: str = ""

    @property
    def path(self) -> str:
        """Its path in the model's folder."""
        return f"{self.folder}/{self.source}" if self.folder else self.source

    @property
    def page(self) -> str:
        """The address at which a browser gets it."""
        return f"{self.repository.page}/resolve/main/{self.source}"


@dataclass(frozen=True)
class Release:
    """A released model. variant: a key of `variants.VARIANTS`; folder: its name; files: the model first."""

    variant: str
    folder: str
    files: tuple[WeightFile, ...]
    licence: str

    @property
    def title(self) -> str:
        """The model's name."""
        return VARIANTS[self.variant].title

    @property
    def model(self) -> WeightFile:
        """The file with the transformer."""
        return self.files[0]

    @property
    def checkpoint(self) -> str:
        """The name under which Load AudioX lists it."""
        return f"{self.folder}/{self.model.path}"

    @property
    def size(self) -> int:
        """Bytes of all files, approximately."""
        return sum(file.size for file in self.files)


_TURBO = Repository("HKUSTAudio/AudioX-Turbo", "67af549c42aabdb666e559cb4993eddf48b62f08")
_V1 = Repository("HKUSTAudio/AudioX", "3d49eff6430b739ba5a28357b1a0eedd843e6711")
_MAF = Repository("HKUSTAudio/AudioX-MAF", "0a6575a6fd58039281584ad1c6f9e895233e8ca7")
_MAF_MMDIT = Repository("HKUSTAudio/AudioX-MAF-MMDiT", "2db085273efb141facde8d15a22a4f7cd9734df4")
_T5 = Repository("google-t5/t5-base", "a9723ea7f1b39c1eae772870f3b547bf6ef7e6c1")

_SYNCHFORMER_SIZE = 950_058_171  # 490 MB of it are read; AudioX does not use the other branches

KNOWN_CONTENT = {
    "synchformer_state_dict.pth": (
        _SYNCHFORMER_SIZE,
        "sha256:8aff082f2df5c3bc52759db0c865c7ee772ae6400b860d1b7e90413f2defb67c",
    ),
}
"""File name -> size and checksum of the one that other packs (MMAudio, HunyuanVideo-Foley, ...) have as well."""

T5_FILES = (
    WeightFile(
        _T5,
        "model.safetensors",
        891_646_390,
        "text",
        folder="t5-base",
        sha256="a90903540cc02cbeb7ff9f823f1a80eb778c7e22426a0e620b01c77a5ec8f5b4",
    ),
    WeightFile(
        _T5,
        "tokenizer.json",
        1_389_353,
        "text",
        folder="t5-base",
        sha256="d2acde0d8d71dd30a711834b07781b9c89feaac33fd332f60507699282740066",
    ),
)
"""T5-base, which no AudioX repository contains. Its licence is Apache-2.0."""

_TURBO_PARTS = (
    WeightFile(_TURBO, "pretransform/vae.ckpt", 624_450_056, "the VAE"),
    WeightFile(_TURBO, "synchformer/synchformer_state_dict.pth", _SYNCHFORMER_SIZE, "videos"),
    *T5_FILES,
)


def _family(variant: str, repository: Repository, size: int, *companions: WeightFile) -> Release:
    """A release of the models before Turbo: `model.ckpt` and its companions."""
    files = (
        WeightFile(repository, "model.ckpt", size, "the model"),
        WeightFile(repository, "config.json", 0, "the settings"),
        *companions,
        *T5_FILES,
    )
    return Release(variant, repository.name.split("/")[1], files, LICENCE)


RELEASES = {
    "turbo": Release(
        "turbo",
        "AudioX-Turbo",
        (WeightFile(_TURBO, "audiox_turbo/audiox_turbo.ckpt", 10_842_967_008, "the model"), *_TURBO_PARTS),
        WATERMARKED,
    ),
    "base": Release(
        "base",
        "AudioX-Turbo",
        (WeightFile(_TURBO, "pretrained_ckpt/pretrained_ckpt.ckpt", 10_842_967_008, "the model"), *_TURBO_PARTS),
        WATERMARKED,
    ),
    "audiox": _family("v1", _V1, 5_956_699_216),
    "maf": _family(
        "maf",
        _MAF,
        5_571_549_284,
        WeightFile(_MAF, "synchformer_state_dict.pth", _SYNCHFORMER_SIZE, "videos"),
    ),
    # This repository's VAE.ckpt is left out: model.ckpt contains the same values, and they are the ones used.
    "maf-mmdit": _family(
        "maf-mmdit",
        _MAF_MMDIT,
        10_842_967_008,
        WeightFile(_MAF_MMDIT, "synchformer_state_dict.pth", _SYNCHFORMER_SIZE, "videos"),
    ),
}
"""Name for `audiox download` -> release."""

_NAME_HINTS = (
    ("pretrained_ckpt", "base"),
    ("turbo", "turbo"),
    ("mmdit", "maf-mmdit"),
    ("maf", "maf"),
    ("base", "base"),
    ("audiox", "audiox"),
)
"""Words in a checkpoint's name that show which release it is; the first match counts."""


def release_of(checkpoint: str) -> str:
    """Which of RELEASES a checkpoint's name suggests; turbo if it suggests none."""
    name = checkpoint.lower().replace("t5-base", "")
    return next((release for word, release in _NAME_HINTS if word in name), "turbo")


def default_folder() -> Path:
    """models/audiox of the ComfyUI in whose custom_nodes this pack is, else below the current folder."""
    nodes = Path(__file__).absolute().parents[3]
    return nodes.parent / MODELS_FOLDER if nodes.name == "custom_nodes" else Path(MODELS_FOLDER)


def gigabytes(size: int) -> str:
    """'10.8 GB', '892 MB' or '5 kB'."""
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def files_of(release: Release) -> str:
    """'audiox_turbo/audiox_turbo.ckpt (10.8 GB), ... from <address>, and ... from <address>'."""
    lists = []
    for repository in dict.fromkeys(file.repository for file in release.files):
        files = [
            f"{file.source} ({gigabytes(file.size)})" if file.size else file.source
            for file in release.files
            if file.repository == repository
        ]
        lists.append(f"{', '.join(files)} from {repository.page}")
    return ", and ".join(lists)


def how_to_get(checkpoint: str, command: str, available: list[str]) -> str:
    """The message for a missing checkpoint.

    checkpoint: its name; command: downloads it, with {} for the model; available: names to choose instead.
    """
    key = release_of(checkpoint)
    release = RELEASES[key]
    others = join_or([name for name in RELEASES if name != key])
    choose = f" Or choose one that you have: {', '.join(available[:5])}." if available else ""
    return (
        f"There is no checkpoint {checkpoint!r}. {command.format(key)} downloads {release.title} (or {others}, the "
        f"other models): {files_of(release)}, {gigabytes(release.size)} in all, licence: {release.licence}. By hand: "
        f"put them into {MODELS_FOLDER}/{release.folder}, in the same folders as there, and T5's two files into "
        f"{MODELS_FOLDER}/{release.folder}/t5-base.{choose}"
    )
