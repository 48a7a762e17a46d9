"""Every deviation of an .elq file from its definition is one FormatError that says so."""

import json

import numpy as np
import pytest
from runtime_nets import content_of, decoded, encoded, packed, small, with_int8

from elq_ref.errors import FormatError
from elq_ref.runtime import load

pytestmark = pytest.mark.kernels


@pytest.fixture
def content():
    rng = np.random.default_rng(21)
    return content_of(with_int8(small(rng), rng))


def _node(text, name):
    return next(node for node in text["nodes"] if node["name"] == name)


def _set(*path, to):
    """A change of one member of the JSON object; the path may go through a node by its name."""

    def change(tensors, text):
        place = text
        for key in path[:-1]:
            place = _node(text, key) if place is text and key not in text else place[key]
        place[path[-1]] = to

    return change


def _tensor(name, to):
    def change(tensors, text):
        tensors[name] = to(tensors[name])

    return change


def _drop(*path):
    def change(tensors, text):
        place = text
        for key in path[:-1]:
            place = _node(text, key) if place is text and key not in text else place[key]
        del place[path[-1]]

    return change


def _do(function):
    return lambda tensors, text: function(tensors, text)


def _first(value):
    def change(array):
        array = array.copy()
        array.flat[0] = value
        return array

    return change


def _last(value):
    def change(array):
        array = array.copy()
        array.flat[-1] += np.array(value, array.dtype)
        return array

    return change


def _value(name, key, to):
    """A change of one member of an int8 value."""

    def change(tensors, text):
        next(value for value in text["int8"]["values"] if value["name"] == name)[key] = to

    return change


def _constant(tensors, value):
    """The first channel of the first layer made constant."""
    for name, number in (("b", value), ("q", 0), ("s", 33)):
        tensors[name] = _first(number)(tensors[name])


