"""A run on disk: its configuration, its logs, its state. Killed at any moment, it goes on from the last state.

config.json        what was asked for
steps.jsonl        one line an update; stages.jsonl, layers.jsonl, passes.jsonl: elq_ref.runs.run
state.safetensors  the run (elq_ref.training.state), written every `SAVE_EVERY` seconds, at every stage, on Ctrl-C and
                   on SIGTERM
result.json        of a finished run
"""

from __future__ import annotations

import ctypes
import errno
import json
import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

try:
    import fcntl
except ImportError:  # Windows has none: there nobody notices two processes in one folder
    fcntl = None  # type: ignore[assignment]

from .. import checkpoint
from ..checkpoint.tensors import one_line
from ..datasets import Batches
from ..errors import FormatError, shown
from ..files import atomic_write, with_path
from ..nn import Module
from ..parallel import ALONE, World
from ..training.stages import Step, check_place
from ..training.state import State
from .config import as_text, changes

SAVE_EVERY = 60.0
PATIENCE = 1.0
LOGS = ("steps.jsonl", "stages.jsonl", "layers.jsonl", "passes.jsonl")
_RESULT = {  # key: the types that it may have
    "correct": (int,), "total": (int,), "top1": (int, float), "weight_bytes": (int,), "float_bytes": (int,),
    "packed_as_float": (list,),
}  # fmt: skip
_NAMED = 3  # differences that an error names
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)
_LOGGED = ("step", "stage", "index", "lr", "loss", "loss_hat", "perturbation", "error", "objective", "sign", "frozen")


