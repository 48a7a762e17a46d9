"""The folder of a run: locks, signals, what a run leaves that did not start, damaged files."""

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import children
import pytest
from small_runs import batches, small_net

from elq_ref import SGD, Batches, Plan, Run, State, checkpoint
from elq_ref.errors import FormatError
from elq_ref.models import lenet5
from elq_ref.nn import BatchNorm2d, Flatten, Linear, Sequential
from elq_ref.runs import folder as folders
from elq_ref.runs.folder import RunFolder, create
from elq_ref.training.state import sealed

PLAN = Plan(sigma2=(0.3, 0.0), epochs=(2.0, 1.0, 1.0))


def run_in(path, net=None, data=None) -> Run:
    data = data or batches()
    return Run(path, net or small_net(), data, PLAN, SGD(0.05), test=data.dataset)


@pytest.fixture
def stopped(tmp_path):
    """The folder of a run that was left after its first stage."""
    stages = run_in(tmp_path / "run").start()
    next(stages), next(stages)
    stages.close()
    return tmp_path / "run"


# File systems without locks


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
@pytest.mark.parametrize("links", [True, False])
def test_without_locks_it_goes_on_and_says_so_once(tmp_path, monkeypatch, number, links):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(folders.fcntl, "flock", refuse)
    if not links:
        monkeypatch.setattr(folders.os, "link", refuse)
    run = run_in(tmp_path / "run")
    with pytest.warns(RuntimeWarning, match=f"no locks in .*run .{os.strerror(number)}.: nothing keeps") as said:
        list(run.start())
    assert len(said) == 1
    assert run.result()["total"] == 60
    with pytest.raises(ValueError, match="holds a run already"):
        run_in(tmp_path / "run").start()


def test_another_error_of_a_lock_is_one(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(folders.fcntl, "flock", refuse)
    with pytest.raises(OSError, match=r"Input/output error.*config\.json"):
        list(run_in(tmp_path / "run").start())


# A run that did not start


def test_a_run_that_did_not_start_leaves_nothing(tmp_path, monkeypatch):
    flat = Sequential(Flatten(), Linear(36, 4), BatchNorm2d(4), Linear(4, 3))
    single = Batches(batches().dataset.subset(slice(33)), 16)
    with pytest.raises(ValueError, match="33 pictures in batches of 16 leave a batch of one"):
        run_in(tmp_path / "a" / "b", flat, single).start()
    assert not any(tmp_path.iterdir())

    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "notes.txt").write_text("mine")
    for path in (tmp_path / "a" / "b", tmp_path / "kept"):
        with monkeypatch.context() as patch:
            patch.setattr("elq_ref.runs.run.layer_records", fail)
            stages = run_in(path).start()
            with pytest.raises(OSError, match="Input/output"):
                next(stages)
    monkeypatch.setattr(folders, "create", fail)
    with pytest.raises(OSError, match="Input/output"):
        run_in(tmp_path / "c" / "d").start()
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["kept", "kept/notes.txt"]


