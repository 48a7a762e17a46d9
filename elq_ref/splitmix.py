"""SplitMix64: random numbers that are a function of what they are for."""

import numpy as np

MAX_SEED = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15


def random_bits(seed: int, epoch: int, purpose: int, samples: np.ndarray) -> np.ndarray:
    """uint64 (N,), uniform: number `samples[i]` of the SplitMix64 stream of (seed, epoch, purpose).

    Source: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014.
    """
    key = 0
    for part in (seed, epoch, purpose):
        key = int(_mix(np.array([(key + part + 1) * _GAMMA & MAX_SEED], np.uint64))[0])
    return _mix((samples.astype(np.uint64) + np.uint64(1)) * np.uint64(_GAMMA) + np.uint64(key))


def stream_bits(keys: np.ndarray, count: int) -> np.ndarray:
    """uint64 (N, count): the first `count` numbers of the SplitMix64 streams that begin at `keys` (N,)."""
    return _mix(keys[:, None] + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GAMMA))


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return z
