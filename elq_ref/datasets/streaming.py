"""Threads that read pictures ahead, and a cache of what they decoded. Neither changes a bit of any picture."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from .. import kernels

T = TypeVar("T")
CACHE = 1 << 30  # bytes, where nobody says
MOST_WORKERS = 16  # where nobody says: Python's own part of the work is one thread's


def ahead(tasks: Iterable[Callable[[], T]], workers: int, window: int) -> Generator[T, None, None]:
    """The results of `tasks`, in order, computed by threads while up to `window` of them are not asked for yet.

    An exception of a task is raised when its turn comes; then, or when the iterator is closed, the threads end.
    """
    pool = ThreadPoolExecutor(workers, "elq-pictures")
    waiting: deque[Callable[[], T]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(task).result)
            if len(waiting) > window:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()
    finally:
        pool.shutdown(cancel_futures=True)


class Cache:
    """Decoded pictures, those that came first, as many as fit into `size` bytes; for any number of threads."""

    def __init__(self, size: int = CACHE) -> None:
        if size < 0:
            raise ValueError(f"a cache of {size} bytes, wanted 0 or more")
        self.size, self.used = size, 0
        self._kept: dict[object, np.ndarray] = {}
        self._lock = threading.Lock()

    def get(self, key: object, make: Callable[[], np.ndarray]) -> np.ndarray:
        """What is kept under `key`, or `make()`, which is kept if it fits. Not to be written to."""
        found = self._kept.get(key)
        if found is None:
            found = make()
            with self._lock:
                if key not in self._kept and self.used + found.nbytes <= self.size:
                    self._kept[key] = found
                    self.used += found.nbytes
        return found


def _default_workers() -> int:
    return min(int(kernels.info()["threads"]), MOST_WORKERS)


@dataclass(frozen=True)
class Reading:
    """How picture files are read.

    workers: threads that decode ahead (default: as many as compute, at most 16). cache: bytes of decoded pictures that
    are kept (default 1 GiB), of all data sets that are read by this Reading together. skip_broken: leave out pictures
    that cannot be read, for which all are decoded once; else the first one is an error, for which the headers are
    looked at. tell: is given lines for people: what was left out. watch: wraps the iterator over the files that are
    looked at, with their number, to show progress.
    """

    workers: int = field(default_factory=_default_workers)
    cache: Cache = field(default_factory=Cache)
    skip_broken: bool = False
    tell: Callable[[str], None] = lambda line: None
    watch: Callable[[Iterator[Any], int], Iterator[Any]] = lambda items, count: items

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"{self.workers} threads that read pictures, wanted at least 1")
