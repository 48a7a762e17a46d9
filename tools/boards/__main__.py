"""The command: python -m tools.boards list | run TARGET FILE.c... | count TARGET FILE.c..."""

import argparse
import sys
import tempfile
from pathlib import Path

from . import TARGETS, BoardError, build, count, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.boards", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the targets, and what is not installed")
    for name, about in (("run", "build, run and print"), ("count", "print instructions of every BOARD_COUNT")):
        command = commands.add_parser(name, help=about)
        command.add_argument("target", choices=TARGETS, metavar="TARGET")
        command.add_argument("sources", nargs="+", type=Path, metavar="FILE.c")
        command.add_argument("--flags", default="", help="more words for the compiler")
        command.add_argument("--seconds", type=float, default=60, help="time to end")
    options = parser.parse_args()
    if options.command == "list":
        for target in TARGETS.values():
            absent = ", ".join(target.missing())
            print(f"{target.name:<17} {target.about}{absent and '; absent: '}{absent}")
        return 0
    target, flags = TARGETS[options.target], options.flags.split()
    if target.missing():
        print(f"{target.name}: {', '.join(target.missing())} not installed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program"
        try:
            if options.command == "count":
                for name, number in count(target, options.sources, program, flags, options.seconds).items():
                    print(f"{number:>12}  {name}")
            else:
                print(run(target, build(target, options.sources, program, flags), options.seconds), end="")
        except BoardError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
