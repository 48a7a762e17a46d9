"""The command line. Each command is a file with `add(subparsers)`; this one parses, runs, makes errors one line.

Exit code 0: done. 1: a check failed. 2: bad input or bad usage. 130: interrupted (a checkpoint was left where the
command says so).
"""

from __future__ import annotations

import _thread
import argparse
import importlib
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from ..errors import shown
from ..parallel import ALONE, World
from .output import answer, check_output, close_progress, say, to_json
from .processes import await_turn, mute_others, world_asked

COMMANDS = {  # what is typed: the module
    "demo": "demo",
    "info": "info",
    "train": "train",
    "sensitivity": "sensitivity",
    "quantize": "quantize",
    "reproduce": "reproduce",
    "compare": "compare",
    "report": "report",
    "eval": "evaluate",
    "pack": "pack",
    "calibrate": "calibrate",
    "export-onnx": "export_onnx",
    "export-c": "export_c",
    "bench": "bench",
    "run": "run",
    "summary": "summary",
    "crosscheck": "crosscheck",
    "verify": "verify",
}


class _Parser(argparse.ArgumentParser):
    """Usage errors in one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)\n")

    def _print_message(self, message: str, file: Any = None) -> None:  # argparse writes help, version and errors by it
        (say if file is sys.stderr else answer)(message.removesuffix("\n"))


def parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of the command that `words` begin with, or of all: `elq run` does not import the training code."""
    from .. import __version__

    top = _Parser(prog="elq", description="ELQ: trained CNNs to ternary and binary weights.")
    top.add_argument("--version", action="version", version=f"elq_ref {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = [COMMANDS[words[0]]] if words and words[0] in COMMANDS else COMMANDS.values()
    for name in chosen:
        importlib.import_module(f".{name}", __name__).add(commands)
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Without `argv` it is the whole program: the command line's, interrupted
    once however often Ctrl-C is pressed."""
    if argv is not None:
        return _run(argv)
    warnings.filterwarnings("ignore", module="PIL")  # what it says of odd pictures would stand between the answers
    warnings.formatwarning = lambda message, *_: f"elq: {message}\n"
    told = False

    def interrupt_once(*_: object) -> None:
        nonlocal told
        if not told:
            told = True
            raise KeyboardInterrupt

    def interrupt_again(lost: sys.UnraisableHookArgs) -> None:
        """Where nothing can be raised, as in a generator that is closed, an interrupt is lost: it comes again."""
        nonlocal told
        if lost.exc_type is not KeyboardInterrupt:
            sys.__unraisablehook__(lost)
        elif signal.getsignal(signal.SIGINT) is interrupt_once:
            told = False
            threading.Timer(0.01, _thread.interrupt_main).start()

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt_once)
        sys.unraisablehook = interrupt_again
    code = 130
    try:
        code = _run(sys.argv[1:])
        if code == 130:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # while Python ends, when it would kill
    except KeyboardInterrupt:  # on the way out of another one; there is no third
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


def _run(words: Sequence[str]) -> int:
    args, world = None, ALONE
    code: int
    try:
        mute_others()
        check_output()
        args = parser(words).parse_args(words)  # imports the kernels, which refuse a wrong ELQ_ISA
        world = args.world = world_asked(args)
        if args.command in ("demo", "train", "sensitivity", "quantize", "reproduce", "eval"):
            _say_what_is_missing()
        result, text, code = args.run(args)
        answer(to_json(result) if args.json else text)
        return code
    except KeyboardInterrupt as stop:
        saved = f": {stop}" if str(stop) else ""
        way_on = "; --resume goes on" if saved and hasattr(args, "resume") else ""  # the demo is too short for it
        return _stopped(world, f"interrupted{saved}{way_on}", 130)
    except (ValueError, TypeError, OSError, MemoryError, ImportError) as error:
        return _stopped(world, _one_line(error), 2)
    except Exception:
        if world.size > 1:  # the others would wait for this one for ever
            sys.stderr = sys.__stderr__
            traceback.print_exc()
            world.stop(1)
        raise


def _stopped(world: World, why: str, code: int) -> int:
    """Say why the command ends, and end it on all processes."""
    _complain(await_turn(world) + why)
    world.stop(code)
    return code


def _say_what_is_missing() -> None:
    from .. import extensions, kernels

    if reason := kernels.info()["reason"]:
        say(f"elq: {reason}: {extensions.INSTEAD}")


def _complain(what: str) -> None:
    close_progress()
    say(f"elq: {shown(what)}")


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}"
    return " ".join(str(error).split()) or type(error).__name__
