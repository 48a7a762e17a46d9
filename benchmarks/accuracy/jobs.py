"""Many runs of `elq reproduce`, each on a core of its own: what was stopped goes on, what is finished is skipped.

RUNS/NAME        the run itself, megabytes of state and logs: stays on the machine
KEPT/NAME        what a report needs of a finished run, to be committed
KEPT/unfinished  runs that were stopped, whole: commit them to go on elsewhere, or drop them
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from elq_ref.files import atomic_write
from elq_ref.machine import python_command
from elq_ref.runs.folder import LOGS
from elq_ref.runs.record import RunRecord

ONE_THREAD = dict.fromkeys(("ELQ_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Job:
    """One run: the name of its folder and what follows `elq reproduce`, without its output."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Places:
    """Where runs are made and where they are kept."""

    runs: Path
    kept: Path

    def finished(self, job: Job) -> bool:
        """Whether the job's run is finished and kept; its result is written last."""
        return (self.kept / job.name / "result.json").is_file()

    def log(self, job: Job) -> Path:
        """Where the job's messages go."""
        return self.runs / f"{job.name}.log"

    def start(self, job: Job, core: int | None) -> subprocess.Popen:
        """Start or resume the job on one thread."""
        folder, stopped = self.runs / job.name, self.kept / "unfinished" / job.name
        if not folder.exists() and stopped.is_dir():
            shutil.copytree(stopped, folder)
        self.runs.mkdir(parents=True, exist_ok=True)
        command = python_command("elq_ref", "reproduce", *job.arguments, "-o", str(folder))
        command += ["--resume"] if (folder / "config.json").is_file() else []
        pin = (lambda: os.sched_setaffinity(0, {core})) if core is not None else None
        with open(self.log(job), "w") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **ONE_THREAD}, preexec_fn=pin
            )

    def keep(self, job: Job) -> None:
        """Keep what is worth it of a finished run."""
        RunRecord.read(self.runs / job.name).keep(self.kept / job.name)
        shutil.rmtree(self.kept / "unfinished" / job.name, ignore_errors=True)

    def keep_unfinished(self, job: Job) -> None:
        """Keep the state and the logs of a run that was stopped."""
        there, here = self.runs / job.name, self.kept / "unfinished" / job.name
        here.mkdir(parents=True, exist_ok=True)
        for name in ("state.safetensors", "config.json", *LOGS):
            if (there / name).is_file():
                shutil.copyfile(there / name, here / name)


def add_options(parser: argparse.ArgumentParser, kept: str) -> None:
    """The options that every driver has."""
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs (default: runs)")
    parser.add_argument("--results", type=Path, default=Path(kept), help=f"folder to keep (default: {kept})")
    parser.add_argument("--processes", type=_count, default=1, help="runs at a time, each on one core (default: 1)")
    parser.add_argument("--minutes", type=float, help="stop then, in a state that goes on (default: when all is done)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="runs with one of these words in their name")
    parser.add_argument("--table", action="store_true", help="run nothing, write the table of what there is")


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: wanted at least 1")
    return int(text)


def exploring(about: str, kept: str) -> argparse.ArgumentParser:
    """The parser of a driver that makes choices: its runs start from the exploration network."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, kept)
    parser.add_argument("--recipe", default="cifar10-resnet20-exploration")
    parser.add_argument("--network", default="benchmarks/networks/resnet20-exploration.safetensors")
    return parser


def run_jobs(jobs: Sequence[Job], places: Places, *, processes: int = 1, minutes: float | None = None) -> bool:
    """Run all that is not finished, in order; True if all is finished at the end.

    A run that fails is named with the last line it said and not tried again. When the time is over, at Ctrl-C or
    SIGTERM, what runs is interrupted, which saves it, and kept as unfinished.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    end = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    waiting, running = [job for job in jobs if not places.finished(job)], {}
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    stopped = False
    try:
        while (waiting and time.monotonic() < end) or running:
            if time.monotonic() >= end and not stopped:
                stopped = True
                _interrupt(running.values())
            while waiting and len(running) < processes and not stopped:
                taken = {core for _, core in running}
                core = next((c for c in cores if c not in taken), None) if processes <= len(cores) else None
                job = waiting.pop(0)
                print(f"{time.strftime('%H:%M:%S')}  {job.name} starts", flush=True)
                running[job, core] = places.start(job, core)
            time.sleep(0.2)
            for (job, core), process in list(running.items()):
                if process.poll() is not None:
                    del running[job, core]
                    _ended(job, process.returncode, places)
    except KeyboardInterrupt:
        pass
    finally:
        _interrupt(running.values())
        for (job, _), process in running.items():
            process.wait()
            _ended(job, process.returncode, places)
    return all(places.finished(job) for job in jobs)


def work_off(jobs: Iterable[Job], args: argparse.Namespace) -> tuple[bool, Places]:
    """Do of the jobs what the options ask for. True if it is done (or only the table wanted), and where runs are."""
    places = Places(args.runs, args.results)
    chosen = [job for job in jobs if args.only is None or any(word in job.name for word in args.only)]
    if not chosen:
        raise SystemExit(f"no run has {' or '.join(args.only)} in its name")
    return args.table or run_jobs(chosen, places, processes=args.processes, minutes=args.minutes), places


def write_table(folder: Path, text: str) -> None:
    """A driver's table, beside the folder of its runs and on standard output."""
    with atomic_write(folder.with_name(f"{folder.name}.txt")) as temporary:
        temporary.write_text(f"{text}\n\nWritten on {date.today()}.\n")
    print(text)


def kept_runs(jobs: Iterable[Job], places: Places) -> dict[str, RunRecord]:
    """The finished runs by name; it ends the driver where there is none."""
    runs = {job.name: RunRecord.read(places.kept / job.name) for job in jobs if places.finished(job)}
    if not runs:
        raise SystemExit(f"no run is finished in {places.kept}")
    return runs


def _interrupt(processes: Iterable[subprocess.Popen]) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)


def _ended(job: Job, code: int, places: Places) -> None:
    if code == 0:
        said, keep = "finished", places.keep
    else:
        lines = places.log(job).read_text(errors="replace").splitlines()  # a bar ends by a return
        said = next((line for line in reversed(lines) if line.startswith("elq: ")), f"ended with {code}")
        keep = places.keep_unfinished
    try:
        keep(job)
    except (OSError, ValueError) as error:
        said += f", but not kept: {error}"
    print(f"{time.strftime('%H:%M:%S')}  {job.name}: {said}", flush=True)
