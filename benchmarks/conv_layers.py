"""Speed of every convolution of ResNet-20: batch 128, float32, forward and both gradients.

    python benchmarks/conv_layers.py [--isa avx2]

Multiply-adds a second are those of the direct algorithm, so Winograd's may exceed what the machine can multiply.
ELQ_NUM_THREADS sets the threads.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from elq_ref import _train

# channels, outputs, rows (and columns) of the input, stride
LAYERS = [(3, 16, 32, 1), (16, 16, 32, 1), (16, 32, 32, 2), (32, 32, 16, 1), (32, 64, 16, 2), (64, 64, 8, 1)]
BATCH = 128


def median(call: Callable[[], object], runs: int = 9) -> float:
    """Median seconds of a call."""
    seconds = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[2:]))


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Random float32 arrays, N C H W over channels-last memory."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((n, h, w, c), dtype=np.float32).transpose(0, 3, 1, 2) for n, c, h, w in shapes]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", choices=["generic", "avx2", "avx512"])
    _train.use(parser.parse_args().isa)

    print(f"kernels C {_train.isa()}, {_train.threads()} thread(s)")
    print(f"{'layer':<22}" + "".join(f"{name:>9} ms  GMAC/s" for name in ("forward", "dx", "dw")))
    for c, o, h, s in LAYERS:
        x, w, dy = arrays((BATCH, c, h, h), (o, c, 3, 3), (BATCH, o, h // s, h // s))
        geometry = ((s, s), (1, 1))
        seconds = (
            median(lambda x=x, w=w, g=geometry: _train.conv2d(x, w, *g)),
            median(lambda x=x, w=w, dy=dy, g=geometry: _train.conv2d_dx(dy, w, x.shape, *g)),
            median(lambda x=x, w=w, dy=dy, g=geometry: _train.conv2d_dw(dy, x, w.shape, *g)),
        )
        macs = dy.size * c * 9 / 1e9
        line = f"{c:3d} -> {o:3d}  {h}x{h}, / {s}"
        print(f"{line:<22}" + "".join(f"{1e3 * t:12.2f}  {macs / t:6.1f}" for t in seconds))


if __name__ == "__main__":
    main()
