"""`python -m audiox_core generate`: every task from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..demo import DEFAULT, NAMES, demo_path
from ..errors import AudioXError
from ..lengths import CLIP_SECONDS, SAMPLE_RATE, latent_frames, windows_from_seconds
from ..release.variants import SAMPLERS, VARIANTS
from . import memory
from .progress import Bar

SOUND_SUFFIXES = (".wav", ".flac")
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `generate`."""
    add_model_arguments(parser)
    add_sound_arguments(parser)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """What makes the sound."""
    parser.add_argument(
        "--model", help="checkpoint: a file, or a folder in the released layout; default: the demo that comes along"
    )
    parser.add_argument("--variant", choices=tuple(VARIANTS), help="where the file and its name do not tell")
    parser.add_argument("--vae", help="a VAE file to use in place of the one found")
    parser.add_argument("--synchformer", help="a Synchformer file to use in place of the one found")
    parser.add_argument("--text-encoder", help="t5-base: its folder, or its safetensors file with tokenizer.json")
    memory.add_arguments(parser, "bf16 on a GPU and on a CPU that is faster with it, else fp32")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps, ...; default: a GPU where there is one")
    parser.add_argument(
        "--cuda-graphs",
        action="store_true",
        help="record the network's work on an NVIDIA GPU and replay it: for many steps or sounds",
    )


def add_sound_arguments(parser: argparse.ArgumentParser) -> None:
    """What sound is made, and where it goes."""
    parser.add_argument("--prompt", default="", help="what should be heard")
    parser.add_argument("--negative", help="what guidance should avoid (not for turbo)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--video", help="video to make sound for")
    source.add_argument("--image", help="picture to make sound for")
    parser.add_argument("--video-start", type=float, default=0.0, metavar="S", help="second at which to begin")
    parser.add_argument("--stride-sampling", action="store_true", help="choose frames as upstream does")
    parser.add_argument("--audio", help="sound to use as a prompt (a file with a sound track)")
    parser.add_argument("--audio-start", type=float, default=0.0, metavar="S", help="second at which to begin")
    parser.add_argument("--random-mask", action="store_true", help="mask the audio prompt as upstream does")
    parser.add_argument(
        "--seconds", type=float, default=CLIP_SECONDS, help="length, up to 600; 0: the video's; default: %(default)g"
    )
    parser.add_argument("--loop", action="store_true", help="a sound whose end meets its beginning")
    parser.add_argument("--edit", metavar="FILE", help="sound to work on: vary, make ranges anew, go on")
    parser.add_argument(
        "--range", action="append", default=[], metavar="START:END", help="part of --edit to make anew, the rest kept"
    )
    parser.add_argument("--before", type=float, default=0.0, metavar="S", help="seconds to make before --edit")
    parser.add_argument("--after", type=float, default=0.0, metavar="S", help="seconds to make after --edit")
    parser.add_argument(
        "--denoise", type=float, default=1.0, metavar="X", help="below 1: how far the sound may leave --edit"
    )
    parser.add_argument("--seed", type=int, default=0, help="noise; the same seed gives the same sound")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="sounds; the seeds count up from --seed")
    parser.add_argument("--steps", type=int, default=0, help="default: 4 for turbo, 50 for base, 250 for the others")
    parser.add_argument("--cfg", type=float, default=0.0, help="guidance; default: turbo none, base 6, the others 7")
    parser.add_argument("--cfg-rescale", type=float, default=0.0, metavar="X", help="0 to 1: keep guidance moderate")
    parser.add_argument("--video-cfg", type=float, default=0.0, metavar="X", help="guidance of video and audio alone")
    parser.add_argument("--sampler", choices=("auto", *SAMPLERS), default="auto")
    parser.add_argument("--normalize", action="store_true", help="scale to full level, as upstream does")
    parser.add_argument(
        "--loudness", type=float, metavar="LUFS", help="such as -23 or -14, as far as peaks of -1 dBTP allow"
    )
    parser.add_argument(
        "--mode", choices=("replace", "mix", "duck"), default="replace", help="with a video's own sound"
    )
    parser.add_argument("--out", required=True, help=f"{', '.join((*SOUND_SUFFIXES, *VIDEO_SUFFIXES))}")


def run(args: argparse.Namespace) -> None:
    """Raises AudioXError for input that cannot work, before anything is written."""
    outputs = output_paths(args)
    memory.check(args)
    from ..measure.loudness import check_target
    from ..memory import report

    if args.loudness is not None:
        check_target(args.loudness)
    check_seed(args)
    args.seconds = seconds_of(args)
    model = open_model(args, args.device or default_device(), lambda checkpoint: job_of(checkpoint, args))
    settings = settings_of(model.checkpoint, args)
    watch = report.MemoryWatch(model.device)
    with Bar() as bar:
        with watch.stage("encode"):
            prompt, negative = prompts(model, args, settings.cfg, bar)
        sounds = made(model, args, bar, watch.stage, prompt, settings, negative)
    print(watch.seen(), file=sys.stderr)
    for path, sound in zip(outputs, sounds, strict=True):
        write(path, sound, args)
        print(path)


