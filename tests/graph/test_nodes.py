"""Weights and graphs that are made wrong say so when they are made, not when they run."""

from dataclasses import replace

import numpy as np
import pytest

from elq_ref.graph.nodes import Graph, Node, Weight
from elq_ref.graph.shapes import infer_shapes

pytestmark = pytest.mark.kernels

CODES = np.array([[0b01], [0b11]], np.uint8)  # ternary, of a weight (2, 1)
ALPHA = np.array([0.5], np.float32)


@pytest.mark.parametrize(
    ("levels", "data", "alpha", "reason"),
    [
        ("quinary", CODES, ALPHA, "levels are 'quinary', wanted one of"),
        ("float", np.ones((2, 1), np.float32), ALPHA, "a float weight has no alpha"),
        ("ternary", CODES, None, r"alpha has shape None, wanted \(1,\) or \(2,\)"),
        ("ternary", CODES, np.ones(3, np.float32), r"alpha has shape \(3,\), wanted"),
        ("ternary", CODES, -ALPHA, "alpha is -0.5, wanted at least 0"),
        ("ternary", CODES[:1], ALPHA, "codes"),
    ],
)
def test_a_weight(levels, data, alpha, reason):
    with pytest.raises(ValueError, match=reason):
        Weight(levels, (2, 1), data, alpha)


def test_a_float_weight_has_no_codes():
    with pytest.raises(ValueError, match="no codes"):
        Weight("float", (2, 1), np.ones((2, 1), np.float32)).codes()
    assert Weight("ternary", (2, 1), CODES, ALPHA).codes().tolist() == [[1], [-1]]


SHIFT = Node("scale_shift", "n", ("input",), scale=np.ones(2, np.float32), bias=np.ones(2, np.float32))
POOL = Node("max_pool", "p", ("input",), {"kernel": (1, 1), "stride": (1, 1)})


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (replace(POOL, op="sort"), "there is no op 'sort'"),
        (replace(POOL, inputs=("input", "input")), "reads 2 value"),
        (replace(POOL, inputs=("nobody",)), "reads 'nobody', which no node before it computes"),
        (replace(POOL, attributes={"kernel": (1, 1)}), r"has attributes \['kernel', 'padding'\], max_pool wants"),
        (replace(POOL, attributes={"kernel": (1, 1), "stride": (1, 1.5)}), "stride is .* wanted 2 integer"),
        (replace(POOL, attributes={"kernel": (1, 1), "stride": 1}), "stride is 1, wanted 2 integer"),
        (replace(POOL, attributes={"kernel": (1, 1), "stride": (1, 0)}), "stride is .* wanted 1 to"),
        (replace(POOL, scale=SHIFT.scale, bias=SHIFT.bias), "max_pool wants no array.s., given scale, bias"),
        (replace(SHIFT, bias=None), "scale_shift wants scale, bias array.s., given scale"),
        (replace(SHIFT, bias=np.ones(3, np.float32)), r"has arrays of shapes \(2,\), \(3,\)"),
    ],
)
def test_a_graph_of_one_node(node, reason):
    with pytest.raises(ValueError, match=f"{node.name!r}.*{reason}"):
        infer_shapes(Graph("input", (2, 3, 3), (node,), node.name))
