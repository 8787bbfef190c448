"""`python -m audiox_core batch`: make all the sounds of a manifest, resumably, on one or several processes."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from ..errors import AudioXError
from ..lengths import latent_frames
from . import generate, memory
from .manifest import Failure, Item, read_manifest
from .progress import Bar

FORMATS = tuple(suffix[1:] for suffix in (*generate.SOUND_SUFFIXES, *generate.VIDEO_SUFFIXES))

FAILURES = "failures.jsonl"

PATIENCE = timedelta(days=30)
"""How long a process that is done waits for the others; the default would end a long run."""

GPU_BATCH = 8

Batch = list[Item]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `batch`."""
    parser.add_argument(
        "manifest",
        type=Path,
        help="one JSON object a line, with the words of generate's options: id or out for the name, prompt, video, "
        "video_start, seconds, seed, ...; paths are read from the working directory",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the sounds")
    parser.add_argument(
        "--format", choices=FORMATS, default="wav", help="of lines without a name in out (default: %(default)s)"
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help=f"sounds of one length and the same settings that are sampled together; default: {GPU_BATCH} on a GPU, "
        "1 on a CPU, where more gains nothing",
    )
    generate.add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0 when all sounds are there, 1 when some could not be made. Raises AudioXError where nothing can be."""
    memory.check(args)
    if not args.manifest.is_file():
        raise AudioXError(f"There is no file {args.manifest}; give a manifest that exists.")
    if args.batch_size is not None and args.batch_size < 1:
        raise AudioXError(f"--batch-size is {args.batch_size}, expected 1 or more.")
    state, device = processes(args.device or generate.default_device())
    from accelerate.utils import broadcast_object_list, gather_object

    size = args.batch_size or (1 if device == "cpu" else GPU_BATCH)
    model = generate.open_model(args, device, lambda checkpoint: job_of(size))
    args.out.mkdir(parents=True, exist_ok=True)
    # One process plans for all: each on its own would find other sounds done already.
    plan = list(planned(args, model.checkpoint, size)) if state.is_main_process else [None] * 3
    broadcast_object_list(plan)
    batches, skipped, refused = plan
    # Neighbours are equally long, so dealing them in turn gives every process as much to do.
    mine = batches[state.process_index :: state.num_processes]
    if state.num_processes > 1:
        share = f"process {state.process_index + 1} of {state.num_processes}: {sum(map(len, mine))} sounds"
        print(share, file=sys.stderr, flush=True)
    failed = gather_object(make_all(model, mine, Bar() if state.is_local_main_process else None))
    failures = sorted(refused + failed, key=lambda failure: failure.line)
    if state.is_main_process:
        report(args.out, sum(map(len, batches)) - len(failed), skipped, failures)
    state.wait_for_everyone()  # a launcher ends all processes when one of them ends with 1
    state.destroy_process_group()
    return 1 if failures else 0


def job_of(size: int):
    """The most that a batch of a manifest may have to hold in memory."""
    from ..memory import Workload

    return Workload(sounds=size, prompts=size, rows=3, video=True, audio=True)


def processes(device: str):
    """The processes that `accelerate launch` started, this one alone without it, and the device of this one."""
    try:
        from accelerate import PartialState
    except ModuleNotFoundError:
        raise AudioXError("The batch command needs the package accelerate: pip install accelerate.") from None
    state = PartialState(cpu=device == "cpu", timeout=PATIENCE)
    own = state.num_processes > 1 and device != "cpu" and ":" not in device
    return state, str(state.device) if own else device


def planned(args: argparse.Namespace, checkpoint, size: int) -> tuple[list[Batch], int, list[Failure]]:
    """Batches of what is left to make, the longest sounds first; how many sounds are done; what cannot be made."""
    names = ("model", "variant", "vae", "synchformer", "text_encoder", "dtype", "no_half", "vae_dtype")
    about = {name: getattr(args, name) for name in names}
    items, failures = read_manifest(args.manifest, args.out, f".{args.format}", about)
    alike, skipped = {}, 0
    for item in items:
        try:
            if item.done():
                skipped += 1
                continue
            item.args.seconds = generate.seconds_of(item.args)
            kind = kind_of(item, checkpoint)
        except (AudioXError, OSError) as error:
            failures.append(Failure(item.line, str(error), item.text))
        else:
            alike.setdefault(kind, []).append(item)
    batches = [
        group[i : i + size]
        for _, group in sorted(alike.items(), key=lambda kind: -kind[0][0])
        for i in range(0, len(group), size)
    ]
    return batches, skipped, failures


def kind_of(item: Item, checkpoint) -> tuple:
    """Its latent frames, and what else sounds have in common that are sampled together; edits are made one by one."""
    args = item.args
    settings = generate.settings_of(checkpoint, args)
    frames = latent_frames(args.seconds, loop=args.loop)
    return frames, args.loop, settings, args.negative is None, item.line if args.edit else 0


def make_all(model, batches: Sequence[Batch], bar: Bar | None) -> list[Failure]:
    """Make the sounds, and tell which could not be made. A batch that fails is made one by one."""
    import torch

    left, failures, done, total = deque(batches), [], 0, sum(map(len, batches))
    with bar or contextlib.nullcontext():
        while left:
            if bar:
                bar("batch", done, total)
            batch = left.popleft()
            try:
                make(model, batch)
            except (AudioXError, OSError, torch.cuda.OutOfMemoryError) as error:
                missing = [item for item in batch if not item.done()]
                if len(batch) == 1:
                    failures.append(Failure(batch[0].line, " ".join(str(error).split()), batch[0].text))
                else:
                    left.extendleft([item] for item in reversed(missing))
                    done -= len(missing)
            done += len(batch)
        if bar:
            bar("batch", done, total)
    return failures


def make(model, batch: Batch) -> None:
    """Make and write the sounds of a batch."""
    args = batch[0].args
    settings = generate.settings_of(model.checkpoint, args)
    encoded = [generate.prompts(model, item.args, settings.cfg, no_bar) for item in batch]
    if args.edit:
        [(prompt, negative)] = encoded
        stage = contextlib.nullcontext  # nobody asks for the memory of each
        sounds = generate.edited(model, args, no_bar, stage, prompt, settings, [args.seed], negative)
    else:
        prompts, negatives = map(list, zip(*encoded, strict=True))
        seeds = [item.args.seed for item in batch]
        length = {"seconds": args.seconds, "loop": args.loop}
        latents = model.sample(prompts, settings, seeds, None if args.negative is None else negatives, **length)
        sounds = decoded(model, latents, batch)
    for item, sound in zip(batch, sounds, strict=True):
        with item.recorded():
            generate.write(item.out, sound, item.args)


def decoded(model, latents, batch: Batch):
    """The sounds (2, samples) of latents, one after the other, so that each is written before the next is made."""
    for latent, item in zip(latents, batch, strict=True):
        args = item.args
        yield model.decode(latent[None], seconds=args.seconds, loop=args.loop, normalize=args.normalize)[0]


def no_bar(stage: str, done: int, total: int) -> None:
    """The stages of one sound are not shown."""


def report(folder: Path, made: int, skipped: int, failures: Sequence[Failure]) -> None:
    """Say how it went; failures also go to a file in the folder, which is there only when there are some."""
    from ..media.files import written_whole

    path = folder / FAILURES
    path.unlink(missing_ok=True)
    if failures:
        with written_whole(path) as temporary:
            temporary.write_text("".join(json.dumps(asdict(failure)) + "\n" for failure in failures), "utf-8")
    for failure in failures:
        print(f"line {failure.line}: {failure.error}", file=sys.stderr)
    where = f", see {path}" if failures else ""
    print(f"{made} done, {skipped} skipped, {len(failures)} failed{where}")
