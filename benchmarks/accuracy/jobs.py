"""Many runs of `elq reproduce`, each on a core of its own: what was stopped goes on, what is finished is skipped.

RUNS/SERIES/NAME   the run itself, megabytes of state and logs: stays on the machine, and goes on there
RESULTS            the file of runs (elq_ref.runs.lines) with a line SERIES/NAME for each finished one, to be committed;
                   the table of the series, SERIES.txt beside it, is made of these lines alone
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import mean

from elq_ref.files import atomic_write
from elq_ref.machine import python_command
from elq_ref.runs.lines import add_run
from elq_ref.runs.record import RunRecord, names_in, read_runs

ONE_THREAD = dict.fromkeys(("ELQ_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Job:
    """One run: its name and what follows `elq reproduce`, without its output."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Series:
    """Where the runs of a series are made and where their lines go; curves: whether the lines have them."""

    name: str
    runs: Path
    results: Path
    curves: bool = False

    def folder(self, job: Job) -> Path:
        """Where the job's run is made."""
        return self.runs / self.name / job.name

    def log(self, job: Job) -> Path:
        """Where the job's messages go."""
        return self.runs / self.name / f"{job.name}.log"

    @property
    def table(self) -> Path:
        """Where the text goes."""
        return self.results.with_name(f"{self.name}.txt")

    def start(self, job: Job, core: int | None) -> subprocess.Popen:
        """Start or resume the job on one thread."""
        folder = self.folder(job)
        folder.parent.mkdir(parents=True, exist_ok=True)
        command = python_command("elq_ref", "reproduce", *job.arguments, "-o", str(folder))
        command += ["--resume"] if (folder / "config.json").is_file() else []
        pin = (lambda: os.sched_setaffinity(0, {core})) if core is not None else None
        with open(self.log(job), "w") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **ONE_THREAD}, preexec_fn=pin)

    def add(self, job: Job) -> None:
        """Add the line of a finished run."""
        add_run(self.results, f"{self.name}/{job.name}", RunRecord.read(self.folder(job)), curves=self.curves)

    def finished(self, jobs: Iterable[Job]) -> dict[str, RunRecord]:
        """The runs of the jobs that are finished, by the jobs' names and in their order."""
        if not self.results.is_file():
            return {}
        lines = dict(zip(names_in(self.results), read_runs([self.results]), strict=True))
        return {job.name: lines[name] for job in jobs if (name := f"{self.name}/{job.name}") in lines}


def add_options(parser: argparse.ArgumentParser, name: str) -> None:
    """The options that every driver has; name: of the series, if the user gives no other."""
    results = "benchmarks/results/runs.jsonl"
    parser.add_argument("--name", default=name, help=f"of the series, its lines and its table (default: {name})")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder to work in (default: runs)")
    parser.add_argument("--results", type=Path, default=Path(results), help=f"file of runs (default: {results})")
    parser.add_argument("--processes", type=_count, default=1, help="runs at a time, each on one core (default: 1)")
    parser.add_argument("--minutes", type=float, help="stop then, in a state that goes on (default: when all is done)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="runs with one of these words in their name")
    parser.add_argument("--table", action="store_true", help="run nothing, write the table of what there is")


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: wanted at least 1")
    return int(text)


def exploring(about: str, name: str) -> argparse.ArgumentParser:
    """The parser of a driver that makes choices: its runs start from the exploration network."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, name)
    parser.add_argument("--recipe", default="cifar10-resnet20-exploration")
    parser.add_argument("--network", default="benchmarks/networks/resnet20-exploration.safetensors")
    return parser


def run_jobs(jobs: Sequence[Job], place: Series, *, processes: int = 1, minutes: float | None = None) -> bool:
    """Run all that is not finished, in order; True if all is finished at the end.

    A run that fails is named with the last line it said and not tried again. When the time is over, at Ctrl-C or
    SIGTERM, what runs is interrupted, which saves it. Behind each that ends it says how long the rest will take.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    end = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    done = place.finished(jobs)
    waiting, running, begun = [job for job in jobs if job.name not in done], {}, {}
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
                running[job, core] = place.start(job, core)
                begun[job] = time.monotonic()
            time.sleep(0.2)
            for (job, core), process in list(running.items()):
                if process.poll() is not None:
                    del running[job, core]
                    _ended(job, process.returncode, place)
                    seconds = [run.result["seconds"] for run in place.finished(jobs).values()]
                    ages = [time.monotonic() - begun[other] for other, _ in running]
                    print(to_go(seconds, len(waiting), ages, processes), end="", flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        _interrupt(running.values())
        for (job, _), process in running.items():
            process.wait()
            _ended(job, process.returncode, place)
    return len(place.finished(jobs)) == len(jobs)


def to_go(seconds: Sequence[float], waiting: int, ages: Sequence[float], processes: int) -> str:
    """A line on how long the runs that wait, and those that run for `ages` seconds, will take, `processes` at a time.

    seconds: of those that are finished, whose mean each is taken to last. "" where none is, or nothing is left.
    """
    if not seconds or not (waiting or ages):
        return ""
    each = mean(seconds)
    left = (each * waiting + sum(max(0.0, each - age) for age in ages)) / processes
    return f"          {waiting + len(ages)} runs to go, about {timedelta(seconds=round(left))}\n"


def work_off(
    jobs: Sequence[Job], args: argparse.Namespace, *, curves: bool = False
) -> tuple[bool, Series, dict[str, RunRecord]]:
    """Do of the jobs what the options ask for; it ends the driver where no run is finished then.

    (Whether that is done or only the table wanted, the series, the finished runs of all jobs.)
    """
    place = Series(args.name, args.runs, args.results, curves)
    chosen = [job for job in jobs if args.only is None or any(word in job.name for word in args.only)]
    if not chosen:
        raise SystemExit(f"no run has {' or '.join(args.only)} in its name")
    done = args.table or run_jobs(chosen, place, processes=args.processes, minutes=args.minutes)
    runs = place.finished(jobs)
    if not runs:
        raise SystemExit(f"no run of {args.name} is finished in {args.results}")
    return done, place, runs


def write_table(place: Series, text: str) -> None:
    """The table of a series, beside the file of its runs and on standard output."""
    with atomic_write(place.table) as temporary:
        temporary.write_text(f"{text}\n")
    print(text)


def _interrupt(processes: Iterable[subprocess.Popen]) -> None:
    """Tell them to save their runs and end: by SIGTERM, for under nohup they ignore SIGINT."""
    for process in processes:
        if process.poll() is None:
            process.terminate()


def _ended(job: Job, code: int, place: Series) -> None:
    said = "finished"
    if code == 0:
        try:
            place.add(job)
        except (OSError, ValueError) as error:
            said += f", but not added to {place.results}: {error}"
    else:
        lines = place.log(job).read_text(errors="replace").splitlines()  # a bar ends by a return
        said = next((line for line in reversed(lines) if line.startswith("elq: ")), f"ended with {code}")
    print(f"{time.strftime('%H:%M:%S')}  {job.name}: {said}", flush=True)
