"""What an int8 network is made of is computed in float64: where float32 would round to another integer."""

from fractions import Fraction

import numpy as np
import pytest
from runtime_nets import network

from elq_ref.deploy import derive
from elq_ref.deploy.derive import input_table
from elq_ref.runtime import Node, Weight

ABOVE, BELOW = 1 + 1e-12, 1 - 1e-12  # nearer to 1 than float32 can say


def nearest(x: Fraction) -> int:
    return int((x + Fraction(1, 2)) // 1)


def linear(weight, scale, bias):
    """A layer "fc" of float weights (O, C) on C pixels."""
    arrays = {"scale": np.float32(scale), "bias": np.float32(bias)}
    w = Weight("float", np.shape(weight), np.float32(weight), None)
    nodes = [Node("flatten", "flat", ("input",)), Node("linear", "fc", ("flat",), {}, w, **arrays)]
    return network(nodes, (w.shape[1], 1, 1), len(bias))


def test_the_table_of_the_input():
    """A pixel of 1 is some 20.5 steps."""
    net = linear([[1.0]], [1.0], [0.0])
    norm = net.metadata.normalization
    real = (Fraction(1, 255) - Fraction(norm.mean[0])) / Fraction(norm.std[0])
    scales = [float(abs(real) / Fraction(41, 2)) * off for off in (BELOW, ABOVE)]
    found = [int(input_table(net, scale)[0, 1]) for scale in scales]
    assert found == [nearest(real / Fraction(scale)) for scale in scales]
    assert found[0] != found[1]


@pytest.mark.parametrize(("off", "wanted"), [(BELOW, 0), (ABOVE, 1)])
def test_the_tables_of_a_concat(off, wanted):
    nodes = [Node("concat", "both", ("input", "input")), Node("flatten", "flat", ("both",))]
    net = network(nodes, (1, 1, 1), 2)
    tables = derive(net, {"input": 0.5 * off, "both": 1.0}).nodes[0].tables
    assert tables[0, 128 + 1] == wanted


@pytest.mark.parametrize(("off", "wanted"), [(BELOW, 1), (ABOVE, 0)])
def test_the_bias_of_a_constant_channel(off, wanted):
    found = derive(linear([[1.0]], [0.0], [0.5]), {"input": 1.0, "fc": off}).nodes[-1].requantize
    assert found.constant.all()
    assert found.b.tolist() == [wanted]


def test_what_a_step_of_a_weight_is_worth():
    found = derive(linear([[1.0]], [1.0], [0.0]), {"input": 1.0, "fc": 1.0}).nodes[-1].requantize
    assert found.q.tolist() == [nearest(Fraction(2**6, 127) * 2**31)]
