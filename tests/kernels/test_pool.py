"""The thread pool of the C kernels: several Python threads at once, and after a fork."""

import multiprocessing
import threading

import numpy as np
import pytest

from elq_ref import kernels

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
