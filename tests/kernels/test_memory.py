"""Memory of training: nothing grows with the steps, what one size left serves another (both in processes of their own,
whose memory is theirs alone), and it asks for large pages."""

import json
from pathlib import Path

import numpy as np
import pytest
from children import run_python

from elq_ref import kernels
from elq_ref.machine import peak_memory

TRAIN = """
import gc, json, sys, tracemalloc
import numpy as np
from elq_ref import SGD, Tensor, ops
from elq_ref.machine import peak_memory
from elq_ref.nn import BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential

keep = json.loads(sys.argv[1])
rng = np.random.default_rng(0)
first, last = Conv2d(1, 16, 3, padding=1, rng=rng), Linear(256, 10, rng=rng)
net = Sequential(first, BatchNorm2d(16), ReLU(), MaxPool2d(2), Flatten(), last).train()
images = Tensor(rng.standard_normal((16, 1, 8, 8), dtype=np.float32))  # of 64 KB after a layer, the least that is cut
labels = rng.integers(0, 10, 16)
sgd = SGD(0.01, 0.9, 1e-4)
parameters = [p for _, p in net.named_parameters()]
velocity = [np.zeros_like(p.data) for p in parameters]
kept = []

def step():
    net.zero_grad()
    loss = ops.softmax_cross_entropy(net(images), labels)
    loss.backward()
    for i, p in enumerate(parameters):
        p.data, velocity[i] = sgd.update(p.data, p.grad, velocity[i], 0.01)
    if keep:
        kept.append(net(images))  # with its tape

def seen():
    gc.collect()
    return {"peak": peak_memory(), "traced": tracemalloc.get_traced_memory()[0], "objects": len(gc.get_objects())}

tracemalloc.start()
for _ in range(50):
    step()
before = seen()
for _ in range(50 if keep else 1000):
    step()
after = seen()
print(json.dumps({key: after[key] - before[key] for key in before}))
"""


REUSE = """
import numpy as np
from elq_ref import kernels

def addresses(size, count):
    arrays = [kernels.relu(np.zeros(size >> 2, np.float32)) for _ in range(count)]
    return min(a.ctypes.data for a in arrays), max(a.ctypes.data + a.nbytes for a in arrays)

low, high = addresses(1 << 23, 25)
other_low, other_high = addresses(20 << 20, 9)
print(low <= other_low and other_high <= high)
"""


def output(code: str, *arguments: str) -> str:
    done = run_python(code, *arguments, OPENBLAS_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(peak_memory() is None, reason="this system does not say what a process takes")
@pytest.mark.parametrize("keep", [False, True], ids=["as it is", "with every output kept"])
def test_nothing_grows_over_a_thousand_steps(keep: bool):
    """That the measurement would see it is shown by a program that keeps its outputs, of 50 steps only."""
    grown = json.loads(output(TRAIN, json.dumps(keep)))
    assert (grown["objects"] > 20) == keep, grown
    assert (grown["traced"] > 50_000) == keep, grown
    assert (grown["peak"] > 2 << 20) == keep, grown


@pytest.mark.skipif(kernels.info()["kernel"] == "NumPy", reason="NumPy's memory is not ours")
def test_what_one_size_left_serves_another():
    """25 arrays of 8 MB, all given up; then 9 of 20 MB lie where those lay."""
    assert output(REUSE).strip() == "True"


LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(kernels.info()["kernel"] == "NumPy", reason="NumPy's memory is not ours")
@pytest.mark.skipif(not LARGE_PAGES.exists(), reason="this system has no large pages to ask for")
def test_results_lie_in_memory_that_asked_for_large_pages():
    """The kernel says so by the flag "hg" of the mapping that holds the middle of a result."""
    result = kernels.relu(np.zeros(1 << 20, np.float32))
    address, inside = result.ctypes.data + result.nbytes // 2, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *words = line.split()
        if "-" in first:
            low, high = (int(end, 16) for end in first.split("-"))
            inside = low <= address < high
        elif inside and first == "VmFlags:":
            assert "hg" in words
            return
    pytest.fail("no mapping holds the result")
