"""States of networks as they are after training, without it."""

import numpy as np

from elq_ref.nn import Module


def unlike_the_start(net: Module, spread: float) -> None:
    """Give statistics, scales and biases values that no layer starts with, so that one left out shows."""
    rng = np.random.default_rng(5)
    for key, buffer in net.named_buffers():
        buffer[...] = rng.uniform(0.5, 2, buffer.shape) if key.endswith("var") else rng.normal(0, 0.3, buffer.shape)
    for _, parameter in net.named_parameters():
        if parameter.data.ndim == 1:
            dtype = parameter.data.dtype
            parameter.data = (parameter.data + rng.normal(0, spread, parameter.shape)).astype(dtype)