def test_a_run_that_started_stays(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(State, "save", fail)
    with pytest.raises(OSError, match="Input/output"):
        list(run_in(tmp_path / "run").start())
    monkeypatch.undo()
    run = run_in(tmp_path / "run")
    assert len(list(run.resume())) == 3


# Two processes


def test_of_many_that_create_one_file_at_once_one_does(tmp_path):
    def attempt(place):
        barrier.wait()
        try:
            create(place, str(threading.get_ident()))
            return threading.get_ident()
        except FileExistsError:
            return None

    barrier = threading.Barrier(8)
    with ThreadPoolExecutor(8) as threads:
        for turn in range(50):
            place = tmp_path / f"{turn}.json"
            made = [m for m in threads.map(attempt, [place] * 8) if m is not None]
            assert [place.read_text()] == list(map(str, made))
    assert len(list(tmp_path.iterdir())) == 50


RACE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from small_runs import batches, small_net
from elq_ref import SGD, Plan, Run
data = batches()
run = Run(sys.argv[2], small_net(), data, Plan(sigma2=(0.0,), epochs=(1.0, 1.0)), SGD(0.05), test=data.dataset)
print("ready", flush=True)
sys.stdin.readline()
try:
    list(run.start())
except ValueError as error:
    sys.exit(str(error))
"""


def test_of_two_processes_that_start_one_run_at_once_one_is_refused(tmp_path):
    for turn in range(4):
        command = [sys.executable, "-c", RACE, str(Path(__file__).parents[1]), str(tmp_path / f"{turn}")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        both = [subprocess.Popen(command, env=children.environment(ELQ_NUM_THREADS="1"), **pipes) for _ in range(2)]
        for process in both:
            assert process.stdout.readline() == "ready\n"
        for process in both:
            process.stdin.write("go\n")
            process.stdin.flush()
        errors = [process.communicate(timeout=120)[1] for process in both]
        assert sorted(process.returncode for process in both) == [0, 1]
        assert "holds a run already" in "".join(errors)
        lines = (tmp_path / f"{turn}" / "steps.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == list(range(1, 9))


def test_a_run_that_was_removed_while_one_waited_for_it_is_refused(stopped, monkeypatch):
    folder, flock = RunFolder(stopped), folders.fcntl.flock

    def late(file, how):
        folder.clear()
        flock(file, how)

    monkeypatch.setattr(folders.fcntl, "flock", late)
    with pytest.raises(ValueError, match="another process works on the run"), folder.locked():
        pass


# Damaged files

NEST = "[" * 100_000
NO_CONFIG = {
    "a list": "[]",
    "a nest": NEST,
    "a deep object": '{"plan": ' * 900 + "1" + "}" * 900,
    "no text": "\udcff",
    "a plan of another kind": '{"plan": []}',
    "a plan of nothing": '{"plan": null}',
    "a list for a number": '{"plan": {"a1": [1]}}',
    "a number for a list": '{"plan": {"epochs": 3}}',
    "text for numbers": '{"plan": {"sigma2": ["a"]}}',
    "a method of another kind": '{"plan": {"method": []}}',
    "an option with a long name": json.dumps({"plan": {"x" * 3000: 1}}),
    "levels with a long name": json.dumps({"plan": {"levels": "x" * 3000}}),
    "a method with a long name": json.dumps({"plan": {"method": "x" * 3000}}),
    "nothing": "",
}


def one_line(caught) -> bool:
    return "\n" not in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize("text", NO_CONFIG.values(), ids=NO_CONFIG)
def test_a_damaged_configuration_is_one_line(stopped, text):
    (stopped / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"config\.json|was started with") as caught:
        run_in(stopped).resume()
    assert one_line(caught)


@pytest.mark.parametrize("text", ["[]", NEST, "{}", "null", '{"correct": "x"}', '{"correct": true}', "1", "\udcff"])
def test_a_damaged_result_is_one_line(stopped, text):
    (stopped / "result.json").write_bytes(text.encode(errors="surrogateescape"))
    for ask in (lambda: run_in(stopped).resume(), lambda: run_in(stopped).result()):
        with pytest.raises(FormatError, match=r"result\.json") as caught:
            ask()
        assert one_line(caught)


@pytest.mark.parametrize(
    "place", [{"stage": 99}, {"step": 10**18}, {"index": 3}, {"stage": -1}, {"step": 8.0}, {"stage": None}]
)
def test_a_state_that_stands_nowhere_is_one_line_and_cuts_no_log(stopped, place):
    file = checkpoint.read(stopped / "state.safetensors")
    metadata = file.metadata | {"run": file.metadata["run"] | place}
    before = (stopped / "steps.jsonl").read_bytes()
    for said in (metadata, sealed(file.tensors, metadata)):  # edited, and by one who mends the checksum
        checkpoint.write(stopped / "state.safetensors", file.tensors, said)
        with pytest.raises(FormatError, match=r"state\.safetensors") as caught:
            list(run_in(stopped).resume())
        assert one_line(caught)
    assert (stopped / "steps.jsonl").read_bytes() == before


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"step": "1"}', NEST])
def test_a_damaged_log_is_one_line_but_for_its_last_line(stopped, line):
    lines = (stopped / "steps.jsonl").read_text().splitlines()
    (stopped / "steps.jsonl").write_text("\n".join([*lines[:2], line, *lines[3:]]) + "\n")
    with pytest.raises(FormatError, match=r"steps\.jsonl line 3 is damaged") as caught:
        list(run_in(stopped).resume())
    assert one_line(caught)
    (stopped / "steps.jsonl").write_text("\n".join([*lines, line]))
    assert len(list(run_in(stopped).resume())) == 2  # its state is that of the first stage


def test_a_log_without_its_numbers_is_one_line(stopped):
    lines = (stopped / "steps.jsonl").read_text().splitlines()
    folder = RunFolder(stopped)
    for wrong in ('{"step": 3}', '{"step": 3, "stage": 0, "loss": "low"}'):
        (stopped / "steps.jsonl").write_text("\n".join([*lines[:2], wrong, *lines[3:]]) + "\n")
        with pytest.raises(FormatError, match=r"steps\.jsonl is damaged") as caught:
            folder.means(0, ("loss",))
        assert one_line(caught)


# Signals


def sent(*numbers: int, pause: float = 0.0):
    """A watch that sends the signals to this process while a step is passed on."""

    def watch(steps):
        for step in steps:
            if step.step == 2:
                for number in numbers:
                    signal.raise_signal(number)
                    time.sleep(pause)
            yield step

    return watch


@pytest.fixture
def handlers():
    """The handlers of before are put back after the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("numbers", [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGTERM, signal.SIGINT) * 20])
