"""Exported networks on a target: as many as fit into one program, what it prints beside what Python computes."""

from __future__ import annotations

import re
import subprocess
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from elq_ref.export_c import export_c
from elq_ref.runtime import PackedNetwork, interpret_int8

from .building import FILES, SECONDS, BoardError, DoesNotFit, compile_object, link, run
from .targets import Target

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror")
FLASH_OF_PROGRAM, RAM_OF_PROGRAM = 8 << 10, 1 << 10  # what trial.c, startup and the smaller arrays take at most
MOST = 100  # networks of a program where there is memory for any number


class Unparsable(BoardError):
    """The program did not print what trial.c prints."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One exported network: `files` (NAME.c and others) in `folder`, to be run on pictures uint8 (N, C, H, W)."""

    prefix: str
    about: str
    network: PackedNetwork
    pictures: np.ndarray
    folder: Path
    sources: tuple[Path, ...]

    @classmethod
    def export(cls, network: PackedNetwork, pictures: np.ndarray, prefix: str, about: str, folder: Path, **options):
        """Export with the options of export_c into `folder`."""
        paths = export_c(network, prefix, **options).save(folder)
        return cls(prefix, about, network, pictures, folder, tuple(path for path in paths if path.suffix == ".c"))

    def macro(self, name: str) -> int:
        """A number that the header defines."""
        found = re.search(rf"^#define {self.prefix.upper()}_{name} (\d+)", self._header, re.M)
        assert found is not None, name
        return int(found[1])

    @cached_property
    def _header(self) -> str:
        return (self.folder / f"{self.prefix}.h").read_text()

    @cached_property
    def wanted(self) -> tuple[np.ndarray, np.ndarray, dict[str, list[int]], list[int]]:
        """By the definition: raw (N, classes), classes (N), by name of each value the CRC-32 of its bytes in the order
        H W C for every picture, and that of the raw results.
        """
        outputs = interpret_int8(self.network.int8, self.pictures)
        hashes = {
            name: [zlib.crc32(np.moveaxis(one, 0, -1).tobytes()) for one in value]  # a moved axis is copied in order
            for name, value in outputs.values.items()
        }
        return (
            outputs.raw,
            outputs.logits.argmax(1),
            hashes,
            [zlib.crc32(r.astype("<i4").tobytes()) for r in outputs.raw],
        )


@dataclass
class Outcome:
    """What became of networks on a target, each by its `about`."""

    target: Target
    passed: list[str] = field(default_factory=list)
    too_large: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def check(
    target: Target, trials: Sequence[Trial], folder: Path, pool: Executor, seconds: float = SECONDS, most: int = MOST
) -> Outcome:
    """Build, run and compare; nothing is raised for what goes wrong with a network or a program, it is in the
    outcome.
    """
    outcome = Outcome(target)
    folder.mkdir(parents=True, exist_ok=True)
    built = {trial: pool.submit(_objects, target, trial, folder) for trial in trials}
    objects: dict[Trial, list[Path]] = {}
    for trial, job in built.items():
        try:
            objects[trial] = job.result()
        except BoardError as error:
            outcome.faults.append(f"{trial.about}: {error}")
    groups = list(_groups(target, objects, most))
    jobs = [
        pool.submit(_program, target, group, objects, folder, f"group{number}", seconds)
        for number, group in enumerate(groups)
    ]
    for group, job in zip(groups, jobs, strict=True):
        try:
            faults = judge(target, group, job.result())
        except DoesNotFit as error:
            if len(group) > 1:
                raise
            outcome.too_large[group[0].about] = str(error)
        except BoardError as error:
            outcome.faults.append(f"{error} (in a program of {', '.join(trial.about for trial in group)})"[:2000])
        else:
            outcome.passed += [trial.about for trial in group if trial.prefix not in faults]
            outcome.faults += faults.values()
    return outcome


def _objects(target: Target, trial: Trial, folder: Path) -> list[Path]:
    return [compile_object(target, source, folder / f"{source.stem}.o", STRICT) for source in trial.sources]


def _groups(target: Target, objects: dict[Trial, list[Path]], most: int) -> Iterator[list[Trial]]:
    """Networks that fit into one program, in their order; one that fits into none is alone."""
    group: list[Trial] = []
    used = 0
    for trial, paths in objects.items():
        if target.board is None:
            fits = True
        else:
            flash = _size(target, paths) + len(trial.pictures) * trial.macro("INPUT_BYTES") + 100
            fits = used + flash + FLASH_OF_PROGRAM <= target.board.flash[1]
            ram = trial.macro("ARENA_BYTES") + 4 * trial.macro("CLASSES") + RAM_OF_PROGRAM + target.board.stack
            if ram > target.board.ram[1]:
                yield [trial]
                continue
            used = used + flash if fits else flash
        if group and (not fits or len(group) == most):
            yield group
            group = []
        group.append(trial)
    if group:
        yield group


def _size(target: Target, objects: Sequence[Path]) -> int:
    """Bytes of code and constants."""
    tool = target.compiler.replace("gcc", "size")
    done = subprocess.run([tool, *map(str, objects)], capture_output=True, text=True, check=True)
    return sum(int(line.split()[0]) + int(line.split()[1]) for line in done.stdout.splitlines()[1:])


