"""One process alone, and what is refused before any other is spoken to."""

import numpy as np
import pytest
from children import run_python
from made_runs import one_line
from small_runs import batches

from elq_ref import Batches, kernels
from elq_ref.parallel import ALONE, World
from elq_ref.parallel.launch import launched


def test_a_number_of_processes_that_does_not_divide_the_micro_batches_is_refused():
    data = batches().dataset
    for size, micro, count in ((5, 4, 12), (2, None, 1), (24, 4, 12)):
        said = f"^{count} micro-batches of {micro or 48} pictures a batch for {size} processes: wanted"
        with pytest.raises(ValueError, match=said):
            Batches(data, 48, micro_batch=micro, world=World(0, size))
    for size in (1, 2, 3, 4, 6, 12):
        Batches(data, 48, micro_batch=4, world=World(0, size))


def test_a_launcher_says_who_a_process_is(monkeypatch):
    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert launched() == (0, 1)
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setenv("PMI_RANK", "3")
    assert launched() == (3, 4)


def test_a_missing_mpi4py_is_one_line(tmp_path):
    code = "import sys; sys.modules['mpi4py'] = None; from elq_ref.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["train", "--model", "digits_cnn", "--data", "digits", "-o", str(tmp_path / "net.safetensors")]
    for more, changes in (([], {"OMPI_COMM_WORLD_SIZE": "2"}), (["--mpi"], {})):
        done = run_python(code, *words, *more, **changes)
        assert done.returncode == 2
        assert "MPI for Python is missing" in one_line(done.stderr)
        assert "pip install 'elq_ref[mpi]'" in one_line(done.stderr)
    assert not list(tmp_path.iterdir())


def test_one_process_agrees_with_itself():
    part = np.arange(6.0).reshape(3, 2)
    assert ALONE.joined(part) is part
    assert ALONE.told({"a": 1}) == {"a": 1}
    assert (ALONE.any(True), ALONE.any(False)) == (True, False)
    assert ALONE.stop(2) is None


@pytest.mark.kernels
@pytest.mark.skipif(not kernels.info()["kernel"].startswith("C"), reason="the C kernels are not built")
def test_processes_on_one_machine_share_its_cores():
    def threads(**changes: str) -> int:
        code = "import os; os.environ.pop('ELQ_NUM_THREADS', None)" if "ELQ_NUM_THREADS" not in changes else "pass"
        done = run_python(f"{code}; from elq_ref import kernels; print(kernels.info()['threads'])", **changes)
        return int(done.stdout)

    alone = threads(OMPI_COMM_WORLD_LOCAL_SIZE="")
    assert threads(OMPI_COMM_WORLD_LOCAL_SIZE="1") == alone
    assert threads(OMPI_COMM_WORLD_LOCAL_SIZE="1000") == 1
    if alone < 16:  # no limit of ours
        assert threads(MPI_LOCALNRANKS="2") == max(1, alone // 2)
    assert threads(OMPI_COMM_WORLD_LOCAL_SIZE="1000", ELQ_NUM_THREADS="3") == 3
