"""The table of targets: with what each is compiled and run, and of a board its memory and its clock."""

from __future__ import annotations

import shutil
from typing import NamedTuple

ANY_SYSTEM = ("print.c", "hosted.c")
BARE = ("print.c", "bare.c", "memory.c")
SEMIHOSTING = (
    *("-display", "none", "-serial", "none", "-monitor", "none", "-chardev", "stdio,id=out"),
    *("-semihosting-config", "enable=on,target=native,chardev=out"),
)


class Board(NamedTuple):
    """Memory (address, bytes) of a machine without an operating system, and the bytes of it that the stack has.

    tick: picoseconds of its clock, 0 where it has none that counts 32 bits. Where instructions are counted, each takes
    2^shift ns of the emulator's time: more than a tick, so that the clock tells them apart.
    """

    flash: tuple[int, int]
    ram: tuple[int, int]
    tick: int = 0
    shift: int = 6
    stack: int = 4096


class Target(NamedTuple):
    """compiler and flags build a program, `emulator` and its path run it; `support` files of c/ are linked to it."""

    name: str
    about: str
    compiler: str
    flags: tuple[str, ...]
    emulator: tuple[str, ...] = ()
    support: tuple[str, ...] = ANY_SYSTEM
    board: Board | None = None

    def missing(self) -> list[str]:
        """The programs that this target wants and that are not installed."""
        return [name for name in (self.compiler, *self.emulator[:1]) if shutil.which(name) is None]

    @property
    def counts(self) -> bool:
        """Whether instructions can be counted: the board has a clock that the emulator derives from them."""
        return self.board is not None and self.board.tick > 0


def _host(compiler: str) -> list[Target]:
    sanitizers = ("-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    kinds = {"O0": ("-O0",), "O2": ("-O2",), "O3": ("-O3",), "sanitized": sanitizers}
    return [
        Target(f"{compiler}-{kind}", f"this machine, {compiler} {' '.join(flags)}", compiler, flags)
        for kind, flags in kinds.items()
    ]


def _system(name: str, about: str, triple: str, cpu: str, *emulator: str) -> Target:
    flags = ("-O2", *cpu.split(), "-static")
    return Target(name, about, f"{triple}-gcc", flags, emulator)


def _bare(board: Board, *flags: str) -> tuple[str, ...]:
    ticks = (f"-DTICK_PS={board.tick}", f"-DSHIFT={board.shift}")
    return ("-O2", *flags, "-nostdlib", *ticks)


def _cortex_m(name: str, machine: str, about: str, cpu: str, board: Board, clock: str = "") -> Target:
    flags = _bare(board, *cpu.split(), "-mthumb", *([f"-D{clock}U"] if clock else []))
    emulator = ("qemu-system-arm", "-M", machine, *SEMIHOSTING)
    return Target(name, f"{about} ({machine})", "arm-none-eabi-gcc", flags, emulator, (*BARE, "cortex_m.c"), board)


def _aarch64(name: str, about: str, march: str, cpu: str) -> Target:
    board = Board((0x40400000, 4 << 20), (0x40800000, 4 << 20), 16000)
    flags = _bare(board, f"-march={march}", "-fno-pie", "-static", "-Wl,--build-id=none")
    emulator = ("qemu-system-aarch64", "-nodefaults", "-M", "virt", "-cpu", cpu, *SEMIHOSTING)
    return Target(name, about, "aarch64-linux-gnu-gcc", flags, emulator, (*BARE, "aarch64.c"), board)


_MPS2 = Board((0, 4 << 20), (0x20000000, 4 << 20), 40000)
_AN505 = Board((0x10000000, 4 << 20), (0x38000000, 4 << 20), 50000)
_AN547 = Board((0, 512 << 10), (0x20000000, 512 << 10), 31250)
_MICROBIT = Board((0, 256 << 10), (0x20000000, 16 << 10), stack=2048)
_VIRT = Board((0x80000000, 4 << 20), (0x80400000, 4 << 20), 1000, shift=0)
_CMSDK, _SSE = "TIMER=0x40000000", "COUNTER=0x58100000"
_SDOT = "armv8.2-a+dotprod"

_ALL = [
    *_host("gcc"),
    *_host("clang"),
    _system("aarch64", "AArch64 with SDOT", "aarch64-linux-gnu", f"-march={_SDOT}", "qemu-aarch64"),
    _system(
        *("aarch64-a72", "AArch64 without SDOT", "aarch64-linux-gnu", "-march=armv8-a"),
        *("qemu-aarch64", "-cpu", "cortex-a72"),
    ),
    _system(
        *("armv7", "ARMv7 with NEON, hard float", "arm-linux-gnueabihf", "-march=armv7-a -mfpu=neon -mfloat-abi=hard"),
        *("qemu-arm", "-cpu", "cortex-a9"),
    ),
    _system("riscv64", "RISC-V 64", "riscv64-linux-gnu", "-march=rv64gc", "qemu-riscv64"),
    _cortex_m("microbit", "microbit", "Cortex-M0, 16 KB of RAM", "-mcpu=cortex-m0", _MICROBIT),
    _cortex_m("m0", "mps2-an385", "Cortex-M0's code on a Cortex-M3", "-mcpu=cortex-m0", _MPS2, _CMSDK),
    _cortex_m("m3", "mps2-an385", "Cortex-M3", "-mcpu=cortex-m3", _MPS2, _CMSDK),
    _cortex_m("m4", "mps2-an386", "Cortex-M4", "-mcpu=cortex-m4", _MPS2, _CMSDK),
    _cortex_m("m7", "mps2-an500", "Cortex-M7", "-mcpu=cortex-m7", _MPS2, _CMSDK),
    _cortex_m("m33", "mps2-an505", "Cortex-M33", "-mcpu=cortex-m33", _AN505, "TIMER=0x50000000"),
    _cortex_m("m55", "mps3-an547", "Cortex-M55 with Helium", "-mcpu=cortex-m55 -mfloat-abi=hard", _AN547, _SSE),
    Target(
        "rv32",
        "RISC-V 32",
        "riscv64-unknown-elf-gcc",
        _bare(_VIRT, "-march=rv32imac", "-misa-spec=2.2", "-mabi=ilp32"),
        ("qemu-system-riscv32", "-M", "virt", "-bios", "none", *SEMIHOSTING),
        (*BARE, "rv32.c"),
        _VIRT,
    ),
    _aarch64("aarch64-bare", "AArch64 with SDOT, to count", _SDOT, "max"),
    _aarch64("aarch64-a72-bare", "AArch64 without SDOT, to count", "armv8-a", "cortex-a72"),
]
TARGETS = {target.name: target for target in _ALL}
