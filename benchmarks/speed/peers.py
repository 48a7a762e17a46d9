"""What benchmarks of several processes share: a peer's process, medians, and the line that says what ran where."""

import datetime
import json
import os
import platform
import subprocess
import threading
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np

from elq_ref.machine import python_command


class PeerFailed(Exception):
    """A peer could not do its work; the message is its own."""


class Peer:
    """A process that answers lines on its standard input with lines of JSON on its standard output.

    `words`: what follows `python -m benchmarks.speed`; `threads`: what every thread pool in it is told; `launcher`:
    what starts it, where it is several; `changes`: of its environment.
    """

    def __init__(self, words: Sequence[str], threads: int, launcher: Sequence[str] = (), **changes: str) -> None:
        pools = ("ELQ_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        env = os.environ | {pool: str(threads) for pool in pools} | changes
        command, pipe = [*launcher, *python_command("benchmarks.speed", *words)], subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=env)

    def ask(self, line: object, limit: float = threading.TIMEOUT_MAX) -> Any:
        """The answer to `line`; PeerFailed if it is {"error": ...}, the process ended, or `limit` seconds went by, when
        it is ended."""
        assert self.process.stdin
        assert self.process.stdout
        print(line, file=self.process.stdin, flush=True)
        over = threading.Event()
        timer = threading.Timer(limit, lambda: (over.set(), self.process.kill()))
        timer.start()
        try:
            text = self.process.stdout.readline()
        finally:
            timer.cancel()
        if over.is_set():
            raise PeerFailed(f"given up after {limit:.0f} s")
        answer = json.loads(text) if text else {"error": f"its process ended with exit status {self.process.wait()}"}
        if "error" in answer:
            raise PeerFailed(answer["error"])
        return answer

    def close(self) -> None:
        """Let the process end."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """(median, first quartile, third quartile)."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return middle, low, high


def heading() -> str:
    """CPU, versions, kernels, load average, date; and that PyTorch is absent, if it is."""
    from elq_ref.kernels import info
    from elq_ref.machine import cpu_name

    torch = f"PyTorch {version('torch')}" if find_spec("torch") else "PyTorch is not installed: elq_ref alone"
    load = f", load average {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{cpu_name()}; {torch}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"kernels {info()['kernel']}{load}; {datetime.date.today()}"
    )
