"""The command line: one module for each command, with `add_arguments(parser)` and `run(options)`."""

import argparse
import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

from ..errors import AudioXError
from . import batch, check, convert, download, generate, inspect

COMMANDS = {
    "download": download,
    "generate": generate,
    "batch": batch,
    "convert": convert,
    "inspect": inspect,
    "check": check,
}
"""Name -> module, whose first line is the help. Modules import what is slow when they run, so help is quick."""

DISTRIBUTIONS = {"PIL": "pillow"}
"""Packages that pip knows by another name than Python."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="audiox", description="AudioX without ComfyUI.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        about = (module.__doc__ or "").split("\n")[0].split(": ", 1)[-1]
        module.add_arguments(commands.add_parser(name, help=about, description=about))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; see `exit_code`."""
    logging.basicConfig(format="%(message)s")
    options = build_parser().parse_args(arguments)
    return exit_code(f"audiox {options.command}", lambda: COMMANDS[options.command].run(options))


def exit_code(prog: str, work: Callable[[], int | None]) -> int:
    """Do the work of a command.

    0 when it worked, 1 when a part of a batch did not, 2 with one sentence on stderr when the input cannot work or a
    package is missing, 130 on Ctrl-C, 143 when it was told to end (SIGTERM), 129 when its terminal was closed.
    """
    try:
        with signals_raise():
            return work() or 0
    except (AudioXError, OSError) as error:
        option = getattr(error, "option", None)
        print(f"{prog}: {error}" + (f" Or give its path as {option}." if option else ""), file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        package = (error.name or str(error)).split(".")[0]
        name = DISTRIBUTIONS.get(package, package)
        print(f"{prog}: the package {name} is missing; install it with: pip install {name}", file=sys.stderr)
        return 2
    except Terminated as end:
        print(f"{prog}: ended by {end.signal.name}.", file=sys.stderr)
        return 128 + end.signal
    except KeyboardInterrupt:
        print(f"{prog}: interrupted.", file=sys.stderr)
        return 130


class Terminated(KeyboardInterrupt):
    """The process was told to end, which cleans up as Ctrl-C does."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__()
        self.signal = number


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """Inside the block, the signals that end a process raise `Terminated`; a second one ends it at once.

    Signals that the process was started to ignore, as by nohup, stay ignored.
    """

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Terminated(signal.Signals(number))

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():  # the only one that may
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