def test_a_signal_saves_after_the_step_and_the_handlers_are_put_back(tmp_path, handlers, numbers):
    run = run_in(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt, match="holds the run after step 2"):
        list(run.start(sent(*numbers)))
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    assert State.load(tmp_path / "run" / "state.safetensors", small_net()).step == 2
    assert [stage["stage"] for stage in run_in(tmp_path / "run").resume()] == [0, 1, 2]


def test_a_second_signal_stops_at_once_if_it_comes_later(tmp_path, handlers, monkeypatch):
    monkeypatch.setattr(folders, "PATIENCE", 0.01)
    with pytest.raises(KeyboardInterrupt):
        list(run_in(tmp_path / "run").start(sent(signal.SIGINT, signal.SIGINT, pause=0.03)))
    assert not (tmp_path / "run" / "state.safetensors").exists()
    assert {number: signal.getsignal(number) for number in handlers} == handlers


def test_what_is_ignored_stays_ignored(tmp_path, handlers):
    for number in handlers:
        signal.signal(number, signal.SIG_IGN)
    run = run_in(tmp_path / "run")
    assert len(list(run.start(sent(signal.SIGINT, signal.SIGTERM)))) == 3
    assert {signal.getsignal(number) for number in handlers} == {signal.SIG_IGN}


@pytest.fixture
def handler_of_c(handlers):
    """The signals that a handler which C installed for SIGINT has seen."""
    calls = []
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
    own = kind(calls.append)
    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = [ctypes.c_int, kind], ctypes.c_void_p
    libc.signal(signal.SIGINT, own)
    yield calls
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    del own


def test_a_handler_of_c_that_came_later_is_put_back(tmp_path, handler_of_c):
    with pytest.raises(KeyboardInterrupt, match="after step 2"):
        list(run_in(tmp_path / "run").start(sent(signal.SIGINT)))
    assert handler_of_c == []
    signal.raise_signal(signal.SIGINT)
    assert handler_of_c == [signal.SIGINT]


def test_a_handler_that_was_there_before_python_stays(tmp_path, handler_of_c, monkeypatch):
    known = signal.getsignal
    monkeypatch.setattr(signal, "getsignal", lambda n: None if n == signal.SIGINT else known(n))  # as Python says it
    assert len(list(run_in(tmp_path / "run").start(sent(signal.SIGINT)))) == 3
    assert handler_of_c == [signal.SIGINT]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.0, 0.02])
def test_a_storm_of_signals_ends_with_130_and_a_whole_state(tmp_path, number, seconds):
    """On the command line, until the process is gone; the run goes on to the bits of one that nothing disturbed."""
    model = tmp_path / "net.safetensors"

    def command(*more):
        words = ["train", "--model", "lenet5", "--data", "digits", "--epochs", "4", "--batch-size", "64", "-o"]
        return [sys.executable, "-m", "elq_ref", *words, *map(str, more)]

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": children.FOLDER}
    process = subprocess.Popen(command(model), env=children.environment(ELQ_NUM_THREADS="1"), **pipes)
    log, end = tmp_path / "net.safetensors.run" / "steps.jsonl", time.monotonic() + 60
    while not log.exists():
        assert time.monotonic() < end
        time.sleep(0.001)
    time.sleep(0.1)
    count = 0
    while process.poll() is None and count < 20_000:
        process.send_signal(number)
        count += 1
        time.sleep(seconds)
    _, error = process.communicate(timeout=60)
    if number == signal.SIGTERM and process.returncode == -signal.SIGTERM:  # one more came after all was saved
        assert "Traceback" not in error
    else:
        assert process.returncode == 130, error
        assert "Traceback" not in error
    State.load(log.parent / "state.safetensors", lenet5((1, 8, 8)))
    again = subprocess.run(command(model, "--resume"), env=children.environment(), check=False, **pipes)
    whole = subprocess.run(command(tmp_path / "whole.safetensors"), env=children.environment(), check=False, **pipes)
    assert again.returncode == whole.returncode == 0
    one, other = (checkpoint.read(path).tensors for path in (model, tmp_path / "whole.safetensors"))
    assert {n: t.tobytes() for n, t in one.items()} == {n: t.tobytes() for n, t in other.items()}
