"""Every deviation of what version 3 of the file adds is one FormatError that says so."""

import numpy as np
import pytest
from file_changes import dropping, first, int8_value, refused_in_one_line, setting, tensor
from runtime_nets import content_of, decoded, encoded, modern, packed, with_int8

pytestmark = pytest.mark.kernels


@pytest.fixture(scope="module")
def content():
    rng = np.random.default_rng(21)
    return content_of(with_int8(modern(rng), rng))


def _added(tensors, text):
    """One more operand of a concat, which has no table."""
    next(node for node in text["nodes"] if node["name"] == "joined")["inputs"].append("relu6")


def _constant(tensors, value, position):
    """Channel `position` of the requantizations made constant."""
    for name, number in (("b", value), ("q", 0), ("s", 33)):
        tensors[name] = tensors[name].copy()
        tensors[name][position] = number


GATED = 8 + 8 + 1 + 8  # conv1, depthwise, squeeze, excite stand before it
MEAN = GATED + 1
DEVIATIONS = [
    (setting("format", to=4), "format is '4', wanted 2 or 3"),
    (setting("format", to=2), "format is '2', wanted 3 for these nodes"),
    (setting("arithmetic", to=1), "arithmetic is '1', wanted 2 for these nodes"),
    (setting("arithmetic", to=3), "arithmetic is '3', wanted 2"),
    (setting("arithmetic", to=2.0), "arithmetic is '2.0'"),
    (setting("relu6", "low", to="0"), "low of 'relu6' is 0, wanted a number"),
    (setting("relu6", "low", to=7), "low is 7.0, high 6.0"),
    (setting("relu6", "high", to=1e39), "high of 'relu6' is 1e"),
    (setting("relu6", "high", to=None), "high of 'relu6' is None"),
    (dropping("relu6", "high"), "members"),
    (setting("relu6", "op", to="relu"), "members"),
    (setting("swish", "op", to="swish"), "known op"),
    (setting("swish", "op", to="dropout"), "known op"),
    (setting("swish", "op", to="batch_norm"), "known op"),
    (setting("swish", "op", to="lrn"), "members"),
    (setting("swish", "slope", to=1.0), "members"),
    (setting("leaky", "slope", to=[0.1]), "slope of 'leaky' is .* wanted a number"),
    (setting("gate", "alpha", to=True), "alpha of 'gate' is True, wanted a number"),
    (setting("prelu", "channels", to=4), "'slope' is F32|does not fit"),
    (setting("prelu", "channels", to=-1), "wanted a count"),
    (tensor("slope", first(np.nan)), "finite"),
    (tensor("slope", lambda t: t[:2]), "at least 3 numbers"),
    (tensor("slope", lambda t: np.append(t, t)), "has 6 numbers, 3 have a use"),
    (setting("gated", "inputs", to=["swish", "squeeze", "gate"]), "reads 3"),
    (setting("gated", "inputs", to=["swish", "input"]), r"muls? values of shapes"),
    (setting("lifted", "inputs", to=["input", "gated"]), r"adds? values of shapes"),
    (setting("some", "last", to=9), "channels 0 to 9"),
    (setting("some", "first", to=3), "channels 3 to 3"),
    (setting("some", "first", to=-1), "first is -1"),
    (setting("others", "first", to=2), "'slope'|does not fit|groups|wanted"),
    (setting("joined", "inputs", to=["prelu"]), "reads 1"),
    (setting("joined", "inputs", to=["prelu"] * 257), "list of at most 256"),
    (setting("joined", "inputs", to=["prelu", "gate", "relu6"]), "joins channels of shapes"),
    (_added, "groups of the channels|wanted|does not fit|at least"),
    (setting("shuffled", "groups", to=3), "3 groups of the channels"),
    (setting("shuffled", "groups", to=0), "groups is 0"),
    (setting("largest", "padding", to=[3, 1, 1, 0]), "holds no pixel"),
    (setting("largest", "padding", to=[1, 1, 1]), "padding is"),
    (setting("largest", "padding", to=[32768, 32768, 32768, 32768]), "more than|holds no pixel"),
    (setting("largest", "counted", to=[0, 0, 0, 0]), "members"),
    (setting("mean", "counted", to=[2, 0, 0, 0]), "counted is"),
    (setting("means", "output", to=[2, 0]), "output is"),
    (setting("means", "output", to=[1 << 15, 1 << 15]), "more than"),
    (setting("means", "output", to=[2, 3, 1]), "output is"),
    (lambda tensors, text: text["int8"]["values"].pop(), "int8 has 19 values, the graph wants 20"),
    (int8_value("relu6", "name", to="conv1"), "named 'conv1', wanted 'relu6'"),
    (lambda tensors, text: text["int8"]["values"][0].pop("clamp"), "'relu6' has members"),
    (int8_value("depthwise", "clamp", to=[0, 127]), "'depthwise' has members"),
    (int8_value("relu6", "clamp", to=[5, 4]), r"'conv1' in int8: the clamp is \(5, 4\), wanted"),
    (int8_value("relu6", "clamp", to=[-129, 4]), "the clamp is"),
    (int8_value("relu6", "clamp", to=[0, 128]), "the clamp is"),
    (int8_value("relu6", "clamp", to=[0]), "two integers"),
    (int8_value("relu6", "clamp", to=[0, 1.0]), "wanted integers"),
    (int8_value("relu6", "clamp", to=[0, True]), "wanted integers"),
    (int8_value("relu6", "clamp", to=None), "wanted a list"),
    (int8_value("swish", "l", to=3), "'swish' has members"),
    (int8_value("joined", "s", to=3), "'joined' has members"),
    (int8_value("gated", "q", to=[1, 1]), "'gated' has members"),
    (int8_value("gated", "l", to=17), "'gated' in int8: sums of up to 16384, shifted by l = 17"),
    (int8_value("mean", "l", to=29), "'mean' in int8: sums of up to 1152, shifted by l = 29"),
    (int8_value("swish", "scale", to=0), "scale of 'swish' is 0.0"),
    (tensor("tables", lambda t: t[:-1]), r"tensor 'tables' is I8 \(3839,\), wanted I8 with at least 3840 numbers"),
    (tensor("tables", lambda t: np.append(t, t[:256])), "tensor 'tables' has 4096 numbers, 3840 have a use"),
    (tensor("tables", lambda t: t.view(np.uint8)), "tensor 'tables' is U8"),
    (tensor("tables", lambda t: t.reshape(-1, 256)), r"tensor 'tables' is I8 \(15, 256\)"),
    (lambda tensors, text: tensors.pop("tables"), "tensor 'tables' is missing"),
    (tensor("q", lambda t: np.delete(t, MEAN)), "wanted I32"),
    (lambda tensors, text: _constant(tensors, 128, MEAN), "constant channel is outside -128 to 127"),
    (lambda tensors, text: _constant(tensors, -1, 0), "'conv1' in int8: a constant channel is outside 0 to"),
    (lambda tensors, text: tensors["b"].__setitem__(GATED, -(1 << 31)), "'gated' in int8: sums of up to 2147500032"),
]  # fmt: skip


