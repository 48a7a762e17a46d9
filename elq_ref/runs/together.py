"""The folder of a run that several processes work on: the first writes, the others read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from ..datasets import Batches
from ..nn import Module
from ..parallel import World
from ..training.stages import Step
from ..training.state import State
from .folder import RunFolder


def folder_of(path: str | os.PathLike[str], world: World) -> RunFolder:
    """The folder as this process has it."""
    return RunFolder(path, world) if world.rank == 0 else _ReadFolder(path, world)


class _ReadFolder(RunFolder):
    """It reads the configuration and the state, which must be those that the first process reads, and nothing else.

    What one process must know of another's work it hears from it, not by a file: a step ends for all or for none.
    """

    def start(self, config: dict[str, Any]) -> None:
        pass

    @contextmanager
    def locked(self) -> Iterator[None]:
        yield

    def resume(self, net: Module, batches: Batches) -> State | None:
        return self._saved(net, batches)

    def clear(self) -> None:
        pass

    def means(self, stage: int, keys: Sequence[str]) -> dict[str, float]:
        return {}

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        pass

    def _save(self, step: Step) -> None:
        pass

    @contextmanager
    def _log(self, name: str) -> Iterator[TextIO]:
        with open(os.devnull, "w") as nowhere:
            yield nowhere
