"""The process of one runner: python -m elq_ref.timing.worker RUNNER FILE THREADS CPUS.

Prints one JSON line when it is ready, then one for every line it reads. {"batch": n, "seconds": s}: the seconds of each
call on n pictures, called until s seconds have passed. {"batch": n, "profile": true}: the profile of one.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from typing import Any

import numpy as np

from ..machine import peak_memory
from ..runtime import PackedNetwork
from .runners import RUNNERS, Profile

PROFILES = 15


def pictures(shape: tuple[int, int, int], count: int) -> np.ndarray:
    """The same random pictures in every process: uint8 (count, C, H, W)."""
    return np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8)


def main(name: str, file: str, threads: str, cpus: str) -> None:
    if hasattr(os, "sched_setaffinity"):  # before the runner starts its threads
        os.sched_setaffinity(0, json.loads(cpus))
    before = peak_memory()
    module, _, runner = name.rpartition(":")  # "module:name" is a runner of somebody else's
    table = importlib.import_module(module).RUNNERS if module else RUNNERS
    start = time.perf_counter()
    network = PackedNetwork.load(file)
    ready = table[runner].make(network, int(threads))
    shape = network.graph.input_shape
    loaded = time.perf_counter() - start
    logits = np.asarray(ready.prepare(pictures(shape, 1))())[0].astype(float).tolist()
    answer({"load_seconds": loaded, "logits": logits, "memory_before": before, **ready.about})
    calls: dict[int, Any] = {}
    gc.disable()
    for line in sys.stdin:
        asked = json.loads(line)
        batch = asked["batch"]
        if asked.get("profile"):
            answer({"profile": profiled(ready.profile, pictures(shape, batch)) if ready.profile else None})
            continue
        if batch not in calls:
            calls[batch] = ready.prepare(pictures(shape, batch))
            for _ in range(2):
                calls[batch]()
        answer({"seconds": timed(calls[batch], asked["seconds"]), "memory": peak_memory()})


def timed(call: Any, seconds: float) -> list[float]:
    """The time of each of as many calls as fill `seconds`, at least one."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return found


def profiled(profile: Profile, x: np.ndarray) -> list[list[Any]]:
    """The rows of a profile, with the least time of each row over a few calls: the first are slower."""
    runs = [[list(row) for row in profile(x)] for _ in range(PROFILES)]
    for row, *others in zip(*runs, strict=True):
        row[3] = min(row[3], *(other[3] for other in others))
    return runs[0]


def answer(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