def test_what_is_changed_is_read(content):
    """So that the deviations below are refused for what they say: the ends of every range are read."""
    tensors, text = decoded(content)
    for value in text["int8"]["values"]:
        if "clamp" in value:
            value["clamp"] = [-128, -128]
    tensors["tables"] = np.full_like(tensors["tables"], -128)
    tensors["slope"] = np.full_like(tensors["slope"], -3e38)
    _constant(tensors, -128, MEAN)
    net = packed(encoded(tensors, text))
    assert [(node.lo, node.hi) for node in net.int8.nodes if node.name in ("relu6", "lifted.clip")] == [
        (-128, -128)
    ] * 2
    assert next(node for node in net.int8.nodes if node.name == "mean").requantize.constant.tolist() == [True, False]


@pytest.mark.parametrize("number", range(len(DEVIATIONS)))
def test_every_deviation_is_one_line(number, content, tmp_path):
    refused_in_one_line(content, *DEVIATIONS[number], tmp_path / "net.elq")


def test_lrn_has_no_int8_part(content):
    tensors, text = decoded(content)
    node = next(node for node in text["nodes"] if node["name"] == "swish")
    node |= {"op": "lrn", "size": 3, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    with pytest.raises(ValueError, match="'swish': lrn runs on float activations only"):
        packed(encoded(tensors, text))
    text["int8"] = None
    kept = {name: t for name, t in tensors.items() if name not in ("b", "q", "s", "tables", "table", "factor")}
    assert packed(encoded(kept, text)).graph.nodes[3].op == "lrn"
