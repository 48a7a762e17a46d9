"""The thread pool of the C kernels: several Python threads at once, after a fork, one of all modules, its size."""

import multiprocessing
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from children import run_python

from elq_ref import extensions, kernels

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.skipif(not kernels.info()["kernel"].startswith("C"), reason="the C kernels are not built"),
]


def _case():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((8, 16, 20, 20)), rng.standard_normal((16, 16, 3, 3))
    return x.astype(np.float32), w.astype(np.float32)


def _child(queue):
    queue.put(kernels.conv2d(*_case()).tobytes())


def test_python_threads_share_the_pool():
    x, w = _case()
    wanted = kernels.conv2d(x, w)
    wrong = []

    def work():
        wrong.extend(k for k in range(50) if not np.array_equal(kernels.conv2d(x, w), wanted))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_forked_child_makes_its_own_threads():
    wanted = kernels.conv2d(*_case())  # the parent's threads exist now
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_child, args=(queue,))
    child.start()
    got = queue.get(timeout=60)
    child.join(60)
    assert got == wanted.tobytes()


SHARED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from elq_ref import kernels
from elq_ref.runtime import Session
from runtime_nets import Node, network, weighted

rng = np.random.default_rng(0)
x = rng.standard_normal((8, 16, 20, 20)).astype(np.float32)
conv = weighted(rng, "conv", "c", "input", "ternary", (16, 16, 3, 3))
fc = weighted(rng, "linear", "fc", "flat", "ternary", (10, 16 * 18 * 18))
session = Session(network([conv, Node("flatten", "flat", ("c",)), fc], (16, 20, 20), 10))
train = lambda: kernels.conv2d(x, x[:, :, :3, :3])
run = lambda: session(x)
count = lambda: len(os.listdir("/proc/self/task"))
counts = [count()]
for work in (FIRST, SECOND):
    work()
    counts.append(count())
print(counts[1] - counts[0], counts[2] - counts[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads that Linux lists")
@pytest.mark.parametrize("order", ["train, run", "run, train"])
def test_training_and_inference_share_one_pool(order):
    code = SHARED.replace("FIRST, SECOND", order)
    done = run_python(code, str(Path(__file__).parent), ELQ_NUM_THREADS="4", OPENBLAS_NUM_THREADS="1")
    assert done.stdout == "3 0\n", done.stderr


def _tree(root, cgroup, **quotas):
    """A /proc and /sys of a process in these groups; of folders, the text of cpu.max or version 1's two numbers."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for folder, quota in quotas.items():
        group = root / "sys/fs/cgroup" / folder
        group.mkdir(parents=True, exist_ok=True)
        if isinstance(quota, str):
            (group / "cpu.max").write_text(quota + "\n")
        else:
            (group / "cpu.cfs_quota_us").write_text(f"{quota[0]}\n")
            (group / "cpu.cfs_period_us").write_text(f"{quota[1]}\n")


V1 = "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n3:cpuset:/docker/abc\n"
UNIT = "0::/system.slice/job.service\n"


@pytest.mark.parametrize(
    ("cores", "cgroup", "quotas"),
    [
        (0, UNIT, {}),
        (0, UNIT, {"system.slice/job.service": "max 100000", "system.slice": "max 100000"}),
        (2, UNIT, {"system.slice/job.service": "150000 100000"}),
        (3, UNIT, {"system.slice/job.service": "max 100000", "system.slice": "300000 100000"}),
        (1, UNIT, {"system.slice/job.service": "800000 100000", "system.slice": "5000 100000"}),
        (4, "0::/\n", {".": "400000 100000"}),  # inside a container with a name space of its own
        (0, V1, {"cpu,cpuacct/docker/abc": (-1, 100000)}),
        (2, V1, {"cpu,cpuacct/docker/abc": (150000, 100000), "cpu,cpuacct": (-1, 100000)}),
        (5, V1, {"cpu,cpuacct/docker/abc": (-1, 100000), "cpu,cpuacct/docker": (500000, 100000)}),
        (3, V1, {"cpu,cpuacct": (250000, 100000)}),  # the container's own group lies at the mount point
        (6, "7:cpuacct,cpu:/a\n0::/\n", {"cpu/a": (600000, 100000)}),
        (0, "7:cpuset,cpuacct:/a\n", {"cpu/a": (600000, 100000), "cpuset,cpuacct/a": (600000, 100000)}),
        (2, "no colon\none: colon\n" + UNIT, {"system.slice/job.service": "150000 100000"}),
        (0, UNIT, {"system.slice/job.service": "150000 0"}),
        (0, UNIT, {"system.slice/job.service": "no numbers"}),
        (0, "4:cpuset,mycpu:/a\n", {"cpu/a": (600000, 100000), "cpuset,mycpu/a": (600000, 100000)}),
        (0, f"0::/{'a' * 5000}\n", {".": "400000 100000"}),  # longer than a path may be
        (0, f"4:cpu{',x' * 2100}:/a\n", {}),
    ],
)
def test_the_quota_of_a_container_is_read(tmp_path, cores, cgroup, quotas):
    _tree(tmp_path, cgroup, **quotas)
    assert extensions.load("_common")[0].quota_cores(str(tmp_path)) == cores


def test_without_control_groups_there_is_no_quota(tmp_path):
    assert extensions.load("_common")[0].quota_cores(str(tmp_path)) == 0
    assert extensions.load("_common")[0].quota_cores(str(tmp_path) + "/." * 4000) == 0  # no path of such a length


def test_half_of_a_quota_of_version_1_is_none(tmp_path):
    _tree(tmp_path, V1, **{"cpu,cpuacct/docker/abc": (150000, 100000)})
    (tmp_path / "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us").unlink()
    assert extensions.load("_common")[0].quota_cores(str(tmp_path)) == 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
@pytest.mark.parametrize("said", ["os.environ['ELQ_NUM_THREADS'] = ''", "os.environ.pop('ELQ_NUM_THREADS', None)"])
def test_no_more_threads_than_processors_to_run_on(said):
    alone = f"import os; {said}; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])"
    done = run_python(f"{alone}; from elq_ref import kernels; print(kernels.info())")
    assert "'threads': 1," in done.stdout, done.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_more_threads_than_processors_to_run_on():
    """There is none to keep the workers on but the caller's own."""
    code = """
import os
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
import numpy as np
from elq_ref import kernels
x, w = np.ones((8, 16, 16, 16)), np.ones((16, 16, 3, 3))
print(kernels.conv2d(x, w).sum())"""
    done = run_python(code, ELQ_NUM_THREADS="2")
    assert float(done.stdout) == 8 * 16 * 14 * 14 * 144, done.stderr
