"""Processes of mpirun that import the very elq_ref that is being tested."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import children
import pytest

HAS_MPI = importlib.util.find_spec("mpi4py") is not None and shutil.which("mpirun") is not None
needs_mpi = pytest.mark.skipif(not HAS_MPI, reason="mpi4py or mpirun is not here: nothing runs in several processes")

# what --allow-run-as-root and --oversubscribe say to Open MPI; others do not ask
ALLOWED = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}

COMMAND = """
import os, sys, pathlib
from elq_ref.parallel.launch import launched
from elq_ref.cli import main
import elq_ref.runs.folder, elq_ref.training.stages as stages
rank, update = launched()[0], stages._update

def at_step(number, do):
    def changed(state, *rest):
        if state.step == number:
            do()
        return update(state, *rest)
    stages._update = changed

def fail(error):
    raise error

{before}
sys.exit(main(sys.argv[1:]))
"""


def mpirun(size: int, *command: str) -> subprocess.CompletedProcess:
    """`size` processes of a command of Python, one thread each; wall-clock time is bounded."""
    here = str(Path(__file__).parent)
    environment = children.environment(**ALLOWED, ELQ_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    environment["PYTHONPATH"] += os.pathsep.join(["", str(children.FOLDER), here])
    line = ["mpirun", "-n", str(size), sys.executable, *command]
    return subprocess.run(line, cwd=here, env=environment, capture_output=True, text=True, timeout=120, check=False)


def elq(size: int, arguments: list[str], before: str = "") -> subprocess.CompletedProcess:
    """`size` processes of the command line; `before`: code that each runs first, in the names of `COMMAND`."""
    return mpirun(size, "-c", COMMAND.format(before=before), *arguments)


def elq_line(done: subprocess.CompletedProcess) -> str:
    """The one line that elq says. mpirun adds lines of its own, and now and then a NUL in front of this one."""
    found: list[str] = re.findall(r"\belq: .*", done.stderr)
    assert len(found) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return found[0]
