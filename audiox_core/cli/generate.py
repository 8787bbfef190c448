"""`python -m audiox_core generate`: every task from the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..demo import DEFAULT, NAMES, demo_path
from ..errors import AudioXError
from ..lengths import CLIP_SECONDS, PROMPT_SAMPLES, SAMPLE_RATE
from ..presets import SAMPLERS, run_settings
from ..variants import VARIANTS
from . import memory
from .progress import Bar

SOUND_SUFFIXES = (".wav", ".flac")
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", help="checkpoint: a file, or a folder in the released layout; default: the demo that comes along"
    )
    parser.add_argument("--variant", choices=tuple(VARIANTS), help="where the file and its name do not tell")
    parser.add_argument("--vae", help="a VAE file to use in place of the one found")
    parser.add_argument("--synchformer", help="a Synchformer file to use in place of the one found")
    parser.add_argument("--text-encoder", help="t5-base: its folder, or its safetensors file with tokenizer.json")
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
    parser.add_argument("--seconds", type=float, default=CLIP_SECONDS, help="length, up to %(default)g")
    parser.add_argument("--seed", type=int, default=0, help="noise; the same seed gives the same sound")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="sounds; the seeds count up from --seed")
    parser.add_argument("--steps", type=int, default=0, help="default: 4 for turbo, 50 for base, 250 for the others")
    parser.add_argument("--cfg", type=float, default=0.0, help="guidance; default: turbo none, base 6, the others 7")
    parser.add_argument("--cfg-rescale", type=float, default=0.0, metavar="X", help="0 to 1: keep guidance moderate")
    parser.add_argument("--sampler", choices=("auto", *SAMPLERS), default="auto")
    memory.add_arguments(parser, "bf16 on a GPU and on a CPU that is faster with it, else fp32")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps, ...; default: a GPU where there is one")
    parser.add_argument("--normalize", action="store_true", help="scale to full level, as upstream does")
    parser.add_argument(
        "--mode", choices=("replace", "mix", "duck"), default="replace", help="with a video's own sound"
    )
    parser.add_argument("--out", required=True, help=f"{', '.join((*SOUND_SUFFIXES, *VIDEO_SUFFIXES))}")


def run(args: argparse.Namespace) -> None:
    """Raises AudioXError for input that cannot work, before anything is written."""
    outputs = output_paths(args)
    memory.check(args)
    import torch  # after the cheap checks: it takes seconds to import

    from ..checkpoint import open_checkpoint
    from ..offload import Job, report
    from ..pipeline import AudioX
    from ..precision import default_dtype

    if not 0 < args.seconds <= CLIP_SECONDS:
        raise AudioXError(f"--seconds is {args.seconds:g}, expected more than 0 and at most {CLIP_SECONDS:g}.")
    if not 0 <= args.seed <= 2**64 - args.batch:
        raise AudioXError(f"--seed is {args.seed}, expected 0 or more, and less than 2^64 for the last of the batch.")
    device = args.device or default_device()
    check_device(device)
    dtypes = memory.dtypes_of(args, lambda: default_dtype(device))
    checkpoint = open_checkpoint(
        args.model or the_demo(args.variant),
        variant=args.variant,
        vae=args.vae,
        synchformer=args.synchformer,
        text_encoder=args.text_encoder,
    )
    settings = run_settings(
        checkpoint.variant,
        steps=args.steps,
        cfg=args.cfg,
        sampler=args.sampler,
        rescale=args.cfg_rescale,
        guidance=checkpoint.guidance,
    )
    print(
        f"{VARIANTS[checkpoint.variant].title} ({checkpoint.variant_source}) on {device} in {dtypes.network}",
        file=sys.stderr,
    )
    job = Job(
        sounds=args.batch,
        rows=1 if settings.cfg == 1 else 2,
        video=bool(args.video or args.image),
        audio=bool(args.audio),
    )
    plan = memory.plan_of(args, checkpoint, device, dtypes, job)
    model = AudioX(checkpoint, device, dtypes.network, vae_dtype=dtypes.vae, plan=plan)
    watch = report.Watch(torch.device(device))
    with Bar() as bar:
        with watch.stage("encode"):
            prompt, negative = prompts(model, args, settings.cfg, bar)
        seeds = range(args.seed, args.seed + args.batch)
        with watch.stage("sample"):
            latent = model.sample(prompt, settings, list(seeds), negative, progress=bar)
        with watch.stage("decode"):
            sounds = model.decode(latent, seconds=args.seconds, normalize=args.normalize)
    print(watch.seen(), file=sys.stderr)
    for path, sound in zip(outputs, sounds, strict=True):
        write(path, sound, args)
        print(path)


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


def prompts(model, args: argparse.Namespace, cfg: float, bar: Bar):
    """The encoded prompt, and the negative one where it counts."""
    from ..media.audio import prepare_prompt, read_audio
    from ..pipeline import Prompt

    text = encode_text(model, args.prompt)
    clip_tokens = sync_features = audio = negative = None
    if args.video or args.image:
        clip_tokens, sync_features = model.encode_video(*frames(model, args), progress=bar)
    if args.audio:
        waveform, rate = read_audio(args.audio, start=args.audio_start, duration=CLIP_SECONDS)
        sound = prepare_prompt(waveform, rate, samples=PROMPT_SAMPLES)
        audio = model.encode_audio(sound, seed=args.seed, random_mask=args.random_mask)
    if args.negative is not None:
        if cfg == 1:
            raise AudioXError("--negative counts only with guidance: not with turbo, and with a --cfg other than 1.")
        negative = Prompt(text=encode_text(model, args.negative))
    return Prompt(text, clip_tokens, sync_features, audio), negative


def encode_text(model, text: str):
    tokens, dropped = model.encode_text(text)
    if dropped:
        print(f"The prompt is too long; this was cut off: {dropped}", file=sys.stderr)
    return tokens


def frames(model, args: argparse.Namespace):
    from ..media.frames import frames_from_images, read_clip, read_image

    requests = model.frame_requests()
    if args.image:
        return frames_from_images(read_image(args.image), 1, requests)
    return read_clip(args.video, requests, start=args.video_start, stride_sampling=args.stride_sampling)


def write(path: Path, sound, args: argparse.Namespace) -> None:
    from ..media.audio import write_audio
    from ..media.mux import mux_video

    if path.suffix.lower() in SOUND_SUFFIXES:
        write_audio(path, sound, SAMPLE_RATE)
        return
    mux_video(args.video, sound, SAMPLE_RATE, path, mode=args.mode, start=args.video_start, duration=args.seconds)