class RunFolder:
    """The folder of one run. `seconds`: how long it has run, over all its sessions up to the last save. world: the
    processes that run it, of which one writes (elq_ref.runs.together)."""

    def __init__(self, path: str | os.PathLike[str], world: World = ALONE) -> None:
        self.path, self.world = Path(path), world
        self.state_path = self.path / "state.safetensors"
        self.seconds = 0.0
        self._begun = True  # whether there is more than was asked for: a first step
        self._made: list[Path] = []  # the folders that `start` made, the uppermost last

    def start(self, config: dict[str, Any]) -> None:
        """Make the folder for a new run; ValueError if it holds one already, or gets one at the same moment."""
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path} is a file, wanted a folder for the run")
        text = as_text(config, self.path / "config.json", indent=2)
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            create(self.path / "config.json", text)
        except FileExistsError:
            raise ValueError(
                f"{self.path} holds a run already: go on with --resume, or choose another folder"
            ) from None
        except BaseException:
            self._remove_folders()
            raise
        self._begun = False

    def config(self) -> dict[str, Any]:
        """What the run was asked for; FileNotFoundError if there is none here."""
        path = self.path / "config.json"
        if not path.is_file():
            raise FileNotFoundError(f"there is no run to resume in {self.path}")
        return _object(path)

    def check(self, config: dict[str, Any]) -> None:
        """FileNotFoundError if there is no run here, ValueError if it was asked for something else."""
        path, saved = self.path / "config.json", self.config()
        try:
            changed = changes(saved, config)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise FormatError(f"{path} is damaged: {one_line(error)}") from None
        if changed:
            named = list(changed.items())[:_NAMED]
            before, now = (", ".join(f"{name[:40]} {str(pair[i])[:40]}" for name, pair in named) for i in (0, 1))
            more = f" ({len(changed) - _NAMED} more differ)" if len(changed) > _NAMED else ""
            raise ValueError(shown(f"the run in {self.path} was started with {before}, not {now}{more}"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Inside, keep other processes out of the run; ValueError if one is in it.

        A new run that fails inside before its first step is removed. Where the file system has no locks, a warning
        says that nothing keeps others out.
        """
        with self._lock():
            try:
                yield
            except BaseException:
                if not self._begun:
                    self.clear()
                raise

    @contextmanager
    def _lock(self) -> Iterator[None]:
        if fcntl is None:
            yield
            return
        busy = f"another process works on the run in {self.path}"
        with open(self.path / "config.json", "r+") as file:  # "r" is not enough for a lock over NFS
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(busy) from None
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise with_path(error, file.name) from error
                said = f"no locks in {self.path} ({error.strerror}): nothing keeps a second process out of this run"
                warnings.warn(said, RuntimeWarning, stacklevel=5)
            try:
                still = os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))
            except FileNotFoundError:
                still = False
            if not still:  # whoever held the lock has removed the run since
                raise ValueError(busy)
            yield

    def resume(self, net: Module, batches: Batches) -> State | None:
        """The saved state read into `net`, the logs cut back to it; None if it was killed before its first save."""
        for left_over in self.path.glob(".*.part"):  # of a write that kill -9 cut short
            left_over.unlink(missing_ok=True)
        state = self._saved(net, batches)
        for name in LOGS:
            self._cut(name, -1 if state is None else state.step)
        return state

    def _saved(self, net: Module, batches: Batches) -> State | None:
        if not self.state_path.is_file():
            return None
        file = checkpoint.read(self.state_path)
        state = State.of(file, net)
        try:
            check_place(state, batches)
        except FormatError as error:
            raise FormatError(f"{self.state_path}: {error}") from None
        seconds = file.metadata.get("seconds")
        self.seconds = seconds if isinstance(seconds, float) else 0.0
        return state

    def result(self) -> dict[str, Any] | None:
        """What result.json says; None if the run is not finished."""
        path = self.path / "result.json"
        if not path.is_file():
            return None
        found = _object(path)
        wrong = [key for key, kind in _RESULT.items() if type(found.get(key)) not in kind]
        if wrong:
            raise FormatError(f"{path} lacks or misstates {', '.join(wrong)}")
        return found

    def follow(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Pass steps through, logging each; save the state now and then, at every stage and when a signal stops it,
        which of several processes all do behind the same step."""
        begin = saved = time.monotonic()
        before = self.seconds
        with self._log("steps.jsonl") as log, _interrupt_between_steps() as interrupt:
            for step in steps:
                self._begun = True
                self._stop_if_diverged(step)
                log.write(as_text({key: getattr(step, key) for key in _LOGGED}, self.path / "steps.jsonl"))
                if step.ends_stage:
                    log.flush()
                yield step
                asked = self.world.any(interrupt.asked)
                if asked or step.ends_stage or time.monotonic() - saved > SAVE_EVERY:
                    with interrupt.held():
                        log.flush()
                        saved = time.monotonic()
                        self.seconds = before + saved - begin
                        self._save(step)
                if asked:
                    self.world.any(asked)  # nobody ends before the state is there
                    raise KeyboardInterrupt(f"{self.path} holds the run after step {step.step}")

    def _save(self, step: Step) -> None:
        step.state.save(self.state_path, seconds=self.seconds)

    def _stop_if_diverged(self, step: Step) -> None:
        """ValueError for a step whose numbers are no numbers any more: all that follows would be worth nothing."""
        measured = {"L(W)": step.loss, "L(W_hat)": step.loss_hat, "E": step.error}
        for name, value in measured.items():
            if value is not None and not math.isfinite(value):
                raise ValueError(f"the training in {self.path} diverged: {name} is {value} after step {step.step}")

    def clear(self) -> None:
        """Remove the files of a run, if there is one, and the folder if nothing else is in it."""
        for name in ("state.safetensors", "result.json", *LOGS, "config.json"):  # nobody starts here before the last
            (self.path / name).unlink(missing_ok=True)
        self._made = self._made or [self.path]
        self._remove_folders()

    def _remove_folders(self) -> None:
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:  # there is something in it
                break

    def means(self, stage: int, keys: Sequence[str]) -> dict[str, float]:
        """Mean over the logged steps of `stage` of each key that was measured; a resumed run counts them all."""
        path = self.path / "steps.jsonl"
        try:
            lines = map(json.loads, path.read_text().splitlines())
            steps = [line for line in lines if line["stage"] == stage]
            seen = {key: [s[key] for s in steps if s[key] is not None] for key in keys}
            return {key: sum(values) / len(values) for key, values in seen.items() if values}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise FormatError(f"{path} is damaged: a line lacks or misstates {one_line(error)}") from None

    def append(self, name: str, record: dict[str, Any]) -> None:
        """Add one line to a JSON-lines file."""
        line = as_text(record, self.path / name)
        with self._log(name) as file:
            file.write(line)

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write a JSON file atomically."""
        text = as_text(value, self.path / name, indent=2)
        with atomic_write(self.path / name) as temporary:
            temporary.write_text(text)

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
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                wrong = not isinstance(record, dict) or type(record.get("step")) is not int
            except (ValueError, RecursionError):
                wrong = True
            if wrong and number < len(lines):
                raise FormatError(
                    f"{path} line {number} is damaged: there are others behind it, so no kill cut it short"
                )
            if wrong or record["step"] > done:
                break
            kept.append(line + "\n")
        with atomic_write(path) as temporary:
            temporary.write_text("".join(kept))


def create(path: Path, text: str) -> None:
    """Write a file that is not there yet, whole from its first moment; FileExistsError if it is.

    Of two processes that create one file at the same moment, one makes it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        temporary.write_text(text)
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, or the folder was removed by a run that ended at this moment
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x") as file:
            try:
                file.write(text)
                file.flush()
            except OSError as error:
                path.unlink(missing_ok=True)
                raise with_path(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; FormatError for anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise FormatError(f"{path} holds a {type(found).__name__}, wanted a JSON object")
    return found


class _Interrupt:
    """What the signals asked for: `asked`, to stop at the end of this step.

    A second signal stops at once if it comes `PATIENCE` seconds after the first, so that a burst counts as one; never
    while `held`.
    """

    def __init__(self) -> None:
        self.asked = self.keep = False
        self.first = 0.0

    def __call__(self, *_: Any) -> None:
        now = time.monotonic()
        if not self.asked:
            self.asked, self.first = True, now
        elif now - self.first > PATIENCE and not self.keep:
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, nothing is torn in two."""
        self.keep = True
        try:
            yield
        finally:
            self.keep = False


@contextmanager
def _interrupt_between_steps() -> Iterator[_Interrupt]:
    """Ctrl-C and SIGTERM wait for the end of a step instead of tearing an update in two.

    A signal that is ignored (nohup) stays so, and so does a handler that was there before Python was: Python cannot put
    it back. All others are put back, those of C too that came later, of which Python knows nothing.
    """
    interrupt = _Interrupt()
    before: dict[signal.Signals, tuple[Any, _Disposition]] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            if handler not in (None, signal.SIG_IGN):
                before[number] = handler, _Disposition(number)
    try:
        for number in before:
            signal.signal(number, interrupt)
        yield interrupt
    finally:
        for number, (handler, disposition) in before.items():  # SIGINT last: its handler may raise from then on
            signal.signal(number, handler)
            disposition.put_back()


class _Disposition:
    """What the system does on a signal: its struct sigaction, whose content is the system's affair."""

    def __init__(self, number: int) -> None:
        self.number, self.content = number, ctypes.create_string_buffer(1024)
        self.libc = None if os.name == "nt" else ctypes.CDLL(None)
        if self.libc is not None:
            self.libc.sigaction(number, None, self.content)

    def put_back(self) -> None:
        if self.libc is not None:
            self.libc.sigaction(self.number, self.content, None)
