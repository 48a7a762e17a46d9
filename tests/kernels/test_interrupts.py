"""A long call of C ends at a signal, whatever the kernel, and hinders no fork meanwhile."""

import pytest
from children import run_python

from elq_ref import kernels

CALLS = """
import os, signal, sys, threading, time
import numpy as np
from elq_ref import kernels

x, w = np.zeros((8, 256, 64, 64)), np.zeros((256, 256, 11, 11))  # 3e11 multiplications: half a minute
CALLS = {
    "conv2d": lambda: kernels.conv2d(x, w, padding=(5, 5)),
    "conv2d_dx": lambda: kernels.conv2d_dx(x, w, x.shape, padding=(5, 5)),
    "conv2d_dw": lambda: kernels.conv2d_dw(x, x, w.shape, padding=(5, 5)),
}

def disturb():
    global sent
    time.sleep(0.5)
    if "fork" in sys.argv:
        for _ in range(5):
            child = os.fork()
            if not child:
                kernels.conv2d(np.zeros((2, 1, 4, 4)), np.zeros((1, 1, 3, 3)))
                os._exit(0)
            os.waitpid(child, 0)
            time.sleep(0.11)
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)

class Own(Exception):
    pass

def handler(*_):
    raise Own

if "own" in sys.argv:
    signal.signal(signal.SIGINT, handler)
threading.Thread(target=disturb).start()
try:
    CALLS[sys.argv[1]]()
    print("to the end")
except (KeyboardInterrupt, Own) as error:
    print(type(error).__name__, time.monotonic() - sent < 2)
y = kernels.conv2d(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)))  # as if nothing had been
print(y.item())
"""


@pytest.mark.skipif(kernels.info()["kernel"] == "NumPy", reason="NumPy's calls are its own")
@pytest.mark.parametrize(
    ("call", "how", "raised", "threads"),
    [
        ("conv2d", "", "KeyboardInterrupt", "1"),
        ("conv2d", "fork", "KeyboardInterrupt", "2"),
        ("conv2d_dx", "own", "Own", "2"),
        ("conv2d_dw", "", "KeyboardInterrupt", "1"),
    ],
)
def test_a_long_call_ends_within_two_seconds(call, how, raised, threads):
    done = run_python(CALLS, call, how, ELQ_NUM_THREADS=threads)
    assert done.stdout == f"{raised} True\n4.0\n", done.stderr
