"""BLAS as a peer of packed networks of linear layers, for elq_ref.timing."""

import numpy as np

from elq_ref.runtime import PackedNetwork
from elq_ref.timing.runners import Ready, Runner


def sgemv(network: PackedNetwork, threads: int) -> Ready:
    """NumPy's float32 product of each linear layer's weights and a vector."""
    weights = [w.values() for w in network.layers.values()]
    vectors = [np.ones(w.shape[1], np.float32) for w in weights]

    def call() -> np.ndarray:
        for w, v in zip(weights, vectors, strict=True):
            w @ v
        return np.zeros((1, 0))

    return Ready(lambda pictures: call, {"version": np.__version__})


RUNNERS = {"BLAS sgemv": Runner(sgemv)}