def check_seed(args: argparse.Namespace) -> None:
    """AudioXError for seeds that do not exist."""
    if not 0 <= args.seed <= 2**64 - args.batch:
        raise AudioXError(f"--seed is {args.seed}, expected 0 or more, and less than 2^64 for the last of the batch.")


def open_model(args: argparse.Namespace, device: str, job: Callable):
    """The model that the arguments name, with a plan for its memory, and lines that say which they are.

    job(checkpoint): what it shall do, an `offload.Job`.
    """
    from ..checkpoint import open_checkpoint  # after the cheap checks: torch takes seconds to import
    from ..memory.dtypes import default_dtype
    from ..pipeline import AudioX

    check_device(device)
    dtypes = memory.chosen_dtypes(args, lambda: default_dtype(device))
    checkpoint = open_checkpoint(
        args.model or the_demo(args.variant),
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


def job_of(checkpoint, args: argparse.Namespace):
    """What a run has to hold in memory."""
    from ..memory import Workload

    settings = settings_of(checkpoint, args)
    return Workload(
        sounds=args.batch,
        rows=1 if settings.cfg == 1 else 3 if settings.guided_apart else 2,
        frames=latent_frames(args.seconds),
        video=bool(args.video or args.image),
        audio=bool(args.audio),
    )


def settings_of(checkpoint, args: argparse.Namespace):
    """The settings of a run of the checkpoint."""
    from ..sampling.presets import resolve_settings

    return resolve_settings(
        checkpoint.variant,
        steps=args.steps,
        cfg=args.cfg,
        sampler=args.sampler,
        rescale=args.cfg_rescale,
        video_cfg=args.video_cfg,
        guidance=checkpoint.guidance,
    )


def the_demo(variant: str | None) -> Path:
    """The demo checkpoint, and a line that says so."""
    if variant not in (None, *NAMES):
        raise AudioXError(f"There is no demo of {variant}, only of {' and '.join(NAMES)}: name a --model.")
    print(
        "No --model was named: this is the demo, a toy that knows tones, sweeps, ticks, noise, chords and beats. "
        "For real sound give the released weights with --model.",
        file=sys.stderr,
    )
    return demo_path(variant or DEFAULT)


def default_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch raises the second one for a build without that device
        raise AudioXError(
            f"--device is {device}, which this machine cannot use ({str(error).splitlines()[0]}); expected cpu, cuda "
            "or mps."
        ) from error


def output_paths(args: argparse.Namespace) -> list[Path]:
    """One path per sound: NAME.wav, or NAME_SEED.wav for a batch."""
    out = Path(args.out)
    suffix = out.suffix.lower()
    if suffix not in (*SOUND_SUFFIXES, *VIDEO_SUFFIXES):
        raise AudioXError(
            f"--out is {args.out}, expected a name that ends in {', '.join((*SOUND_SUFFIXES, *VIDEO_SUFFIXES))}."
        )
    if suffix in VIDEO_SUFFIXES and args.video is None:
        raise AudioXError(f"--out is a video ({out.name}), but there is no --video to put the sound on.")
    if not out.parent.is_dir():
        raise AudioXError(f"--out is {args.out}, but there is no folder {out.parent}: make it first.")
    if args.batch < 1:
        raise AudioXError(f"--batch is {args.batch}, expected 1 or more.")
    if args.batch == 1:
        return [out]
    return [out.with_stem(f"{out.stem}_{args.seed + i}") for i in range(args.batch)]


def seconds_of(args: argparse.Namespace) -> float:
    """Length of the sound to make."""
    from ..lengths import check_length
    from ..media.audio import read_audio
    from ..media.files import video_seconds

    if args.edit:
        if args.loop:
            raise AudioXError("--loop makes a sound from nothing: leave it out, or --edit.")
        waveform, rate = read_audio(args.edit)
        seconds = args.before + waveform.shape[1] / rate + args.after
    elif args.range or args.before or args.after or args.denoise != 1:
        raise AudioXError("--range, --before, --after and --denoise need a sound to work on: name it with --edit.")
    elif args.seconds == 0 and args.video:
        seconds = video_seconds(args.video) - args.video_start
    else:
        seconds = args.seconds
    check_length(seconds)
    return seconds


def made(model, args: argparse.Namespace, bar: Bar, stage: Callable, prompt, settings, negative):
    """Sounds (B, 2, samples), from nothing or of --edit."""
    seeds = list(range(args.seed, args.seed + args.batch))
    if args.edit:
        return edited(model, args, bar, stage, prompt, settings, seeds, negative)
    length = {"seconds": args.seconds, "loop": args.loop}
    with stage("sample"):
        latent = model.sample(prompt, settings, seeds, negative, **length, progress=bar)
    with stage("decode"):
        return model.decode(latent, **length, normalize=args.normalize)


def edited(model, args: argparse.Namespace, bar: Bar, stage: Callable, prompt, settings, seeds: list[int], negative):
    """Sounds made of --edit; stage(name) is entered for each part of the work."""
    from ..media.audio import read_audio, whole_sound
    from ..media.splice import checked_range, pad_sound, regenerated_frames, splice
    from ..sampling.run import Known

    padded = pad_sound(whole_sound(*read_audio(args.edit))[None], args.before, args.after)
    ranges = [*padded.ranges, *(checked_range(*numbers(each), padded.samples) for each in args.range)]
    with stage("encode"):
        mean, _ = model.encode_statistics(padded.waveform)
    anew = regenerated_frames(ranges, padded.samples, mean.shape[-1]) if ranges else None
    with stage("sample"):
        latent = model.sample(prompt, settings, seeds, negative, known=Known(mean, anew, args.denoise), progress=bar)
    with stage("decode"):
        sounds = model.decode(latent, seconds=padded.samples / SAMPLE_RATE, normalize=args.normalize)
    return splice(sounds, padded.original, ranges) if ranges else sounds


def numbers(span: str) -> tuple[float, float]:
    """Start and end of a range as it is written on the command line."""
    try:
        start, end = (float(part) if part else 0.0 for part in span.split(":"))
    except ValueError:
        raise AudioXError(f"--range is {span}, expected START:END in seconds, such as 2.5:4.") from None
    return start, end


def prompts(model, args: argparse.Namespace, cfg: float, bar: Bar):
    """The encoded prompt, and the negative one where it counts: other words, the same video and audio."""
    from ..media.audio import read_audio
    from ..pipeline import Prompt
    from ..prompts import encode_windows, side_by_side, window_of_sound

    text = encode_text(model, args.prompt)
    clip_tokens = sync_features = audio = negative = None
    if args.video or args.image:
        clip_tokens, sync_features = encode_windows(
            reader(model, args),
            lambda *frames: model.encode_video(*frames, progress=bar),
            args.video_start if args.video else 0.0,
            CLIP_SECONDS if args.image else args.seconds,
        )
    if args.audio:
        waveform, rate = read_audio(args.audio, start=args.audio_start)
        along = args.seconds if waveform.shape[1] / rate > CLIP_SECONDS else CLIP_SECONDS
        windows = [
            model.encode_audio(window_of_sound(waveform, rate, 0.0, i), seed=args.seed, random_mask=args.random_mask)
            for i in range(windows_from_seconds(along))
        ]
        audio = side_by_side(windows, -1)
    prompt = Prompt(text, clip_tokens, sync_features, audio, still=args.image is not None)
    if args.negative is not None:
        if cfg == 1:
            raise AudioXError("--negative counts only with guidance: not with turbo, and with a --cfg other than 1.")
        negative = replace(prompt, text=encode_text(model, args.negative))
    return prompt, negative


def encode_text(model, text: str):
    tokens, dropped = model.encode_text(text)
    if dropped:
        print(f"The prompt is too long; this was cut off: {dropped}", file=sys.stderr)
    return tokens


def reader(model, args: argparse.Namespace):
    """What `encode_windows` reads the video or the picture with."""
    from ..media.frames import frames_from_images, read_clip, read_image

    requests = model.frame_requests()
    if args.image:
        image = read_image(args.image)
        return lambda start: frames_from_images(image, 1, requests)
    return lambda start: read_clip(args.video, requests, start=start, stride_sampling=args.stride_sampling)


def write(path: Path, sound, args: argparse.Namespace) -> None:
    from ..measure.loudness import loudness_gain
    from ..media.audio import write_audio
    from ..media.mux import Cut, SoundPlacement, mux_video

    if path.suffix.lower() in SOUND_SUFFIXES:
        gain = 1.0 if args.loudness is None else loudness_gain(sound, SAMPLE_RATE, args.loudness)
        write_audio(path, sound * gain, SAMPLE_RATE)
        return
    mux_video(
        args.video,
        sound,
        SAMPLE_RATE,
        path,
        mode=args.mode,
        placement=SoundPlacement(loudness=args.loudness),
        cut=Cut(args.video_start, args.seconds),
    )
