"""Runners that take a known time or fail, for the tests of the timing."""

import time

import numpy as np

from elq_ref.timing.runners import Ready, Runner


def sleeping(milliseconds):
    """A runner whose call takes so long for each picture, and says which processors it may use."""

    def make(network, threads):
        import os

        def prepare(pictures):
            def call():
                time.sleep(len(pictures) * milliseconds / 1000)
                return np.zeros((len(pictures), 2))

            return call

        cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        pools = {k: os.environ[k] for k in ("ELQ_NUM_THREADS", "OMP_NUM_THREADS")}
        rows = [("sleep", "conv", "none", milliseconds / 1000, 7)]
        return Ready(prepare, {"cpus": cpus, "pools": pools, "threads": threads}, lambda pictures: rows)

    return make


def failing(network, threads):
    """A runner that fails after much talk."""
    import sys

    sys.stderr.write("line\n" * 50_000)
    raise ValueError("this runner never works")


RUNNERS = {"5 ms": Runner(sleeping(5)), "10 ms": Runner(sleeping(10)), "failing": Runner(failing)}
