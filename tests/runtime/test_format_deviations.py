"""Every deviation of an .elq file from its definition is one FormatError that says so."""

import json

import numpy as np
import pytest
from file_changes import dropping, first, int8_value, last, refused_in_one_line, setting, tensor
from runtime_nets import content_of, decoded, encoded, packed, small, with_int8

from elq_ref.errors import FormatError
from elq_ref.runtime import load

pytestmark = pytest.mark.kernels


@pytest.fixture
def content():
    rng = np.random.default_rng(21)
    return content_of(with_int8(small(rng), rng))


def _constant(tensors, value):
    """The first channel of the first layer made constant."""
    for name, number in (("b", value), ("q", 0), ("s", 33)):
        tensors[name] = first(number)(tensors[name])


DEVIATIONS = [
    (setting("format", to=3), "format is '3', wanted 2 for these nodes"),
    (setting("format", to=1), "format is '1', wanted 2 or 3"),
    (setting("format", to=2.0), "format is '2.0'"),
    (setting("format", to=True), "format is 'True'"),
    (setting("arithmetic", to=2), "arithmetic is '2', wanted 1 for these nodes"),
    (setting("arithmetic", to=True), "arithmetic is 'True'"),
    (setting("more", to=1), "members"),
    (dropping("classes"), "members"),
    (setting("classes", to=["a", "b"]), "2 class name"),
    (setting("classes", to=["a", "b", 3]), "text"),
    (setting("classes", to=["a", "b", "\x1b[2J"]), "printable"),
    (setting("classes", to="abc"), "list"),
    (setting("method", to=[]), "mapping"),
    (setting("library", to=1), "text"),
    (setting("nodes", to=[]), "wanted 1 to 4096"),
    (setting("nodes", to={}), "list"),
    (setting("nodes", to=[None]), "wanted an object"),
    (lambda tensors, text: text["nodes"].extend([text["nodes"][1]] * 5000), "list of at most 4096"),
    (setting("output", to="nobody"), "computed by no node"),
    (setting("output", to=["fc2"]), "a value is named"),
    (setting("output", to="fc1"), r"'factor' is F32 \(3,\), wanted F32 \(5,\)"),
    (setting("input", "name", to="conv1"), "two values|which no node"),
    (setting("input", "name", to=7), "a value is named"),
    (setting("input", "name", to="a\nb"), "a value is named"),
    (setting("input", "shape", to=[2, 7]), "input shape"),
    (setting("input", "shape", to=[2, 7, -6]), "input shape"),
    (setting("input", "shape", to=[2, 7, 6.0]), "wanted integers"),
    (setting("input", "shape", to=[2, 7, True]), "wanted integers"),
    (setting("input", "shape", to=[2, 1 << 24, 1 << 24]), "more than"),
    (setting("input", "shape", to=[3, 7, 6]), "does not fit"),
    (setting("input", "mean", to=[0.5]), "one finite number a channel each"),
    (lambda tensors, text: text["input"].update(mean=[0.5], std=[0.5]), "1 mean"),
    (setting("input", "mean", to=[0.5, 1e999]), "no valid JSON|no number"),
    (setting("input", "mean", to=[0.5, "0.5"]), "no number"),
    (setting("input", "std", to=[0.5, 0]), "std > 0"),
    (setting("input", "std", to=[0.5, 10**400]), "no number"),
    (setting("input", "resize", to="zoom"), "resize"),
    (setting("input", "resize", to=[]), "resize"),
    (dropping("input", "std"), "members"),
    (setting("conv1", "op", to="sparse"), "known op"),
    (setting("conv1", "op", to="linear"), "members"),
    (setting("conv1", "name", to="relu1"), "missing|two values"),
    (setting("conv1", "name", to=""), "a value is named"),
    (setting("conv1", "name", to=None), "a value is named"),
    (setting("conv1", "name", to="x" * 201), "a value is named"),
    (setting("conv1", "extra", to=1), "members"),
    (dropping("conv1", "groups"), "members"),
    (setting("conv1", "inputs", to=["sum"]), "no node before"),
    (setting("conv1", "inputs", to=["conv1"]), "no node before"),
    (setting("conv1", "inputs", to=[]), "reads 0"),
    (setting("conv1", "inputs", to=["input", "input"]), "reads 2"),
    (setting("conv1", "inputs", to="input"), "list"),
    (setting("conv1", "inputs", to=[["input"]]), "not names"),
    (setting("sum", "inputs", to=["conv1", "input"]), "adds values"),
    (setting("conv1", "stride", to=[0, 1]), "stride is"),
    (setting("conv1", "stride", to=[1]), "stride is"),
    (setting("conv1", "stride", to=2), "stride is"),
    (setting("conv1", "stride", to=[1, 2.0]), "integers"),
    (setting("conv1", "stride", to=[1, 10**400]), "stride is|integer"),
    (setting("conv1", "padding", to=[-1, 0]), "padding is"),
    (setting("conv1", "padding", to=[32768, 32768]), "more than"),
    (setting("conv1", "dilation", to=[4, 1]), "does not fit"),
    (setting("conv1", "groups", to=2), "does not fit"),
    (setting("conv2", "groups", to=3), "does not fit"),
    (setting("conv2", "groups", to=0), "groups is"),
    (setting("half", "step", to=0), "step is"),
    (setting("half", "step", to=[2]), "step is"),
    (setting("largest", "kernel", to=[9, 9]), "does not fit"),
    (setting("padded", "before", to=[1, -1, 0]), "before is"),
    (setting("padded", "before", to=[32768, 32768, 32768]), "more than"),
    (setting("conv1", "levels", to="quaternary"), "levels"),
    (setting("conv1", "levels", to=None), "levels"),
    (setting("conv1", "levels", to=["ternary"]), "levels"),
    (setting("conv1", "shape", to=[4, 2, 3]), "wanted 4 axes"),
    (setting("conv1", "shape", to=[4, 2, 3, 0]), "from 1 to"),
    (setting("conv1", "shape", to=[4, 2, 3, 1 << 40]), "from 1 to"),
    (setting("conv1", "shape", to=[4, 2, 3, 4]), "wanted U8"),
    (tensor("conv2.codes", lambda t: t | np.uint8(0b01000000)), "behind"),
    (tensor("conv2.codes", lambda t: t.astype(np.int8)), "I8"),
    (tensor("conv2.codes", lambda t: t.reshape(-1)), r"\(4,\)"),
    (tensor("fc2.weight", first(np.nan)), "finite"),
    (lambda tensors, text: tensors.update(x=np.zeros(1, np.float32)), "belong to no node"),
    (setting("activations", to="float32"), "members"),
    (setting("fc1", "shape", to=[28, 5]), "at least 43 numbers"),
    (setting("conv1", "levels", to="binary"), "conv1.codes' is missing"),
    (setting("conv1", "levels", to="float"), "members"),
    (setting("conv1", "alphas", to=4), "belongs|numbers|wanted F32"),
    (setting("conv1", "alphas", to=2), "alphas of 'conv1' is 2, wanted 1 or 4"),
    (setting("conv1", "alphas", to=True), "alphas"),
    (dropping("conv1", "alphas"), "members"),
    (setting("fc2", "alphas", to=1), "members"),
    (setting("norm", "channels", to=8), "wanted F32|numbers|channel"),
    (setting("norm", "channels", to=-1), "wanted a count"),
    (setting("norm", "channels", to=1 << 40), "wanted F32"),
    (tensor("conv1.trits", first(243)), "byte is 243, five ternary codes are at most 242"),
    (tensor("conv1.trits", last(162)), "trit is set behind the 72 codes"),  # 4 * 18 = 14 * 5 + 2, and 162 = 2 * 81
    (tensor("conv1.trits", last(9)), "trit is set behind the 72 codes"),
    (tensor("conv1.trits", lambda t: t[:14]), r"\(14,\)"),
    (tensor("conv1.trits", lambda t: t.reshape(3, 5)), r"\(3, 5\)"),
    (tensor("conv1.trits", lambda t: t.view(np.int8)), "I8"),
    (tensor("alpha", first(np.nan)), "finite"),
    (tensor("alpha", first(-1)), "at least 0"),
    (tensor("alpha", lambda t: t.astype(np.float64)), "F64"),
    (tensor("alpha", lambda t: t[:-1]), "at least 6 numbers"),
    (tensor("alpha", lambda t: np.append(t, t)), "has 12 numbers, 6 have a use"),
    (tensor("scale", first(np.inf)), "finite"),
    (tensor("bias", first(-np.inf)), "finite"),
    (tensor("bias", lambda t: t[None]), "wanted F32"),
    (lambda tensors, text: tensors.pop("alpha"), "'alpha' is missing"),
    (setting("int8", to=None), "belong to no node"),
    (setting("int8", to=[]), "members"),
    (setting("int8", "calibration", to=None), "no object"),
    (setting("int8", "scale", to=0), "scale of 'input' is 0.0"),
    (setting("int8", "scale", to=-1), "scale of 'input'"),
    (setting("int8", "scale", to="1"), "no number"),
    (setting("int8", "scale", to=10**400), "no number"),
    (setting("int8", "values", to={}), "list"),
    (lambda tensors, text: text["int8"]["values"].pop(), "int8 has 6 values, the graph wants 7"),
    (int8_value("conv1", "name", to="conv2"), "named 'conv2', wanted 'conv1'"),
    (int8_value("conv1", "scale", to=1e-31), "scale of 'conv1'"),
    (int8_value("conv1", "q", to=[1, 1]), "members"),
    (int8_value("conv1", "l", to=30), "l is 30, wanted 0 to 29"),
    (int8_value("conv1", "l", to=-1), "l is -1"),
    (int8_value("conv1", "l", to=1.0), "l is 1.0"),
    (int8_value("conv1", "l", to=29), "'conv1' in int8: sums of up to"),
    (int8_value("sum", "q", to=[1, 1 << 22]), "q2 is 4194304, wanted 0 to 4194303"),
    (int8_value("sum", "q", to=[-1, 1]), "q1 is -1"),
    (int8_value("sum", "q", to=[1]), "two integers"),
    (int8_value("sum", "s", to=0), "s is 0, wanted 1 to 31"),
    (int8_value("sum", "s", to=32), "s is 32"),
    (int8_value("sum", "s", to="1"), "s is 1"),
    (tensor("b", first(np.iinfo(np.int32).min)), "'conv1' in int8: sums of up to 214748"),
    (tensor("b", lambda t: t.astype(np.int64)), "I64"),
    (tensor("b", lambda t: t[:-1]), "wanted I32"),
    (tensor("q", first((1 << 30) - 1)), "neither 0 nor"),
    (tensor("q", first(-1)), "neither 0 nor"),
    (tensor("q", first(0)), "not 33 in a constant channel"),
    (tensor("s", first(32)), "not 33 to 62"),
    (tensor("s", first(63)), "not 33 to 62"),
    (lambda tensors, text: (first(0)(tensors["q"]), tensors.pop("s")), "'s' is missing"),
    (lambda tensors, text: _constant(tensors, 128), "constant channel is outside -128 to 127"),
    (lambda tensors, text: _constant(tensors, -129), "constant channel is outside -128 to 127"),
    (tensor("fc2.int8", first(-128)), "int8 weight is -128"),
    (tensor("fc2.int8", lambda t: t[:2]), "fc2.int8"),
    (lambda tensors, text: tensors.pop("fc2.int8"), "fc2.int8' is missing"),
    (tensor("table", lambda t: t[:, :255]), "table"),
    (tensor("table", lambda t: t.view(np.uint8)), "table"),
    (tensor("factor", first(np.nan)), "finite"),
    (tensor("factor", first(-1)), "factor is from -1.0 to"),
    (tensor("factor", first(2e28)), r"factor is from .* to .*e\+28, wanted 0 to 1e\+28"),
    (tensor("factor", lambda t: t[:2]), "factor"),
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
    refused_in_one_line(content, *DEVIATIONS[number], tmp_path / "net.elq")


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
