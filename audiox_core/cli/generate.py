"""`python -m audiox_core generate`: every task from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ..demo import DEFAULT, NAMES, demo_path
from ..disk import check_free, remove_leftovers
from ..errors import AudioXError
from ..lengths import SAMPLE_RATE, latent_frames, samples_from_seconds
from ..media.mix_modes import MixMode
from ..release.variants import SAMPLERS, VARIANTS
from ..request import Request, parse_range
from . import memory
from .progress import Bar

if TYPE_CHECKING:
    from torch import Tensor

    from ..checkpoint import Checkpoint
    from ..memory import Workload
    from ..pipeline import AudioX

SOUND_SUFFIXES = (".wav", ".flac")
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv")
WAV_BYTES = 8
"""Bytes of a stereo sample in a .wav, which holds 32-bit floats."""

SUFFIXES = ", ".join((*SOUND_SUFFIXES, *VIDEO_SUFFIXES))

DEFAULTS = {field.name: field.default for field in fields(Request) if field.default is not MISSING}
"""Options that are fields of a request -> their defaults."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `generate`."""
    add_model_arguments(parser)
    add_sound_arguments(parser)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model generates the sound, and how it runs."""
    parser.add_argument(
        "--model", help="checkpoint: a file, or a folder in the released layout; default: the demo that comes along"
    )
    parser.add_argument("--variant", choices=tuple(VARIANTS), help="where the file and its name don't tell")
    parser.add_argument("--vae", help="a VAE file to use instead of the one found")
    parser.add_argument("--synchformer", help="a Synchformer file to use instead of the one found")
    parser.add_argument("--text-encoder", help="t5-base: its folder, or its safetensors file with tokenizer.json")
    memory.add_arguments(parser, "bf16 on a GPU and on a CPU that is faster with it, else fp32")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps, ...; default: a GPU where there is one")
    parser.add_argument(
        "--cuda-graphs",
        action="store_true",
        help="record the network's work on an NVIDIA GPU and replay it: for many steps or sounds",
    )


def add_sound_arguments(parser: argparse.ArgumentParser) -> None:
    """What to generate, and where it goes."""
    parser.add_argument("--prompt", help="what should be heard")
    parser.add_argument("--negative", help="what guidance should avoid (not for turbo)")
    picture = parser.add_mutually_exclusive_group()
    picture.add_argument("--video", help="video to generate sound for")
    picture.add_argument("--image", help="image to generate sound for")
    parser.add_argument("--video-start", type=float, metavar="S", help="skip the first S seconds of --video")
    parser.add_argument("--stride-sampling", action="store_true", help="pick frames as the official code does")
    parser.add_argument("--audio", help="sound to use as a prompt (a file with a sound track)")
    parser.add_argument("--audio-start", type=float, metavar="S", help="skip the first S seconds of --audio")
    parser.add_argument("--random-mask", action="store_true", help="mask the audio prompt as the official code does")
    parser.add_argument("--seconds", type=float, help="length, up to 600; 0: the video's; default: %(default)g")
    parser.add_argument("--loop", action="store_true", help="a sound whose end meets its beginning")
    parser.add_argument("--edit", metavar="FILE", help="sound to work on: vary, regenerate ranges, continue")
    parser.add_argument(
        "--range",
        action="append",
        default=[],
        metavar="START:END",
        help="part of --edit to regenerate in seconds, the rest is kept; may be repeated",
    )
    parser.add_argument("--before", type=float, metavar="S", help="seconds to generate before --edit")
    parser.add_argument("--after", type=float, metavar="S", help="seconds to generate after --edit")
    parser.add_argument("--denoise", type=float, metavar="X", help="below 1: how far the sound may leave --edit")
    parser.add_argument("--seed", type=int, help="random seed; the same seed gives the same sound")
    parser.add_argument("--batch", type=int, metavar="N", help="number of sounds; the seeds count up from --seed")
    parser.add_argument("--steps", type=int, help="default: 4 for turbo, 50 for base, 250 for the others")
    parser.add_argument("--cfg", type=float, help="guidance; default: turbo none, base 6, the others 7")
    parser.add_argument("--cfg-rescale", type=float, metavar="X", help="0 to 1: keep strong guidance in check")
    parser.add_argument("--video-cfg", type=float, metavar="X", help="separate guidance for video and audio")
    parser.add_argument("--sampler", choices=("auto", *SAMPLERS))
    parser.add_argument("--normalize", action="store_true", help="scale to full level, as the official code does")
    parser.add_argument(
        "--loudness", type=float, metavar="LUFS", help="such as -23 or -14, as far as peaks of -1 dBTP allow"
    )
    parser.add_argument("--mode", choices=get_args(MixMode), help="what happens to the video's own sound")
    parser.add_argument("--out", required=True, help=SUFFIXES)
    parser.set_defaults(**{name: value for name, value in DEFAULTS.items() if name != "ranges"})


def request_of(values: Mapping[str, Any]) -> Request:
    """The request that values of the options above describe; others are ignored."""
    named = {name: values[name] for name in DEFAULTS if name in values}
    return Request(**named, ranges=tuple(map(parse_range, values["range"])))


def run(args: argparse.Namespace) -> None:
    """Raises AudioXError for input that cannot work, before anything is written."""
    request = request_of(vars(args))
    outputs = output_paths(args.out, request)
    memory.check(args)
    from ..measure.loudness import check_target
    from ..memory.report import MemoryWatch

    if request.loudness is not None:
        check_target(request.loudness)
    request = request.with_length()
    prepare_folders([(path, request) for path in outputs])
    model = open_model(args, lambda checkpoint: workload(checkpoint, request))
    watch = MemoryWatch(model.device)
    model.stage = watch.stage
    with Bar() as bar:
        sounds = model.run(request, bar)
    print(watch.seen(), file=sys.stderr)
    for path, sound in zip(outputs, sounds, strict=True):
        write(path, sound, request)
        print(path)


def open_model(args: argparse.Namespace, job: Callable[[Checkpoint], Workload], device: str | None = None) -> AudioX:
    """The model that the arguments name, with a plan for its memory, and lines on stderr that describe both.

    job(checkpoint): what it will have to do.
    """
    from ..checkpoint import open_checkpoint  # after the cheap checks: torch takes seconds to import
    from ..memory.devices import check_device, default_device
    from ..memory.dtypes import default_dtype
    from ..pipeline import AudioX

    device = device or args.device or default_device()
    check_device(device)
    dtypes = memory.chosen_dtypes(args, lambda: default_dtype(device))
    checkpoint = open_checkpoint(
        args.model or demo_model(args.variant),
        variant=args.variant,
        vae=args.vae,
        synchformer=args.synchformer,
        text_encoder=args.text_encoder,
    )
    print(
        f"{VARIANTS[checkpoint.variant].title} ({checkpoint.variant_source}) on {device} in {dtypes.network}",
        file=sys.stderr,
    )
    plan = memory.make_plan(args, checkpoint, device, dtypes, job(checkpoint))
    return AudioX(checkpoint, device, dtypes.network, vae_dtype=dtypes.vae, plan=plan, cuda_graphs=args.cuda_graphs)


def workload(checkpoint: Checkpoint, request: Request) -> Workload:
    """What a request needs memory for."""
    from ..memory import Workload
    from ..pipeline import request_settings

    return Workload(
        sounds=request.batch,
        rows=request_settings(checkpoint, request).evaluations,
        frames=latent_frames(request.seconds),
        video=bool(request.video or request.image),
        audio=bool(request.audio),
    )


def demo_model(variant: str | None) -> Path:
    """The demo checkpoint, and a line that says so."""
    if variant not in (None, *NAMES):
        raise AudioXError(f"Name a --model: there is no demo of {variant}, only of {' and '.join(NAMES)}.")
    print(
        "No --model was given: this is the demo, a toy that knows tones, sweeps, ticks, noise, chords and beats. "
        "For real sound give the released weights with --model.",
        file=sys.stderr,
    )
    return demo_path(variant or DEFAULT)


def output_paths(name: str, request: Request) -> list[Path]:
    """One path per sound: NAME.wav, or NAME_SEED.wav for a batch.

    Raises:
        AudioXError: another file type, a video file without a video, or a folder that doesn't exist.
    """
    out = Path(name)
    suffix = out.suffix.lower()
    if suffix not in (*SOUND_SUFFIXES, *VIDEO_SUFFIXES):
        raise AudioXError(f"--out is {name}, expected a name that ends in {SUFFIXES}.")
    if suffix in VIDEO_SUFFIXES and request.video is None:
        raise AudioXError(f"--out is a video ({out.name}), but there is no --video to put the sound on.")
    if not out.parent.is_dir():
        raise AudioXError(f"Create the folder {out.parent} first: --out is {name}, but it doesn't exist.")
    if request.batch == 1:
        return [out]
    return [out.with_stem(f"{out.stem}_{seed}") for seed in request.seeds]


def prepare_folders(outputs: Sequence[tuple[Path, Request]]) -> None:
    """Remove what killed runs have left in the folders of sounds, and make sure that the sounds will fit.

    Only the size of .wav files is known before they are written.

    Raises:
        AudioXError: the disk is too small.
    """
    for folder in {path.parent for path, _ in outputs}:
        remove_leftovers(folder)
    sizes: dict[Path, int] = {}
    for path, request in outputs:
        if path.suffix.lower() == ".wav":
            sizes[path.parent] = sizes.get(path.parent, 0) + samples_from_seconds(request.seconds) * WAV_BYTES
    for folder, size in sizes.items():
        check_free(folder, size, "give another folder with --out")


def write(path: Path, sound: Tensor, request: Request) -> None:
    """Write a sound (2, samples), or the request's video with it."""
    from ..measure.loudness import loudness_gain
    from ..media.audio import write_audio
    from ..media.mux import Cut, SoundPlacement, mux_video

    if path.suffix.lower() in SOUND_SUFFIXES:
        gain = 1.0 if request.loudness is None else loudness_gain(sound, SAMPLE_RATE, request.loudness)
        write_audio(path, sound * gain, SAMPLE_RATE)
    elif request.video is not None:
        mux_video(
            request.video,
            sound,
            SAMPLE_RATE,
            path,
            mode=request.mode,
            placement=SoundPlacement(loudness=request.loudness),
            cut=Cut(request.video_start, request.seconds),
        )
