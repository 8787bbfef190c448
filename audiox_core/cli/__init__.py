"""The command line: one module for each command, with `add_arguments(parser)` and `run(options)`."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence

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
    package is missing, 130 on Ctrl-C.
    """
    try:
        return work() or 0
    except (AudioXError, OSError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        package = (error.name or str(error)).split(".")[0]
        name = DISTRIBUTIONS.get(package, package)
        print(f"{prog}: the package {name} is missing; install it with: pip install {name}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: interrupted.", file=sys.stderr)
        return 130
