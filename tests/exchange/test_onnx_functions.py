"""ONNX in: functions of one number, as one node or as several. Expected values are onnxruntime's."""

import math

import numpy as np
import pytest
from onnx_files import check, model, node, onnx, ops, saved

import elq_ref as elq

RNG = np.random.default_rng(6)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def classifier(nodes, arrays, **options):
    """A model of `nodes`, which make "h" (N, 3, H, W) of "x", with a mean and a linear layer behind them."""
    tail = [node("GlobalAveragePool", "h", "p"), node("Flatten", "p", "f")]
    tail += [node("Gemm", "f fc.weight fc.bias", "y", transB=1)]
    return model([*nodes, *tail], arrays | {"fc.weight": floats(4, 3), "fc.bias": floats(4)}, **options)


FUNCTIONS = {  # what nodes make of "x": the op of the graph
    "relu": ([node("Relu", "x", "h")], "relu"),
    "max": ([node("Max", "x zero", "h")], "relu"),
    "clip": ([node("Clip", "x zero six", "h")], "clip"),
    "clip from below": ([node("Clip", "x zero", "h")], "relu"),
    "clip from above": ([node("Clip", "x _ six", "h")], "clip"),
    "max and min": ([node("Max", "x zero", "a"), node("Min", "six a", "h")], "clip"),
    "relu and clip": ([node("Relu", "x", "a"), node("Clip", "a _ six", "h")], "clip"),
    "leaky": ([node("LeakyRelu", "x", "h", alpha=0.2)], "leaky_relu"),
    "leaky of max": ([node("Mul", "x fifth", "a"), node("Max", "x a", "h")], "leaky_relu"),
    "sigmoid": ([node("Sigmoid", "x", "h")], "sigmoid"),
    "tanh": ([node("Tanh", "x", "h")], "tanh"),
    "hard sigmoid": ([node("HardSigmoid", "x", "h")], "hard_sigmoid"),
    "hard sigmoid of clip": ([node("Add", "x three", "a"), node("Clip", "a zero six", "b"), node("Div", "b six", "h")],
                             "hard_sigmoid"),
    "hard swish": ([node("HardSwish", "x", "h")], "hard_swish"),
    "hard swish of clip": ([node("Add", "x three", "a"), node("Clip", "a zero six", "b"), node("Mul", "x b", "c"),
                            node("Div", "c six", "h")], "hard_swish"),
    "hard swish of hard sigmoid": ([node("HardSigmoid", "x", "a", alpha=1 / 6), node("Mul", "a x", "h")], "hard_swish"),
    "silu": ([node("Sigmoid", "x", "a"), node("Mul", "a x", "h")], "silu"),
    "elu": ([node("Elu", "x", "h", alpha=0.7)], "elu"),
    "gelu": ([node("Gelu", "x", "h")], "gelu"),
    "gelu by tanh": ([node("Gelu", "x", "h", approximate="tanh")], "gelu_tanh"),
    "gelu of erf": ([node("Div", "x root", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"),
                     node("Mul", "x c", "d"), node("Mul", "d half", "h")], "gelu"),
    "gelu of erf, another order": ([node("Mul", "x half", "d"), node("Div", "x root", "a"), node("Erf", "a", "b"),
                                    node("Add", "one b", "c"), node("Mul", "d c", "h")], "gelu"),
    "gelu of tanh": ([node("Pow", "x three", "a"), node("Mul", "a little", "b"), node("Add", "x b", "c"),
                      node("Mul", "c slope", "d"), node("Tanh", "d", "e"), node("Add", "e one", "k"),
                      node("Mul", "x k", "g"), node("Mul", "half g", "h")], "gelu_tanh"),
    "scaled": ([node("Mul", "x three", "a"), node("Sub", "a one", "h")], "scale_shift"),
    "one minus": ([node("Sub", "one x", "a"), node("Neg", "a", "h")], "scale_shift"),
    "nothing": ([node("Mul", "x three", "a"), node("Div", "a three", "b"), node("Identity", "b", "h")], None),
    "silu of relu": ([node("Relu", "x", "r"), node("Sigmoid", "r", "a"), node("Mul", "a r", "h")], "relu silu"),
    "sum with itself": ([node("Sigmoid", "x", "a"), node("Add", "x a", "h")], "sigmoid add"),
    "far clip": ([node("Mul", "x one", "a"), node("Clip", "a _ hundred", "h")], "clip"),
}  # fmt: skip
NUMBERS = {"zero": 0, "six": 6, "three": 3, "one": 1, "half": 0.5, "fifth": 0.2, "root": math.sqrt(2),
           "little": 0.044715, "slope": math.sqrt(2 / math.pi), "hundred": 100}  # fmt: skip


@pytest.mark.parametrize("case", FUNCTIONS)
def test_functions_of_one_number(case, tmp_path):
    nodes, op = FUNCTIONS[case]
    used = {name for n in nodes for name in n.input}
    arrays = {name: np.float32(value) for name, value in NUMBERS.items() if name in used}
    net = check(saved(tmp_path / "net.onnx", classifier(nodes, arrays, opset=20)), tolerance=1e-5)
    assert ops(net)[:-2] == (op or "").split()


@pytest.mark.parametrize("case", FUNCTIONS)
def test_functions_of_scaled_channels(case, tmp_path):
    """The number that such a function adds or multiplies by first does not go into the scale_shift before it."""
    nodes, op = FUNCTIONS[case]
    renamed = [node(n.op_type, " ".join(("n" if name == "x" else name) or "_" for name in n.input), n.output[0],
                    **{a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}) for n in nodes]  # fmt: skip
    used = {name for n in nodes for name in n.input}
    arrays = {name: np.float32(value) for name, value in NUMBERS.items() if name in used}
    arrays |= {"norm.weight": floats(3, 1, 1), "norm.bias": floats(3, 1, 1)}
    scaling = [node("Mul", "x norm.weight", "m"), node("Add", "m norm.bias", "n")]
    made = classifier([*scaling, *renamed], arrays, opset=20)
    net = check(saved(tmp_path / "net.onnx", made), tolerance=1e-5)
    assert ops(net)[:-2] == ["scale_shift", *((op or "").split() if op != "scale_shift" else ())]
    assert "norm.weight" in net.state_dict()


def test_functions_of_functions(tmp_path):
    """Each of several nodes, more of them in a row than one function has."""
    nodes, before, wanted = [], "x", []
    for k, case in enumerate(("gelu of tanh", "gelu of erf", "hard swish of clip", "silu", "gelu of tanh")):
        names = {"x": before, "h": f"h{k}"}
        for n in FUNCTIONS[case][0]:
            inputs, (output,) = [names.get(i, i if i in NUMBERS else f"{i}{k}") for i in n.input], n.output
            nodes.append(node(n.op_type, " ".join(inputs), names.get(output, f"{output}{k}")))
        before = f"h{k}"
        wanted.append(FUNCTIONS[case][1])
    nodes.append(node("Identity", before, "h"))
    arrays = {name: np.float32(v) for name, v in NUMBERS.items() if any(name in n.input for n in nodes)}
    net = check(saved(tmp_path / "net.onnx", classifier(nodes, arrays)), tolerance=1e-5)
    assert ops(net)[:-2] == wanted


@pytest.mark.parametrize("opset", [9, 10, 11])
def test_clip_and_dropout_of_older_opsets(opset, tmp_path):
    limits = {"min": 0.0, "max": 6.0} if opset < 11 else {}
    nodes = [node("Clip", "x" if opset < 11 else "x low high", "a", **limits), node("Dropout", "a", "h", ratio=0.3)]
    arrays = {} if opset < 11 else {"low": np.float32(0), "high": np.float32(6)}
    net = check(saved(tmp_path / "net.onnx", classifier(nodes, arrays, opset=opset)))
    assert ops(net)[:2] == ["clip", "dropout"]
    assert net.graph.nodes[1].attributes["rate"] == pytest.approx(0.3)


def test_a_function_that_a_graph_has_not(tmp_path):
    nodes = [node("Softplus", "x", "a"), node("Tanh", "a", "b"), node("Mul", "x b", "h", "mish")]
    with pytest.raises(elq.FormatError, match=r"node 'a' \(Softplus\)"):
        elq.from_onnx(saved(tmp_path / "net.onnx", classifier(nodes, {})))
