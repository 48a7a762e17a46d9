"""Trainings in several threads, and in children that are forked meanwhile."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from children import run_python

from elq_ref import Tensor
from elq_ref.tensor import record
from elq_ref.training.put_off import LazyPass


def test_trainings_in_two_threads_do_not_wait_for_each_other():
    """The backward pass of one goes on while that of another is held."""
    x = [Tensor(np.ones(1), requires_grad=True) for _ in range(2)]
    entered, go_on = threading.Event(), threading.Event()

    def held(dy):
        entered.set()
        assert go_on.wait(60)
        return (dy,)

    how = (held, lambda dy: (dy,))
    passes = [LazyPass(record("own", t.data + 0, (t,), f), [t], []) for t, f in zip(x, how, strict=True)]
    with ThreadPoolExecutor() as threads:
        first = threads.submit(lambda: passes[0].weights)
        assert entered.wait(60)
        try:
            assert threads.submit(lambda: passes[1].weights).result(timeout=30)[0] == 1
        finally:
            go_on.set()
        assert first.result(timeout=60)[0] == 1


FORKS = """
import os, sys, threading, time, warnings
sys.path.insert(0, sys.argv[1])
warnings.simplefilter("ignore")
from small_runs import batches, small_net
from elq_ref import Plan, quantize
PLAN = Plan(sigma2=(0.0,), epochs=(50.0, 50.0))
def train(count):
    for step in quantize(small_net(), batches(), PLAN):
        if step.step == count: return
train(1)  # what is imported late is: a child forked during an import would wait for it for ever
thread = threading.Thread(target=train, args=(400,), daemon=True)
thread.start()
for _ in range(12):
    child = os.fork()
    if not child:
        train(2)
        os._exit(0)
    end = time.monotonic() + 20
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > end:
            os.kill(child, 9)
            sys.exit("a child hangs")
        time.sleep(0.005)
print("well", thread.is_alive())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX's")
def test_a_child_forked_while_another_thread_trains_trains_too():
    done = run_python(FORKS, str(Path(__file__).parents[1]), ELQ_NUM_THREADS="2")
    assert done.stdout.startswith("well"), done.stderr
