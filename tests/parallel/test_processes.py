"""Several processes under mpirun: the bits of one, what they send, how they stop, and how they go on."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from mpirun import elq, elq_line, mpirun, needs_mpi
from small_runs import small_net

pytestmark = needs_mpi

BATCH = ["--batch-size", "96", "--micro-batch", "8"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """What 1, 2, 3 and 4 processes made of one run."""
    folder = tmp_path_factory.mktemp("shared")
    for size in (1, 2, 3, 4):
        done = mpirun(size, str(Path(__file__).with_name("shared_run.py")), str(folder))
        assert done.returncode == 0, done.stderr
    return folder


def test_any_number_of_processes_ends_on_the_same_bits(shared):
    one = (shared / "1.safetensors").read_bytes()
    found = json.loads((shared / "1.json").read_text())
    for size in (2, 3, 4):
        assert (shared / f"{size}.safetensors").read_bytes() == one, size
        other = json.loads((shared / f"{size}.json").read_text())
        assert other["evaluated"] == found["evaluated"]
        assert other["statistics"] == found["statistics"]
        assert [stage["loss"] for stage in other["stages"]] == [stage["loss"] for stage in found["stages"]]


def test_only_gradients_of_free_weights_are_sent(shared):
    """A sum is of all that is free, quantized or not; of every sum two processes give each other half, twice."""
    quantized = sum(p.data.size for p in small_net().quantizable().values())
    rest = sum(p.data.size for _, p in small_net().named_parameters()) - quantized
    for size in (2, 3):
        stages = json.loads((shared / f"{size}.json").read_text())["stages"]
        sent, ring = (np.diff([0, *(stage[key] for stage in stages)]) for key in ("sent", "ring"))
        frozen = np.array([stage["frozen"] for stage in stages])
        assert frozen[0] == 0
        assert 0.2 < frozen[1] < frozen[2] < frozen[3] == 1
        sums = ring / (2 * (size - 1) / size * 4 * (quantized * (1 - frozen) + rest))
        np.testing.assert_allclose(sums, [4, 4, 4, 2])  # two steps a stage, of two passes unless all is frozen
        if size == 2:
            assert (sent == ring).all()
        else:  # runs of 4 of 12 leaves are two spans, of 1 of 3 leaves one
            np.testing.assert_allclose(sent / ring, (3 + 2) / (2 + 2), rtol=0.01)


def alone(words: list[str]) -> None:
    """One process, of one thread like each of several: a run's state says how many it had."""
    done = elq(1, words)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "float.safetensors"
    alone(["train", "--model", "digits_cnn", "--data", "digits", "--epochs", "1", *BATCH, "-o", str(path)])
    return path


def command(trained: Path, out: Path) -> list[str]:
    plan = ["--passes", "0.5", "--set", "sigma2=0.3,0", "epochs=2,1,1"]  # 4, 2 and 2 steps
    return ["reproduce", "digits", str(trained), *plan, *BATCH, "-o", str(out)]


@pytest.fixture(scope="module")
def finished(trained, tmp_path_factory) -> Path:
    """A run of one process."""
    out = tmp_path_factory.mktemp("finished") / "run"
    alone(command(trained, out))
    return out


def same_run(out: Path, finished: Path) -> None:
    for name in ("net.elq", "quantized.safetensors", "steps.jsonl", "layers.jsonl"):
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name
    assert not list(out.glob(".*"))


def test_train_by_two_processes_writes_the_file_of_one(trained, tmp_path):
    out = tmp_path / "float.safetensors"
    done = elq(2, ["train", "--model", "digits_cnn", "--data", "digits", "--epochs", "1", *BATCH, "-o", str(out)])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test images right") == 1  # the first process alone speaks
    assert out.read_bytes() == trained.read_bytes()
    assert list(tmp_path.iterdir()) == [out]


FAILURES = {
    "an exception": ("if rank == 1: at_step(5, lambda: (mark(), fail(OSError(5, 'broken', 'a.jpg'))))", 2),
    "a kill": ("if rank == 1: at_step(5, lambda: (mark(), os.kill(os.getpid(), 9)))", None),
    "a full disk": (
        "import resource\nif rank == 0: at_step(5, lambda: (mark(), "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))))\nelq_ref.runs.folder.SAVE_EVERY = 0",
        2,
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_what_stops_one_process_stops_all_and_the_run_goes_on(trained, finished, tmp_path, failure):
    out, mark = tmp_path / "run", tmp_path / "failed"
    before, code = FAILURES[failure]
    done = elq(2, command(trained, out), f"mark = pathlib.Path({str(mark)!r}).touch\n{before}")
    assert time.time() - mark.stat().st_mtime < 30
    if failure == "a kill":
        assert done.returncode != 0
        assert "signal 9" in done.stderr  # mpirun says it
        assert "elq: " not in done.stderr
        assert elq(3, [*command(trained, out), "--resume"]).returncode == 0  # under another number of processes
    else:
        assert done.returncode == code
        said = {"an exception": "process 1 of 2: broken: a.jpg", "a full disk": f"File too large: {out}"}[failure]
        assert elq_line(done).startswith(f"elq: {said}")
        alone([*command(trained, out), "--resume"])
    same_run(out, finished)


def test_the_page_runs_as_printed(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "several-processes.md"
    if not page.is_file():
        pytest.skip("docs/ is not here (tests run from an installed copy)")
    (program,) = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.M | re.S)
    script = tmp_path / "script.py"
    script.write_text(f"import os\nos.chdir({str(tmp_path)!r})\n{program}")
    done = mpirun(2, "-m", "mpi4py", str(script))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("'frozen': 1.0") == 1
    assert (tmp_path / "run" / "net.elq").is_file()


def test_other_weights_on_one_process_are_one_line(trained, tmp_path):
    other = tmp_path / "other.safetensors"
    more = ["--seed", "1", "--epochs", "0.1", *BATCH]
    alone(["train", "--model", "digits_cnn", "--data", "digits", *more, "-o", str(other)])
    out = tmp_path / "run"
    theirs = f"if rank == 1: sys.argv[sys.argv.index({str(trained)!r})] = {str(other)!r}"
    done = elq(2, ["quantize", str(trained), "--data", "digits", *BATCH, "-o", str(out)], theirs)
    assert done.returncode == 2
    assert elq_line(done) == "elq: process 1 of 2 has other weights than process 0"
    assert not out.exists()
