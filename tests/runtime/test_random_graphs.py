"""Sessions over random graphs of every op (tests/random_graphs.py) beside the definitions: int8 to the bit, float32
within a bound of what rounding may do."""

import numpy as np
import pytest
from random_graphs import packed_graph
from runtime_nets import network, normalized, random_pictures, with_int8

from elq_ref.graph.shapes import PACKED_OPS
from elq_ref.runtime import Session, interpret, interpret_int8, native

pytestmark = pytest.mark.kernels
needs_c = pytest.mark.skipif(native._infer is None, reason="the extension _infer is not built")
SEEDS = range(8 * len(PACKED_OPS))


def made(seed, ops=PACKED_OPS):
    graph = packed_graph(seed, ops)
    return network(graph.nodes, graph.input_shape, 5)


@needs_c
@pytest.mark.parametrize("part", range(8))
def test_floats(part):
    for seed in SEEDS[part::8]:
        net, rng = made(seed), np.random.default_rng(seed)
        x = normalized(net, random_pictures(rng, net, 3))
        run = Session(net)
        got, wanted = run(x), interpret(net.graph, x, np.float64)
        message = f"seed {seed}: {[node.op for node in net.graph.nodes]}"
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5 * np.abs(wanted).max(), err_msg=message)
        np.testing.assert_array_equal(run(x[1:2]), got[1:2], err_msg=message)


@needs_c
@pytest.mark.parametrize("part", range(8))
def test_int8(part):
    ops = tuple(op for op in PACKED_OPS if op != "lrn")
    for seed in SEEDS[part::8]:
        net, rng = made(seed, ops), np.random.default_rng(seed)
        net = with_int8(net, rng, rng.choice([0.5, 1.0]))
        pictures = random_pictures(rng, net, 3)
        run, wanted = Session(net, "int8"), interpret_int8(net.int8, pictures)
        message = f"seed {seed}: {[node.op for node in net.graph.nodes]}"
        np.testing.assert_array_equal(run.raw(pictures), wanted.raw, err_msg=message)
        np.testing.assert_array_equal(run(pictures[1:2]), wanted.logits[1:2], err_msg=message)