DEVIATIONS = [
    (_set("format", to=3), "format is '3', wanted 2 for these nodes"),
    (_set("format", to=1), "format is '1', wanted 2 or 3"),
    (_set("format", to=2.0), "format is '2.0'"),
    (_set("format", to=True), "format is 'True'"),
    (_set("arithmetic", to=2), "arithmetic is '2', wanted 1 for these nodes"),
    (_set("arithmetic", to=True), "arithmetic is 'True'"),
    (_set("more", to=1), "members"),
    (_drop("classes"), "members"),
    (_set("classes", to=["a", "b"]), "2 class name"),
    (_set("classes", to=["a", "b", 3]), "text"),
    (_set("classes", to=["a", "b", "\x1b[2J"]), "printable"),
    (_set("classes", to="abc"), "list"),
    (_set("method", to=[]), "mapping"),
    (_set("library", to=1), "text"),
    (_set("nodes", to=[]), "wanted 1 to 4096"),
    (_set("nodes", to={}), "list"),
    (_set("nodes", to=[None]), "wanted an object"),
    (_do(lambda tensors, text: text["nodes"].extend([text["nodes"][1]] * 5000)), "list of at most 4096"),
    (_set("output", to="nobody"), "computed by no node"),
    (_set("output", to=["fc2"]), "a value is named"),
    (_set("output", to="fc1"), r"'factor' is F32 \(3,\), wanted F32 \(5,\)"),
    (_set("input", "name", to="conv1"), "two values|which no node"),
    (_set("input", "name", to=7), "a value is named"),
    (_set("input", "name", to="a\nb"), "a value is named"),
    (_set("input", "shape", to=[2, 7]), "input shape"),
    (_set("input", "shape", to=[2, 7, -6]), "input shape"),
    (_set("input", "shape", to=[2, 7, 6.0]), "wanted integers"),
    (_set("input", "shape", to=[2, 7, True]), "wanted integers"),
    (_set("input", "shape", to=[2, 1 << 24, 1 << 24]), "more than"),
    (_set("input", "shape", to=[3, 7, 6]), "does not fit"),
    (_set("input", "mean", to=[0.5]), "one finite number a channel each"),
    (_do(lambda tensors, text: text["input"].update(mean=[0.5], std=[0.5])), "1 mean"),
    (_set("input", "mean", to=[0.5, 1e999]), "no valid JSON|no number"),
    (_set("input", "mean", to=[0.5, "0.5"]), "no number"),
    (_set("input", "std", to=[0.5, 0]), "std > 0"),
    (_set("input", "std", to=[0.5, 10**400]), "no number"),
    (_set("input", "resize", to="zoom"), "resize"),
    (_set("input", "resize", to=[]), "resize"),
    (_drop("input", "std"), "members"),
    (_set("conv1", "op", to="sparse"), "known op"),
    (_set("conv1", "op", to="linear"), "members"),
    (_set("conv1", "name", to="relu1"), "missing|two values"),
    (_set("conv1", "name", to=""), "a value is named"),
    (_set("conv1", "name", to=None), "a value is named"),
    (_set("conv1", "name", to="x" * 201), "a value is named"),
    (_set("conv1", "extra", to=1), "members"),
    (_drop("conv1", "groups"), "members"),
    (_set("conv1", "inputs", to=["sum"]), "no node before"),
    (_set("conv1", "inputs", to=["conv1"]), "no node before"),
    (_set("conv1", "inputs", to=[]), "reads 0"),
    (_set("conv1", "inputs", to=["input", "input"]), "reads 2"),
    (_set("conv1", "inputs", to="input"), "list"),
    (_set("conv1", "inputs", to=[["input"]]), "not names"),
    (_set("sum", "inputs", to=["conv1", "input"]), "adds values"),
    (_set("conv1", "stride", to=[0, 1]), "stride is"),
    (_set("conv1", "stride", to=[1]), "stride is"),
    (_set("conv1", "stride", to=2), "stride is"),
    (_set("conv1", "stride", to=[1, 2.0]), "integers"),
    (_set("conv1", "stride", to=[1, 10**400]), "stride is|integer"),
    (_set("conv1", "padding", to=[-1, 0]), "padding is"),
    (_set("conv1", "padding", to=[32768, 32768]), "more than"),
    (_set("conv1", "dilation", to=[4, 1]), "does not fit"),
    (_set("conv1", "groups", to=2), "does not fit"),
    (_set("conv2", "groups", to=3), "does not fit"),
    (_set("conv2", "groups", to=0), "groups is"),
    (_set("half", "step", to=0), "step is"),
    (_set("half", "step", to=[2]), "step is"),
    (_set("largest", "kernel", to=[9, 9]), "does not fit"),
    (_set("padded", "before", to=[1, -1, 0]), "before is"),
    (_set("padded", "before", to=[32768, 32768, 32768]), "more than"),
    (_set("conv1", "levels", to="quaternary"), "levels"),
    (_set("conv1", "levels", to=None), "levels"),
    (_set("conv1", "levels", to=["ternary"]), "levels"),
    (_set("conv1", "shape", to=[4, 2, 3]), "wanted 4 axes"),
    (_set("conv1", "shape", to=[4, 2, 3, 0]), "from 1 to"),
    (_set("conv1", "shape", to=[4, 2, 3, 1 << 40]), "from 1 to"),
    (_set("conv1", "shape", to=[4, 2, 3, 4]), "wanted U8"),
    (_tensor("conv2.codes", lambda t: t | np.uint8(0b01000000)), "behind"),
    (_tensor("conv2.codes", lambda t: t.astype(np.int8)), "I8"),
    (_tensor("conv2.codes", lambda t: t.reshape(-1)), r"\(4,\)"),
    (_tensor("fc2.weight", _first(np.nan)), "finite"),
    (_do(lambda tensors, text: tensors.update(x=np.zeros(1, np.float32))), "belong to no node"),
    (_set("activations", to="float32"), "members"),
    (_set("fc1", "shape", to=[28, 5]), "at least 43 numbers"),
    (_set("conv1", "levels", to="binary"), "conv1.codes' is missing"),
    (_set("conv1", "levels", to="float"), "members"),
    (_set("conv1", "alphas", to=4), "belongs|numbers|wanted F32"),
    (_set("conv1", "alphas", to=2), "alphas of 'conv1' is 2, wanted 1 or 4"),
    (_set("conv1", "alphas", to=True), "alphas"),
    (_drop("conv1", "alphas"), "members"),
    (_set("fc2", "alphas", to=1), "members"),
    (_set("norm", "channels", to=8), "wanted F32|numbers|channel"),
    (_set("norm", "channels", to=-1), "wanted a count"),
    (_set("norm", "channels", to=1 << 40), "wanted F32"),
    (_tensor("conv1.trits", _first(243)), "byte is 243, five ternary codes are at most 242"),
    (_tensor("conv1.trits", _last(162)), "trit is set behind the 72 codes"),  # 4 * 18 = 14 * 5 + 2, and 162 = 2 * 81
    (_tensor("conv1.trits", _last(9)), "trit is set behind the 72 codes"),
    (_tensor("conv1.trits", lambda t: t[:14]), r"\(14,\)"),
    (_tensor("conv1.trits", lambda t: t.reshape(3, 5)), r"\(3, 5\)"),
    (_tensor("conv1.trits", lambda t: t.view(np.int8)), "I8"),
    (_tensor("alpha", _first(np.nan)), "finite"),
    (_tensor("alpha", _first(-1)), "at least 0"),
    (_tensor("alpha", lambda t: t.astype(np.float64)), "F64"),
    (_tensor("alpha", lambda t: t[:-1]), "at least 6 numbers"),
    (_tensor("alpha", lambda t: np.append(t, t)), "has 12 numbers, 6 have a use"),
    (_tensor("scale", _first(np.inf)), "finite"),
    (_tensor("bias", _first(-np.inf)), "finite"),
    (_tensor("bias", lambda t: t[None]), "wanted F32"),
    (_do(lambda tensors, text: tensors.pop("alpha")), "'alpha' is missing"),
    (_set("int8", to=None), "belong to no node"),
    (_set("int8", to=[]), "members"),
    (_set("int8", "calibration", to=None), "no object"),
    (_set("int8", "scale", to=0), "scale of 'input' is 0.0"),
    (_set("int8", "scale", to=-1), "scale of 'input'"),
    (_set("int8", "scale", to="1"), "no number"),
    (_set("int8", "scale", to=10**400), "no number"),
    (_set("int8", "values", to={}), "list"),
    (_do(lambda tensors, text: text["int8"]["values"].pop()), "int8 has 6 values, the graph wants 7"),
    (_value("conv1", "name", to="conv2"), "named 'conv2', wanted 'conv1'"),
    (_value("conv1", "scale", to=1e-31), "scale of 'conv1'"),
    (_value("conv1", "q", to=[1, 1]), "members"),
    (_value("conv1", "l", to=30), "l is 30, wanted 0 to 29"),
    (_value("conv1", "l", to=-1), "l is -1"),
    (_value("conv1", "l", to=1.0), "l is 1.0"),
    (_value("conv1", "l", to=29), "'conv1' in int8: sums of up to"),
    (_value("sum", "q", to=[1, 1 << 22]), "q2 is 4194304, wanted 0 to 4194303"),
    (_value("sum", "q", to=[-1, 1]), "q1 is -1"),
    (_value("sum", "q", to=[1]), "two integers"),
    (_value("sum", "s", to=0), "s is 0, wanted 1 to 31"),
    (_value("sum", "s", to=32), "s is 32"),
    (_value("sum", "s", to="1"), "s is 1"),
    (_tensor("b", _first(np.iinfo(np.int32).min)), "'conv1' in int8: sums of up to 214748"),
    (_tensor("b", lambda t: t.astype(np.int64)), "I64"),
    (_tensor("b", lambda t: t[:-1]), "wanted I32"),
    (_tensor("q", _first((1 << 30) - 1)), "neither 0 nor"),
    (_tensor("q", _first(-1)), "neither 0 nor"),
    (_tensor("q", _first(0)), "not 33 in a constant channel"),
    (_tensor("s", _first(32)), "not 33 to 62"),
    (_tensor("s", _first(63)), "not 33 to 62"),
    (_do(lambda tensors, text: (_first(0)(tensors["q"]), tensors.pop("s"))), "'s' is missing"),
    (_do(lambda tensors, text: _constant(tensors, 128)), "constant channel is outside -128 to 127"),
    (_do(lambda tensors, text: _constant(tensors, -129)), "constant channel is outside -128 to 127"),
    (_tensor("fc2.int8", _first(-128)), "int8 weight is -128"),
    (_tensor("fc2.int8", lambda t: t[:2]), "fc2.int8"),
    (_do(lambda tensors, text: tensors.pop("fc2.int8")), "fc2.int8' is missing"),
    (_tensor("table", lambda t: t[:, :255]), "table"),
    (_tensor("table", lambda t: t.view(np.uint8)), "table"),
    (_tensor("factor", _first(np.nan)), "finite"),
    (_tensor("factor", _first(-1)), "factor is from -1.0 to"),
    (_tensor("factor", _first(2e28)), r"factor is from .* to .*e\+28, wanted 0 to 1e\+28"),
    (_tensor("factor", lambda t: t[:2]), "factor"),
]


