"""`python -m benchmarks.memory`: memory while loading, at growing lengths, and run after run."""

import argparse
import sys

from . import length, load, runs

COMMANDS = {"load": load, "length": length, "runs": runs}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.split(": ")[1])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        about = module.__doc__.split("\n")[0]
        module.add_arguments(commands.add_parser(name, help=about, description=about))
    options = parser.parse_args()
    return COMMANDS[options.command].run(options)


if __name__ == "__main__":
    sys.exit(main())
