"""A run on disk: its configuration, its logs, its state. Killed at any moment, it goes on from the last state.

config.json        what was asked for
steps.jsonl        one line an update; stages.jsonl, layers.jsonl, passes.jsonl: elq_ref.runs.run
state.safetensors  the run (elq_ref.training.state), written every `SAVE_EVERY` seconds, at every stage and on Ctrl-C
result.json        of a finished run
"""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

try:
    import fcntl
except ImportError:  # Windows has none: there nobody notices two processes in one folder
    fcntl = None  # type: ignore[assignment]

from .. import checkpoint
from ..errors import FormatError
from ..files import atomic_write, with_path
from ..nn import Module
from ..training.stages import Step
from ..training.state import State
from .config import changes

SAVE_EVERY = 60.0
LOGS = ("steps.jsonl", "stages.jsonl", "layers.jsonl", "passes.jsonl")
_LOGGED = ("step", "stage", "index", "lr", "loss", "loss_hat", "perturbation", "error", "objective", "sign", "frozen")


class RunFolder:
    """The folder of one run. `seconds`: how long it has run, over all its sessions up to the last save."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.state_path = self.path / "state.safetensors"
        self.seconds = 0.0

    def start(self, config: dict[str, Any]) -> None:
        """Make the folder for a new run; ValueError if it holds one already."""
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path} is a file, wanted a folder for the run")
        if (self.path / "config.json").exists():
            raise ValueError(f"{self.path} holds a run already: go on with --resume, or choose another folder")
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_json("config.json", config)

    def check(self, config: dict[str, Any]) -> None:
        """FileNotFoundError if there is no run here, ValueError if it was asked for something else."""
        path = self.path / "config.json"
        if not path.is_file():
            raise FileNotFoundError(f"there is no run to resume in {self.path}")
        try:
            saved = json.loads(path.read_text())
        except ValueError as error:
            raise FormatError(f"{path} is no JSON: {error}") from error
        if changed := changes(saved, config):
            before, now = (", ".join(f"{name} {pair[i]}" for name, pair in changed.items()) for i in (0, 1))
            raise ValueError(f"the run in {self.path} was started with {before}, not {now}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Inside, keep other processes out of the run; ValueError if one is in it."""
        with open(self.path / "config.json", "r+") as file:  # "r" is not enough for a lock over NFS
            try:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"another process works on the run in {self.path}") from None
            yield

    def resume(self, net: Module) -> State | None:
        """The saved state read into `net`, the logs cut back to it; None if it was killed before its first save."""
        for left_over in self.path.glob(".*.part"):  # of a write that kill -9 cut short
            left_over.unlink()
        state = None
        if self.state_path.is_file():
            file = checkpoint.read(self.state_path)
            state = State.of(file, net)
            seconds = file.metadata.get("seconds")
            self.seconds = seconds if isinstance(seconds, float) else 0.0
        for name in LOGS:
            self._cut(name, -1 if state is None else state.step)
        return state

    def result(self) -> dict[str, Any] | None:
        """What result.json says; None if the run is not finished."""
        path = self.path / "result.json"
        try:
            return json.loads(path.read_text()) if path.is_file() else None
        except ValueError as error:
            raise FormatError(f"{path} is no JSON: {error}") from error

    def follow(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Pass steps through, logging each; save the state now and then, at every stage and when Ctrl-C stops it."""
        begin = saved = time.monotonic()
        before = self.seconds
        with self._log("steps.jsonl") as log, _interrupt_between_steps() as interrupted:
            for step in steps:
                self._stop_if_diverged(step)
                log.write(json.dumps({key: getattr(step, key) for key in _LOGGED}) + "\n")
                if step.ends_stage:
                    log.flush()
                yield step
                if interrupted.is_set() or step.ends_stage or time.monotonic() - saved > SAVE_EVERY:
                    log.flush()
                    saved = time.monotonic()
                    self.seconds = before + saved - begin
                    step.state.save(self.state_path, seconds=self.seconds)
                if interrupted.is_set():
                    raise KeyboardInterrupt(f"{self.path} holds the run after step {step.step}")

    def _stop_if_diverged(self, step: Step) -> None:
        """ValueError for a step whose numbers are no numbers any more: all that follows would be worth nothing."""
        measured = {"L(W)": step.loss, "L(W_hat)": step.loss_hat, "E": step.error}
        for name, value in measured.items():
            if value is not None and not math.isfinite(value):
                raise ValueError(f"the training in {self.path} diverged: {name} is {value} after step {step.step}")

    def clear(self) -> None:
        """Remove the files of a run, if there is one, and the folder if nothing else is in it."""
        for name in ("config.json", "state.safetensors", "result.json", *LOGS):
            (self.path / name).unlink(missing_ok=True)
        if self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()

    def means(self, stage: int, keys: Sequence[str]) -> dict[str, float]:
        """Mean over the logged steps of `stage` of each key that was measured; a resumed run counts them all."""
        lines = map(json.loads, (self.path / "steps.jsonl").read_text().splitlines())
        steps = [line for line in lines if line["stage"] == stage]
        seen = {key: [s[key] for s in steps if s[key] is not None] for key in keys}
        return {key: sum(values) / len(values) for key, values in seen.items() if values}

    def append(self, name: str, record: dict[str, Any]) -> None:
        """Add one line to a JSON-lines file."""
        with self._log(name) as file:
            file.write(json.dumps(record) + "\n")

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write a JSON file atomically."""
        with atomic_write(self.path / name) as temporary:
            temporary.write_text(json.dumps(value, indent=2) + "\n")

    @contextmanager
    def _log(self, name: str) -> Iterator[TextIO]:
        try:
            with open(self.path / name, "a") as file:
                yield file
        except OSError as error:
            raise with_path(error, self.path / name) from error

    def _cut(self, name: str, done: int) -> None:
        """Drop the lines of a log that lie after step `done` (or were half written when the run was killed)."""
        path = self.path / name
        if not path.is_file():
            return
        kept = []
        for line in path.read_text().splitlines():
            try:
                if json.loads(line)["step"] > done:
                    break
            except (ValueError, KeyError, TypeError):
                break
            kept.append(line + "\n")
        with atomic_write(path) as temporary:
            temporary.write_text("".join(kept))


@contextmanager
def _interrupt_between_steps() -> Iterator[threading.Event]:
    """Ctrl-C sets the event instead of tearing an update in two; a second one stops at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def handler(*_: Any) -> None:
        event.set()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, handler)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, previous)