def _program(
    target: Target, group: Sequence[Trial], objects: dict[Trial, list[Path]], folder: Path, name: str, seconds: float
) -> str:
    """What the program of a group prints."""
    source = folder / f"{name}.c"
    source.write_text(table(group))
    headers = [f"-I{FILES}", *dict.fromkeys(f"-I{trial.folder}" for trial in group)]
    own = [
        compile_object(target, FILES / "trial.c", folder / f"{name}-trial.o", STRICT),
        compile_object(target, source, folder / f"{name}-table.o", [*STRICT, *headers]),
    ]
    program = link(target, [*own, *(path for trial in group for path in objects[trial])], folder / name)
    return run(target, program, seconds)


def table(group: Sequence[Trial]) -> str:
    """The C text of the table that trial.c runs."""
    lines = ['#include "trial.h"', "#include <stddef.h>", *(f'#include "{trial.prefix}.h"' for trial in group)]
    rows = []
    for trial in group:
        name, pictures = trial.prefix, np.ascontiguousarray(trial.pictures.transpose(0, 2, 3, 1)).tobytes()
        lines.append(
            f"static const struct {{ uint32_t aligned; uint8_t odd[{1 + len(pictures)}]; }} {name}_pictures = "
            f"{{0, {{0, {', '.join(map(str, pictures))}}}}};"
        )
        functions = [f"{name}_{word}" for word in ("run", "hashes", "selftest", "argmax", "layer_name")]
        macros = [f"{name.upper()}_{word}" for word in ("INPUT_BYTES", "ARENA_BYTES", "CLASSES", "LAYERS")]
        codes = [f"{name.upper()}_{word}" for word in ("NULL", "ARENA_SMALL", "ARENA_UNALIGNED")]
        fields = [*functions, f"{name}_pictures.odd + 1", str(len(trial.pictures)), *macros, *codes]
        rows.append(f"    {{{', '.join(fields)}}},")
    arena = max(trial.macro("ARENA_BYTES") for trial in group)
    classes, layers = (max(trial.macro(name) for trial in group) for name in ("CLASSES", "LAYERS"))
    lines += [
        "const trial_t trials[] = {",
        *rows,
        "};",
        f"const int trial_count = {len(group)};",
        f"uint32_t trial_arena[{-(-arena // 4)} + 2 * GUARD] __attribute__((aligned(16)));",
        f"uint32_t trial_hashes[{layers + 1}];",
        f"int32_t trial_raw[{classes + 1}];",
    ]
    return "\n".join(lines) + "\n"


def judge(target: Target, group: Sequence[Trial], text: str) -> dict[str, str]:
    """prefix -> what is wrong, of every network of which something is; Unparsable for another text."""
    lines: dict[int, list[str]] = {number: [] for number in range(len(group))}
    *said, end = text.splitlines() or [""]
    for line in said:
        number, _, rest = line.partition(" ")
        if not number.isdigit() or int(number) not in lines:
            raise Unparsable(target, f"printed {line[:80]!r}, which is no line of trial.c")
        lines[int(number)].append(rest)
    if end != "end":
        raise Unparsable(target, f"printed {end[:80]!r} at its end, wanted 'end'")
    found = {}
    for trial, own in zip(group, lines.values(), strict=True):
        try:
            wrong = list(_wrong(trial, own))
        except (ValueError, IndexError, KeyError) as error:
            raise Unparsable(target, f"{trial.about}: {type(error).__name__} {error} in {own!r}"[:400]) from None
        if wrong:
            found[trial.prefix] = f"{target.name}: {trial.about}: {'; '.join(wrong)}"[:1000]
    return found


def _wrong(trial: Trial, lines: list[str]) -> Iterator[str]:
    raw, classes, hashes, last = trial.wanted
    names = next(line for line in lines if line.startswith("layers ")).removeprefix("layers ").split("|")
    seen = []
    for line in lines:
        kind, *words = line.split(" ")
        if kind == "wrong":
            yield " ".join(words)
        elif kind == "selftest":
            seen.append(kind)
            if words != ["0"]:
                yield f"the self-test gives {words[0]}"
        elif kind == "raw":
            p = int(words[0])
            seen.append(f"raw {p}")
            given, wanted = list(map(int, words[1:-2])), raw[p].tolist()
            if given != wanted:
                yield f"picture {p} gives {given}, wanted {wanted}"
            if int(words[-1]) != classes[p]:
                yield f"picture {p} is class {words[-1]}, wanted {classes[p]}"
        elif kind == "hashes":
            p = int(words[0])
            seen.append(f"hashes {p}")
            right = [*(hashes[name][p] for name in names[:-1]), last[p]]
            for name, one, other in zip(names, words[1:], right, strict=True):
                if int(one, 16) != other:
                    yield f"picture {p}: layer {name!r} has hash {one}, wanted {other:08x}"
                    break
        elif kind != "layers":
            raise ValueError(f"a line {kind!r}")
    wanted_lines = ["selftest", *(f"{kind} {p}" for p in range(len(trial.pictures)) for kind in ("raw", "hashes"))]
    if seen != wanted_lines:
        raise ValueError(f"lines {seen}")