def test_the_widest_values_that_the_int8_part_allows_are_read(content, tmp_path):
    """So that the deviations above are refused for what they say, not for what is near it."""
    tensors, text = decoded(content)
    _constant(tensors, 127)
    next(value for value in text["int8"]["values"] if value["name"] == "sum").update(q=[(1 << 22) - 1, 0], s=31)
    net = packed(encoded(tensors, text))
    assert net.int8.nodes[0].requantize.constant[0]


@pytest.mark.parametrize("number", range(len(DEVIATIONS)))
def test_every_deviation_is_one_line(number, content, tmp_path):
    change, message = DEVIATIONS[number]
    tensors, text = decoded(content)
    change(tensors, text)
    path = tmp_path / "net.elq"
    path.write_bytes(encoded(tensors, text))
    with pytest.raises(FormatError, match=message) as caught:
        load(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    assert len(line) < len(str(path)) + 310


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        "7",
        '{"format": NaN}',
        '{"format": 1, "format": 1}',
        "[" * 100_000,
        '{"a": ' * 5000,
    ],
)
def test_text_that_is_no_object_is_refused(text, content):
    tensors, _ = decoded(content)
    with pytest.raises(FormatError):
        packed(encoded(tensors, text))


@pytest.mark.parametrize("member", ["method", "classes"])
def test_nesting_of_any_depth_is_read_or_refused(member, content, tmp_path):
    """Around Python's limit of recursion, which reading, printing and checking reach at different depths."""
    tensors, text = decoded(content)
    text[member] = {"deep": "here"} if member == "method" else "here"
    for depth in (10, 500, *range(900, 1010, 3), 5000):
        path = tmp_path / "net.elq"
        path.write_bytes(encoded(tensors, json.dumps(text).replace('"here"', "[" * depth + "]" * depth)))
        try:
            assert load(path).metadata.method
        except FormatError as problem:
            refused = str(problem)
            continue
        assert member == "method"
    assert refused
