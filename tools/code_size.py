"""python tools/code_size.py: the table of elq_ref/export_c/code_size.py, fitted to random networks compiled for a
Cortex-M4; wants arm-none-eabi-gcc, and scipy."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from random_nets import random_network  # noqa: E402
from runtime_nets import with_int8  # noqa: E402

import elq_ref as elq  # noqa: E402
from elq_ref import models  # noqa: E402
from elq_ref.export_c import export_c  # noqa: E402
from elq_ref.export_c.code_size import counts  # noqa: E402

RANDOM = 40
COMPILER = ["arm-none-eabi-gcc", "-std=c99", "-mcpu=cortex-m4", "-mthumb", "-O2"]


def networks() -> Iterator[elq.PackedNetwork]:
    """Small ones of every kind, and larger ones from the model zoo."""
    for seed in range(RANDOM):
        yield random_network(seed)
    for number, model in enumerate(6 * ("lenet5", "resnet20", "digits_cnn", "resnet56")):
        shape = {"lenet5": (1, 28, 28), "digits_cnn": (1, 8, 8)}.get(model, (3, 32, 32))
        net, levels = models.MODELS[model](), (elq.ternarize, elq.binarize)[number // 8 % 2]
        codes = {name: levels(weight.data) for name, weight in net.quantizable().items()}
        about = {"normalization": ([0.5] * shape[0], [0.5] * shape[0]), "classes": tuple(map(str, range(10)))}
        yield with_int8(elq.pack(net, codes, input_shape=shape, **about), np.random.default_rng(0))


def measured(folder: Path) -> int:
    """Bytes of code of net.c."""
    subprocess.run([*COMPILER, "-c", "net.c", "-o", "net.o"], cwd=folder, check=True)
    said = subprocess.run(["arm-none-eabi-size", "-A", "net.o"], cwd=folder, check=True, capture_output=True, text=True)
    return sum(map(int, re.findall(r"^\.text\S* +(\d+)", said.stdout, re.M)))


def main() -> None:
    rows, sizes = [], []
    with tempfile.TemporaryDirectory() as name:
        for number, network in enumerate(networks()):
            options = {"prefer": ("size", "speed")[number % 2], "target": ("portable", "neon")[number // 2 % 2]}
            export = export_c(network, "net", selftest=number % 3 > 0, **options)
            export.save(name)
            rows.append(counts(export.contents))
            sizes.append(measured(Path(name)))
    keys = sorted({key for row in rows for key in row})
    table = np.array([[row.get(key, 0) for key in keys] for row in rows], float)
    found, _ = nnls(table / np.array(sizes)[:, None], np.ones(len(sizes)))  # the least relative errors
    for key, value in zip(keys, found, strict=True):
        print(f'    "{key}": {value:.0f},')
    wrong = np.abs(table @ found / sizes - 1)
    print(f"{sizes} bytes; wrong by {wrong.mean():.1%} on the average, {wrong.max():.1%} at most")


if __name__ == "__main__":
    main()
