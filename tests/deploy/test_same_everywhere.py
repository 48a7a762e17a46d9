"""Calibration gives one file: in other processes, with other kernels, another BLAS and other numbers of threads; and on
other machines, for which the scales stand here."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from children import run_python

from elq_ref import extensions
from elq_ref.deploy.calibration import RULES, histograms, scale
from elq_ref.runtime import PackedNetwork

_common, _ = extensions.load("_common")
DATA = Path(__file__).parents[1] / "data"

DIGEST = """
import hashlib, sys
if sys.argv[1:] == ["NumPy"]:
    sys.modules["elq_ref._infer"] = None  # importing it fails
import numpy as np
from runtime_nets import content_of, modern, network, random_pictures, weighted
from elq_ref.deploy import calibrate
from elq_ref.deploy.calibration import RULES, value_errors
from elq_ref.graph.functions import FUNCTIONS
from elq_ref.runtime import Node, native

for op in ("sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "hard_swish"):  # in float64, where a last bit shows
    y = FUNCTIONS[op](np.linspace(-9, 9, 5001), Node(op, op, ("x",)))
    print(op, hashlib.sha256(y.tobytes()).hexdigest())
assert (native._infer is None) == (sys.argv[1:] == ["NumPy"]) or not sys.argv[1:]
rng = np.random.default_rng(90)
net = network(
    [
        weighted(rng, "conv", "first", "input", "float", (33, 3, 3, 3), padding=(1, 1)),
        Node("relu", "relu", ("first",)),
        weighted(rng, "conv", "wide", "relu", "float", (24, 33, 3, 3), padding=(1, 1)),
        weighted(rng, "conv", "ternary", "wide", "ternary", (24, 24, 3, 3), True, padding=(1, 1)),
        Node("add", "sum", ("ternary", "wide")),
        Node("avg_pool", "pool", ("sum",), {"kernel": (3, 3), "stride": (2, 2)}),
        weighted(rng, "conv", "depthwise", "pool", "float", (24, 1, 3, 3), padding=(1, 1), groups=24),
        Node("global_avg_pool", "mean", ("depthwise",)),
        weighted(rng, "linear", "fc", "mean", "float", (10, 24)),
    ],
    (3, 15, 13),
    10,
)
for net in (net, modern(rng)):
    pictures = random_pictures(rng, net, 70)
    for method in RULES:
        made = calibrate(net, pictures, method)
        print(method, hashlib.sha256(content_of(made)).hexdigest())
        print([(e.name, e.scale.hex(), e.own, e.total, e.saturated) for e in value_errors(made, pictures[:40])])
"""


def words():
    """The instruction sets that this CPU and this build have."""
    for word in () if _common is None else _common.WORDS:
        try:
            _common.parse(word)
        except ValueError:
            continue
        yield word


# What NumPy uses beyond its baseline, by the names of its older and newer versions.
PLAIN = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR AVX2 FMA3 X86_V3 X86_V4"
CASES = {
    "NumPy": (["NumPy"], {}),
    "NumPy without vectors": (["NumPy"], {"NPY_DISABLE_CPU_FEATURES": PLAIN}),
    "one thread": ([], {"ELQ_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}),
    "two threads": ([], {"ELQ_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}),
    **{f"BLAS for {core}": ([], {"OPENBLAS_CORETYPE": core}) for core in ("Haswell", "Prescott", "SkylakeX")},
    **{word: ([], {"ELQ_ISA": word}) for word in words()},
}


@pytest.fixture(scope="module")
def here():
    """What this process's environment gives."""
    run = run_python(DIGEST)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("case", CASES)
def test_one_file_comes_out(case, here):
    arguments, changes = CASES[case]
    run = run_python(DIGEST, *arguments, **changes)
    assert run.returncode == 0, run.stderr
    assert run.stdout == here


@pytest.mark.kernels
@pytest.mark.parametrize(("levels", "wanted"), [("ternary", "55e2ea165dfa9fa9"), ("binary", "f96d204dfb37ef97")])
def test_the_scales_of_a_trained_network_are_these_on_every_machine(levels, wanted):
    net = PackedNetwork.load(DATA / f"resnet20-{levels}.elq")
    n, c, i, j = np.ogrid[:5, :3, :32, :32]
    pictures = ((n * n * i + (c + 3) * i * j + 7 * n * j) % 251).astype(np.uint8)  # no generator, no file
    found = histograms(net, pictures)
    text = " ".join(scale(h, rule).hex() for h in found.values() for rule in RULES)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == wanted, text
