"""What the layers of a network start with: a weight (O, ...) and a bias (O), float32, drawn from a generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Shape = tuple[int, ...]
Initial = Callable[[np.random.Generator, Shape], tuple[np.ndarray, np.ndarray]]  # of a weight's shape: weight, bias


def he(rng: np.random.Generator, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Normal with variance 2 / fan_in (He et al. 2015), which keeps the variance of activations through ReLUs; zeros.

    >>> weight, bias = elq.nn.initial.he(np.random.default_rng(0), (50, 200))
    >>> round(float(weight.std()), 2), bool(bias.any())
    (0.1, False)
    """
    std = np.sqrt(2 / np.prod(shape[1:]))
    return (rng.standard_normal(shape) * std).astype(np.float32), _zeros(shape)


def he_fan_out(rng: np.random.Generator, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Normal with variance 2 / fan_out, which keeps that of the gradients; zeros. fan_out is O KH KW.

    >>> weight, bias = elq.nn.initial.he_fan_out(np.random.default_rng(0), (200, 50))
    >>> round(float(weight.std()), 2)
    0.1
    """
    return _normal(rng, shape, float(np.sqrt(2 / (shape[0] * np.prod(shape[2:]))))), _zeros(shape)


def uniform(rng: np.random.Generator, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Both uniform between -1 / sqrt(fan_in) and 1 / sqrt(fan_in): what PyTorch's layers start with.

    >>> weight, bias = elq.nn.initial.uniform(np.random.default_rng(0), (50, 100))
    >>> bool(0.0999 < weight.max() <= 0.1), bool(0 < bias.max() <= 0.1)
    (True, True)
    """
    bound = float(1 / np.sqrt(np.prod(shape[1:])))
    return _uniform(rng, shape, bound), _uniform(rng, shape[:1], bound)


def normal(std: float, bias: float = 0.0) -> Initial:
    """Normal with that standard deviation; every bias is `bias`.

    >>> weight, bias = elq.nn.initial.normal(0.01, 1.0)(np.random.default_rng(0), (2, 5000))
    >>> round(float(weight.std()), 3), bias
    (0.01, array([1., 1.], dtype=float32))
    """
    return lambda rng, shape: (_normal(rng, shape, std), np.full(shape[0], bias, np.float32))


def xavier(bias: float) -> Initial:
    """Uniform with variance 1 / fan_in, Caffe's "xavier"; every bias is `bias`.

    >>> weight, bias = elq.nn.initial.xavier(0.2)(np.random.default_rng(0), (50, 100))
    >>> round(float(weight.std()), 2), bias[:2]
    (0.1, array([0.2, 0.2], dtype=float32))
    """

    def start(rng: np.random.Generator, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
        bound = float(np.sqrt(3 / np.prod(shape[1:])))
        return _uniform(rng, shape, bound), np.full(shape[0], bias, np.float32)

    return start


def _zeros(shape: Shape) -> np.ndarray:
    return np.zeros(shape[0], np.float32)


def _normal(rng: np.random.Generator, shape: Shape, std: float) -> np.ndarray:
    values = rng.standard_normal(shape, np.float32)  # in place from here on: a layer of VGG-16 has 103 million
    values *= np.float32(std)
    return values


def _uniform(rng: np.random.Generator, shape: Shape, bound: float) -> np.ndarray:
    values = rng.random(shape, np.float32)
    values *= np.float32(2 * bound)
    values -= np.float32(bound)
    return values
