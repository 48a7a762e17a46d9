"""C files -> a program for a target -> what it prints; whatever goes wrong bears the target's name."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from .targets import Target

FILES = Path(__file__).with_name("c")
SECONDS = 60  # for a program to end


class BoardError(Exception):
    """Something went wrong with a target, which the message names."""

    def __init__(self, target: Target, said: str):
        super().__init__(f"{target.name}: {said}")


class BuildFailed(BoardError):
    """The compiler or the linker refused."""


class DoesNotFit(BoardError):
    """The program wants more memory than the board has; `missing` bytes of `region`, FLASH or RAM."""

    def __init__(self, target: Target, region: str, missing: int):
        assert target.board is not None
        self.region, self.missing = region, missing
        length = (target.board.flash if region == "FLASH" else target.board.ram)[1]
        super().__init__(target, f"does not fit: {length + missing} bytes of {region}, the board has {length}")


class Crash(BoardError):
    """The program ended with another code than 0."""


class Hang(BoardError):
    """The program did not end in time."""


def compile_object(target: Target, source: Path, path: Path, flags: Iterable[str] = ()) -> Path:
    """Compile one file to the object `path`; `flags` come after the target's own. Returns `path`."""
    own = [*target.flags, f"-I{FILES}"]
    if target.board is not None and not target.compiler.endswith("linux-gnu-gcc"):
        own += ["-isystem", str(FILES / "include")]
    _call(target, [target.compiler, "-std=gnu99", *own, *flags, "-c", str(source), "-o", str(path)])
    return path


def link(target: Target, objects: Iterable[Path], program: Path) -> Path:
    """Link objects and the target's support files, compiled beside `program`, to `program`; DoesNotFit with the
    bytes. Returns `program`.
    """
    loops = [] if "clang" in target.compiler else ["-fno-tree-loop-distribute-patterns"]  # memcpy stays a loop
    support = [
        compile_object(target, FILES / name, program.with_name(f"{program.name}-{name}.o"), loops)
        for name in target.support
    ]
    board = target.board
    layout = []
    if board is not None:
        places = {"flash_origin": board.flash[0], "flash_length": board.flash[1]}
        places |= {"ram_origin": board.ram[0], "ram_length": board.ram[1], "stack_length": board.stack}
        layout = [f"-Wl,--defsym={name}={value:#x}" for name, value in places.items()]
        layout += ["-T", str(FILES / "board.ld"), "-Wl,-e,start", "-lgcc"]
    _call(target, [target.compiler, *target.flags, *map(str, [*objects, *support]), *layout, "-o", str(program)])
    return program


def build(target: Target, sources: Sequence[Path], program: Path, flags: Sequence[str] = ()) -> Path:
    """Compile the files and link them to `program`, objects beside it. Returns `program`."""
    objects = [
        compile_object(target, source, program.with_name(f"{program.name}-{number}.o"), flags)
        for number, source in enumerate(sources)
    ]
    return link(target, objects, program)


def run(target: Target, program: Path, seconds: float = SECONDS, counting: bool = False) -> str:
    """What the program prints; Hang after `seconds`, Crash for another exit code than 0. counting: the emulator's
    clock is its count of instructions.
    """
    command = list(target.emulator)
    if target.board is not None:
        command += ["-icount", f"shift={target.board.shift},sleep=off"] if counting else []
        command.append("-kernel")
    try:
        done = subprocess.run(
            [*command, str(program)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise Hang(target, f"did not end within {seconds:g} s") from None
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["without a word"]
        ended = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise Crash(target, f"ended with {ended}: {last[0][:200]}")
    return done.stdout


def _call(target: Target, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, check=False, errors="replace")
    if not done.returncode:
        return
    overflows = re.findall(r"region `(\w+)' overflowed by (\d+) bytes", done.stderr)
    if overflows:
        raise DoesNotFit(target, overflows[-1][0], int(overflows[-1][1]))
    raise BuildFailed(target, f"{' '.join(command)}\n{done.stderr[-2000:]}")
