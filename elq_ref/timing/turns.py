"""The side that starts the workers and asks them in turns, so that what the machine does meanwhile hits all alike."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..machine import python_command
from .runners import environment


@dataclass
class Timed:
    """A runner's times: `about` is what it said when it was ready; turns[batch] the seconds of the calls of each turn;
    profile[batch] the rows of its profile, None where it has none; memory the peak of its process in bytes."""

    runner: str
    about: dict[str, Any]
    turns: dict[int, list[list[float]]] = field(default_factory=dict)
    profile: dict[int, list[list[Any]] | None] = field(default_factory=dict)
    memory: int | None = None

    def seconds(self, batch: int) -> np.ndarray:
        """Of all calls."""
        return np.concatenate(self.turns[batch])

    def ratio(self, other: Timed, batch: int) -> tuple[float, float, float]:
        """How many times as long `other` takes: the median over the turns of the ratio of their medians, and its
        quartiles."""
        return quartiles(
            [np.median(b) / np.median(a) for a, b in zip(self.turns[batch], other.turns[batch], strict=True)]
        )


class Worker:
    """A worker's process."""

    def __init__(self, runner: str, file: str | os.PathLike[str], threads: int, cpus: Sequence[int]) -> None:
        command = python_command("elq_ref.timing.worker", runner, os.fspath(file), str(threads))
        env, pipe, self.runner = environment(threads), subprocess.PIPE, runner
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in close(); a pipe could fill up unread
        self.process = subprocess.Popen(
            [*command, json.dumps(list(cpus))], stdin=pipe, stdout=pipe, stderr=self.errors, text=True, env=env
        )
        try:
            self.about = self.read()
        except BaseException:
            self.close()
            raise

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer to a line that worker.py describes."""
        assert self.process.stdin
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return self.read()

    def read(self) -> dict[str, Any]:
        """The next JSON line; RuntimeError with the last line of the error if the process has ended."""
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        self.process.wait()
        self.errors.seek(0)
        said = self.errors.read().strip().splitlines() or ["no error was printed"]
        raise RuntimeError(f"{self.runner}: {said[-1]}")

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()


def processors(threads: int) -> list[int]:
    """The processors that every runner of so many threads is pinned to: the last ones of this process.

    ValueError where there are fewer: waiting for each other is not what is to be measured.
    """
    own = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    if not 1 <= threads <= len(own):
        raise ValueError(f"{threads} threads, wanted 1 to the {len(own)} processors of this process")
    return own[-threads:]


def take_turns(
    runners: Sequence[str],
    file: str | os.PathLike[str],
    threads: int,
    batches: Sequence[int],
    seconds: float = 1.0,
    rounds: int = 5,
) -> tuple[list[Timed], dict[str, str]]:
    """Time `runners` on the packed network in `file`: for each batch size `rounds` turns of `seconds` / rounds each, in
    an order that changes. Returns the times, and the error of each runner that could not be made.

    A runner is a name of RUNNERS, or MODULE:NAME for one in the RUNNERS of another module.
    """
    cpus = processors(threads)
    workers: list[Worker] = []
    failed: dict[str, str] = {}
    try:
        for name in runners:
            try:
                workers.append(Worker(name, file, threads, cpus))
            except RuntimeError as error:
                failed[name] = str(error).removeprefix(f"{name}: ")
        found = [Timed(w.runner, w.about, {batch: [] for batch in batches}) for w in workers]
        for batch in batches:
            order = list(zip(workers, found, strict=True))
            for k in range(rounds):
                for worker, timed in order if k % 2 else reversed(order):
                    answer = worker.ask(batch=batch, seconds=seconds / rounds)
                    timed.turns[batch].append(answer["seconds"])
                    timed.memory = answer["memory"]
            for worker, timed in order:
                timed.profile[batch] = worker.ask(batch=batch, profile=True)["profile"]
    finally:
        for worker in workers:
            worker.close()
    return found, failed


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """(median, lower, upper quartile)."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(middle), float(low), float(high)


def percentiles(seconds: np.ndarray) -> dict[str, float]:
    """The latencies that half, 90 % and 99 % of the calls keep."""
    return dict(zip(("p50", "p90", "p99"), map(float, np.percentile(seconds, (50, 90, 99))), strict=True))
