"""Steps that are commands of elq: what they say goes to logs, what was stopped goes on, what is done is skipped.

RUNS/STEP.log      every command as it was typed, and what it said
RUNS/STEP.seconds  of computing so far, of all processes
RUNS/STEP.json     the answer of the last command, with cpu_seconds, when the step is done
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import signal
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from elq_ref.files import atomic_write
from elq_ref.machine import python_command


def training(words: Sequence[str], out: Path, data: str) -> list[list[str]]:
    """The commands that train a network, `words` being what follows `elq train`, and read its test pictures once."""
    resumed = ["--resume"] if Path(f"{out}.run", "config.json").is_file() else []
    train = [] if out.is_file() else [["train", *words, "--data", data, "-o", str(out), *resumed]]
    return [*train, ["eval", str(out), "--data", data]]


def quantizing(words: Sequence[str], folder: Path, data: str) -> list[list[str]]:
    """The commands that quantize a network, `words` being what follows `elq quantize`, and read its test pictures
    once.
    """
    resumed = ["--resume"] if (folder / "config.json").is_file() else []
    quantize = ["quantize", *words, "--data", data, "-o", str(folder), *resumed]
    return [quantize, ["eval", str(folder / "net.elq"), "--data", data]]


def done(step: str, commands: Sequence[Sequence[str]], runs: Path) -> dict[str, Any]:
    """The answer of a step, which is run unless it is done: `commands` are what follows `elq` in each of its commands.

    SystemExit where one of them fails.
    """
    answer, log, spent = (runs / f"{step}.{kind}" for kind in ("json", "log", "seconds"))
    if answer.is_file():
        return json.loads(answer.read_text())
    result: dict[str, Any] = {}
    for words in commands:
        with open(log, "a") as file:
            file.write(f"$ elq {shlex.join(words)}\n")
            file.flush()
            before = _computed()
            process = subprocess.Popen(
                python_command("elq_ref", *words, "--json"), stdout=subprocess.PIPE, stderr=file, text=True
            )
            said = _heard(process)
            file.write(said)
        earlier = float(spent.read_text()) if spent.is_file() else 0.0
        spent.write_text(f"{earlier + _computed() - before:.1f}")
        if process.returncode:
            raise SystemExit(f"{step} stopped with {process.returncode}; {log} says why, and the same command goes on")
        result = json.loads(said)
    result["cpu_seconds"] = float(spent.read_text())
    with atomic_write(answer) as temporary:
        temporary.write_text(json.dumps(result) + "\n")
    return result


def _computed() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _heard(process: subprocess.Popen) -> str:
    """What a command answers. An interrupt is for it, which then saves its run; under nohup it ignores SIGINT."""
    try:
        return process.communicate()[0]
    except KeyboardInterrupt:
        process.terminate()
        process.communicate()
        return ""


def asked(about: str | None, name: str, steps: Collection[str], held: int) -> tuple[argparse.Namespace, list[str]]:
    """What the command line of the driver `name` says, and which of its steps to do; about: its docstring.

    held: pictures held out unless it says so. From here on SIGTERM stops this process as Ctrl-C does: the command that
    runs saves its run before it ends.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="+", choices=(*steps, "all", "table"), metavar="STEP")
    usual = str(Path(os.environ.get("ELQ_DATA", "."), "imagenette-128"))
    parser.add_argument("--data", default=usual, help="folder of pictures (default: imagenette-128 of ELQ_DATA)")
    runs, results = Path("runs", name), Path(f"benchmarks/results/{name}.txt")
    parser.add_argument("--runs", type=Path, default=runs, help=f"folder to work in (default: {runs})")
    parser.add_argument("--share", type=float, default=1.0, help="of the passes over the data, to see it work")
    parser.add_argument("--held", type=int, default=held, help=f"pictures held out of train/ (default: {held})")
    parser.add_argument("--output", type=Path, default=results, help=f"text to write (default: {results})")
    args = parser.parse_args()
    args.runs.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return args, [step for step in (steps if "all" in args.steps else args.steps) if step != "table"]


def said(steps: Sequence[str], runs: Path, data: str) -> list[str]:
    """The commands of these steps and the lines of their stages, without the places where they ran."""
    lines = []
    for step in steps:
        log = runs / f"{step}.log"
        logged = log.read_text(errors="replace").splitlines() if log.is_file() else []
        kept = [line for line in logged if line.startswith(("$ elq", "stage "))]
        lines += [line.replace(data, Path(data).name).replace(f"{runs}/", "") for line in kept]
    return lines
