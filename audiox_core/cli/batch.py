"""`python -m audiox_core batch`: generate all the sounds of a manifest, resumably, on one or several processes."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AudioXError
from ..lengths import latent_frames
from ..progress import Progress, no_progress
from . import generate, memory
from .manifest import Failure, Item, read_manifest
from .progress import Bar

if TYPE_CHECKING:
    from accelerate import PartialState
    from torch import Tensor

    from ..checkpoint import Checkpoint
    from ..memory import Workload
    from ..pipeline import AudioX

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
        help="one JSON object per line, with the names of generate's options: id or out for the name, prompt, video, "
        "video_start, seconds, seed, ...; paths are read from the working directory",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the sounds")
    parser.add_argument(
        "--format", choices=FORMATS, default="wav", help="for lines without a name in out (default: %(default)s)"
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
    """0 when all sounds are there, 1 when some failed. Raises AudioXError where none can be generated."""
    memory.check(args)
    if not args.manifest.is_file():
        raise AudioXError(f"There is no file {args.manifest}; give a manifest that exists.")
    if args.batch_size is not None and args.batch_size < 1:
        raise AudioXError(f"--batch-size is {args.batch_size}, expected 1 or more.")
    from ..memory.devices import default_device

    state, device = processes(args.device or default_device())
    from accelerate.utils import broadcast_object_list, gather_object

    size = args.batch_size or (1 if device == "cpu" else GPU_BATCH)
    model = generate.open_model(args, lambda checkpoint: workload(size), device)
    args.out.mkdir(parents=True, exist_ok=True)
    # One process plans for all: each by itself would find other sounds done already.
    plan: list[Any] = list(plan_batches(args, model.checkpoint, size)) if state.is_main_process else [None] * 3
    broadcast_object_list(plan)
    batches, skipped, refused = plan
    if state.is_main_process:
        generate.prepare_folders([(item.out, item.request) for batch in batches for item in batch])
    # Neighbours are equally long, so dealing them in turn gives every process as much to do.
    mine = batches[state.process_index :: state.num_processes]
    if state.num_processes > 1:
        share = f"process {state.process_index + 1} of {state.num_processes}: {sum(map(len, mine))} sounds"
        print(share, file=sys.stderr, flush=True)
    failed = gather_object(generate_all(model, mine, Bar() if state.is_local_main_process else None))
    failures = sorted(refused + failed, key=lambda failure: failure.line)
    if state.is_main_process:
        report(args.out, sum(map(len, batches)) - len(failed), skipped, failures)
    state.wait_for_everyone()  # a launcher ends all processes when one of them ends with 1
    state.destroy_process_group()
    return 1 if failures else 0


def workload(size: int) -> Workload:
    """The most that a batch of a manifest may need memory for."""
    from ..memory import Workload

    return Workload(sounds=size, prompts=size, rows=3, video=True, audio=True)


def processes(device: str) -> tuple[PartialState, str]:
    """The processes that `accelerate launch` started, this one alone without it, and the device of this one."""
    try:
        from accelerate import PartialState
    except ModuleNotFoundError:
        raise AudioXError("The batch command needs the package accelerate: pip install accelerate.") from None
    state = PartialState(cpu=device == "cpu", timeout=PATIENCE)
    own = state.num_processes > 1 and device != "cpu" and ":" not in device
    return state, str(state.device) if own else device


def plan_batches(args: argparse.Namespace, checkpoint: Checkpoint, size: int) -> tuple[list[Batch], int, list[Failure]]:
    """Batches of what is left to do, the longest sounds first; how many sounds are done; the lines that can't work."""
    names = ("model", "variant", "vae", "synchformer", "text_encoder", "dtype", "no_half", "vae_dtype")
    about = {name: getattr(args, name) for name in names}
    items, failures = read_manifest(args.manifest, args.out, f".{args.format}", about)
    groups: dict[tuple[Any, ...], Batch] = {}
    skipped = 0
    for item in items:
        try:
            if item.done():
                skipped += 1
                continue
            measured = replace(item, request=item.request.with_length())
            kind = batch_key(measured, checkpoint)
        except (AudioXError, OSError) as error:
            failures.append(Failure(item.line, str(error), item.text))
        else:
            groups.setdefault(kind, []).append(measured)
    longest_first = sorted(groups.items(), key=lambda group: -group[0][0])
    batches = [group[i : i + size] for _, group in longest_first for i in range(0, len(group), size)]
    return batches, skipped, failures


def batch_key(item: Item, checkpoint: Checkpoint) -> tuple[Hashable, ...]:
    """What sounds must share to be sampled together, latent frames first. An edit is always its own batch."""
    from ..pipeline import request_settings

    request = item.request
    settings = request_settings(checkpoint, request)
    frames = latent_frames(request.seconds, loop=request.loop)
    return frames, request.loop, settings, request.negative is None, item.line if request.edit else 0


def generate_all(model: AudioX, batches: Sequence[Batch], bar: Bar | None) -> list[Failure]:
    """Generate the sounds, and return those that failed. The sounds of a failed batch are tried one by one."""
    import torch

    queue, total, done = deque(batches), sum(map(len, batches)), 0
    failures: list[Failure] = []
    with bar or contextlib.nullcontext():
        while queue:
            if bar:
                bar("batch", done, total)
            batch = queue.popleft()
            try:
                generate_batch(model, batch, bar.inner if bar else no_progress)
            except (AudioXError, OSError, torch.cuda.OutOfMemoryError) as error:
                if len(batch) > 1:
                    retries = [[item] for item in batch if not item.done()]
                    queue.extendleft(reversed(retries))
                    done += len(batch) - len(retries)
                    continue
                failures.append(Failure(batch[0].line, " ".join(str(error).split()), batch[0].text))
            done += len(batch)
        if bar:
            bar("batch", done, total)
    return failures


def generate_batch(model: AudioX, batch: Batch, progress: Progress = no_progress) -> None:
    """Generate and write the sounds of a batch."""
    for item, sound in zip(batch, sounds_of(model, batch, progress), strict=True):
        with item.recorded():
            generate.write(item.out, sound, item.request)


def sounds_of(model: AudioX, batch: Batch, progress: Progress) -> Iterable[Tensor]:
    """The sounds (2, samples) of a batch in its order."""
    from ..pipeline import request_settings

    request = batch[0].request
    if request.edit:
        return model.run(request, progress)
    prompts = [model.request_prompt(item.request, progress) for item in batch]
    latents = model.sample(
        prompts,
        request_settings(model.checkpoint, request),
        [item.request.seed for item in batch],
        seconds=request.seconds,
        loop=request.loop,
        progress=progress,
    )
    return decode_each(model, latents, batch, progress)


def decode_each(model: AudioX, latents: Tensor, batch: Batch, progress: Progress) -> Iterator[Tensor]:
    """The sounds of latents, one after the other, so that each is written before the next is decoded."""
    for latent, item in zip(latents, batch, strict=True):
        request = item.request
        sounds = model.decode(
            latent[None],
            seconds=request.seconds,
            loop=request.loop,
            normalize=request.normalize,
            progress=progress,
        )
        yield sounds[0]


def report(folder: Path, done: int, skipped: int, failures: Sequence[Failure]) -> None:
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
    print(f"{done} done, {skipped} skipped, {len(failures)} failed{where}")
