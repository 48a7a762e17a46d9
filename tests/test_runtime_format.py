"""The .elq file: what is written is read back, and every deviation is one FormatError that says so."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from runtime_nets import network, random_pictures, small, version1, weighted, with_int8

from elq_ref.errors import FormatError
from elq_ref.runtime import Graph, Metadata, Node, PackedNetwork, Session, interpret, interpret_int8, load
from elq_ref.runtime.format import from_bytes, to_bytes
from elq_ref.runtime.shapes import MAX_VALUES, OPS

pytestmark = pytest.mark.kernels


def opened(content):
    """The tensors and the JSON object of a file's content, read by safetensors itself."""
    text = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["elq"]
    return safetensors.numpy.load(content), json.loads(text)


def closed(tensors, text):
    return safetensors.numpy.save(tensors, {"elq": text if isinstance(text, str) else json.dumps(text)})


@pytest.fixture
def content():
    rng = np.random.default_rng(21)
    return to_bytes(with_int8(small(rng), rng))


@pytest.mark.parametrize("levels", ["ternary", "binary", "float"])
def test_what_is_written_is_read_back(levels, tmp_path):
    net = small(np.random.default_rng(22), levels)
    net.save(tmp_path / "net.elq")
    back = load(tmp_path / "net.elq")
    assert back.metadata == net.metadata
    assert back.shapes == net.shapes
    assert (back.graph.input, back.graph.input_shape, back.graph.output) == ("input", (2, 7, 6), "fc2")
    for a, b in zip(net.graph.nodes, back.graph.nodes, strict=True):
        assert (a.op, a.name, a.inputs, a.attributes) == (b.op, b.name, b.inputs, b.attributes)
        for x, y in ((a.scale, b.scale), (a.bias, b.bias)):
            np.testing.assert_array_equal(x, y)
    for name, weight in net.layers.items():
        assert back.layers[name].values().tobytes() == weight.values().tobytes()
        if weight.levels != "float":
            np.testing.assert_array_equal(back.codes(name), net.codes(name))
            np.testing.assert_array_equal(back.alpha(name), net.alpha(name))
    x = np.random.default_rng(0).standard_normal((2, 2, 7, 6))
    np.testing.assert_array_equal(interpret(back.graph, x), interpret(net.graph, x))
    assert to_bytes(back) == to_bytes(net) == (tmp_path / "net.elq").read_bytes()


@pytest.mark.parametrize("levels", ["ternary", "binary", "float"])
def test_an_int8_program_is_read_back_integer_for_integer(levels):
    rng = np.random.default_rng(27)
    net = with_int8(small(rng, levels), rng)
    back = from_bytes(to_bytes(net))
    a, b = net.int8, back.int8
    assert back.int8.graph is back.graph
    assert (dict(a.scales), a.calibration) == (dict(b.scales), b.calibration) == (dict(b.scales), {"method": "test"})
    for x, y in [(a.table, b.table), (a.factor, b.factor), *((a.weights[n], b.weights[n]) for n in a.weights)]:
        np.testing.assert_array_equal(x, y, strict=True)
    for x, y in zip(a.nodes, b.nodes, strict=True):
        assert (x.op, x.name, x.source, x.inputs, x.attributes, x.shape) == (
            (y.op, y.name, y.source, y.inputs, y.attributes, y.shape)
        )
        assert (x.lo, x.hi, x.add) == (y.lo, y.hi, y.add)
        if x.weight is not None:
            np.testing.assert_array_equal(x.weight.data, y.weight.data, strict=True)
        if x.requantize is not None:
            assert x.requantize.l == y.requantize.l
            for key in "bqs":
                np.testing.assert_array_equal(
                    getattr(x.requantize, key), getattr(y.requantize, key), strict=True
                )
    pictures = random_pictures(rng, net)
    np.testing.assert_array_equal(interpret_int8(a, pictures).logits, interpret_int8(b, pictures).logits)


@pytest.mark.parametrize("levels", ["ternary", "binary", "float"])
def test_version_1_is_read(levels):
    net = small(np.random.default_rng(28), levels)
    back = from_bytes(version1(net))
    assert back.int8 is None
    assert to_bytes(back) == to_bytes(net)


@pytest.mark.parametrize("levels", ["ternary", "binary"])
def test_the_published_files_are_read(levels):
    """Of version 1: their bits are those that any safetensors reader sees in them."""
    path = Path(__file__).parent.parent / "benchmarks" / "results" / f"resnet20-{levels}-6passes.elq"
    tensors, text = opened(path.read_bytes())
    net = load(path)
    assert text["format"] == 1
    assert len(net.layers) == 20
    for name, weight in net.layers.items():
        np.testing.assert_array_equal(weight.data, tensors[f"{name}.codes"])
        np.testing.assert_array_equal(weight.alpha, tensors[f"{name}.alpha"])
    again = from_bytes(to_bytes(net))
    for name, weight in net.layers.items():
        np.testing.assert_array_equal(again.layers[name].data, weight.data)


def test_any_safetensors_reader_finds_the_documented_tensors(content):
    tensors, text = opened(content)
    assert {name: (t.dtype.name, t.shape) for name, t in tensors.items()} == {
        "conv1.trits": ("uint8", (15,)),  # 4 * 18 codes, 5 a byte
        "conv2.codes": ("uint8", (4, 1)),  # 3 * 1 * 2 codes of 1 bit a row
        "fc1.trits": ("uint8", (28,)),  # 5 * 28 codes
        "fc2.weight": ("float32", (3, 5)),
        "alpha": ("float32", (1 + 4 + 1,)),
        "scale": ("float32", (4 + 4 + 7 + 5 + 3,)),
        "bias": ("float32", (4 + 4 + 7 + 5 + 3,)),
        "b": ("int32", (4 + 4 + 7 + 1 + 5 + 3,)),  # the average has one
        "q": ("int32", (4 + 4 + 7 + 1 + 5 + 3,)),
        "s": ("uint8", (4 + 4 + 7 + 1 + 5 + 3,)),
        "fc2.int8": ("int8", (3, 5)),
        "table": ("int8", (2, 256)),
        "factor": ("float32", (3,)),
    }
    assert (text["format"], text["arithmetic"]) == (2, 1)


def test_every_op_and_member_is_in_the_format_page(content):
    page = (Path(__file__).parent.parent / "docs" / "format.md").read_text()
    tensors, text = opened(content)
    tensors = {name.split(".")[-1] for name in tensors}
    entries = (text, text["input"], text["int8"], *text["nodes"], *text["int8"]["values"])
    for name in (*OPS, *(key for entry in entries for key in entry), *tensors):
        assert re.search(rf"`([a-z0-9.]+\.)?{name}`", page), name


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
    (_set("format", to=3), "format is '3', this version reads 1 and 2"),
    (_set("format", to=2.0), "format is '2.0'"),
    (_set("format", to=True), "format is 'True'"),
    (_set("arithmetic", to=9), "arithmetic"),
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
    (_set("output", to="fc1"), r"output has shape \(5,\)"),
    (_set("input", "name", to="conv1"), "two values|which no node"),
    (_set("input", "name", to=7), "a value is named"),
    (_set("input", "name", to="a\nb"), "a value is named"),
    (_set("input", "shape", to=[2, 7]), "input shape"),
    (_set("input", "shape", to=[2, 7, -6]), "input shape"),
    (_set("input", "shape", to=[2, 7, 6.0]), "wanted integers"),
    (_set("input", "shape", to=[2, 7, True]), "wanted integers"),
    (_set("input", "shape", to=[2, 1 << 24, 1 << 24]), "more than"),
    (_set("input", "shape", to=[3, 7, 6]), "does not fit"),
    (_set("input", "mean", to=[0.5]), "1 mean"),
    (_set("input", "mean", to=[0.5, 1e999]), "no valid JSON|no number"),
    (_set("input", "mean", to=[0.5, "0.5"]), "no number"),
    (_set("input", "std", to=[0.5, 0]), "more than 0"),
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
]
DEVIATIONS_1 = [
    (_set("activations", to="int8"), "activations"),
    (_set("int8", to=None), "members"),
    (_set("conv1", "alphas", to=1), "members"),
    (_set("conv1", "levels", to="binary"), "wanted U8"),
    (_set("conv1", "levels", to="float"), "conv1.weight' is missing"),
    (_set("fc1", "shape", to=[28, 5]), "wanted U8"),
    (_tensor("conv1.codes", _first(0b10)), "reserved"),
    (_tensor("conv1.codes", lambda t: t | np.uint8(0b01010000)), "behind"),
    (_tensor("conv1.alpha", _first(np.nan)), "finite"),
    (_tensor("conv1.alpha", _first(-1)), "at least 0"),
    (_tensor("conv1.alpha", lambda t: np.repeat(t, 2)), "conv1.alpha"),
    (_tensor("conv1.alpha", lambda t: t.astype(np.float64)), "F64"),
    (_tensor("conv1.scale", _first(np.inf)), "finite"),
    (_tensor("conv1.bias", _first(-np.inf)), "finite"),
    (_tensor("conv1.bias", lambda t: t[:3]), "conv1.bias"),
    (_tensor("norm.scale", lambda t: t[:3]), "norm"),
    (_tensor("norm.bias", lambda t: t[None]), "norm.bias"),
    (_do(lambda tensors, text: tensors.pop("conv1.alpha")), "conv1.alpha' is missing"),
    (_do(lambda tensors, text: tensors.pop("norm.scale")), "norm.scale' is missing"),
]
DEVIATIONS_2 = [
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
    tensors, text = opened(content)
    _constant(tensors, 127)
    next(value for value in text["int8"]["values"] if value["name"] == "sum").update(q=[(1 << 22) - 1, 0], s=31)
    net = from_bytes(closed(tensors, text))
    assert net.int8.nodes[0].requantize.constant[0]


@pytest.mark.parametrize(
    ("version", "number"),
    [(1, n) for n in range(len(DEVIATIONS + DEVIATIONS_1))] + [(2, n) for n in range(len(DEVIATIONS + DEVIATIONS_2))],
)
def test_every_deviation_is_one_line(version, number, content, tmp_path):
    change, message = (DEVIATIONS + (DEVIATIONS_1, DEVIATIONS_2)[version - 1])[number]
    if version == 1:
        content = version1(small(np.random.default_rng(21)))
    tensors, text = opened(content)
    change(tensors, text)
    path = tmp_path / "net.elq"
    path.write_bytes(closed(tensors, text))
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
    tensors, _ = opened(content)
    with pytest.raises(FormatError):
        from_bytes(closed(tensors, text))


@pytest.mark.parametrize("member", ["method", "classes"])
def test_nesting_of_any_depth_is_read_or_refused(member, content, tmp_path):
    """Around Python's limit of recursion, which reading, printing and checking reach at different depths."""
    tensors, text = opened(content)
    text[member] = {"deep": "here"} if member == "method" else "here"
    for depth in (10, 500, *range(900, 1010, 3), 5000):
        path = tmp_path / "net.elq"
        path.write_bytes(closed(tensors, json.dumps(text).replace('"here"', "[" * depth + "]" * depth)))
        try:
            assert load(path).metadata.method
        except FormatError as problem:
            refused = str(problem)
            continue
        assert member == "method"
    assert refused


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (b"", "empty"),
        (b"some text that somebody named .elq\n" * 9, "not an .elq file"),
        (b"\x00" * 100, "not an .elq file"),
        (b"\xff" * 8, "not an .elq file"),
        ((2).to_bytes(8, "little") + b"{}", "no metadata"),
        ((1 << 60).to_bytes(8, "little") + b"{}", "not an .elq file"),
        (safetensors.numpy.save({"x": np.zeros(3, np.float32)}), "no metadata"),
        (safetensors.numpy.save({"x": np.zeros(3, np.float32)}, {"plan": "{}"}), "no metadata"),
    ],
)
def test_other_files_are_refused(wrong, message, tmp_path):
    path = tmp_path / "net.elq"
    path.write_bytes(wrong)
    with pytest.raises(FormatError, match=message):
        load(path)


def test_half_a_file_a_missing_file_and_a_folder(content, tmp_path):
    (tmp_path / "half.elq").write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError, match="cut off"):
        load(tmp_path / "half.elq")
    with pytest.raises(FileNotFoundError, match=r"none\.elq"):
        load(tmp_path / "none.elq")
    with pytest.raises(FormatError, match="not a regular file"):
        load(tmp_path)


def test_a_failed_save_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    net, path = small(np.random.default_rng(23)), tmp_path / "net.elq"
    net.save(path)
    before = path.read_bytes()

    def fail(self, content):
        self.open("wb").write(content[:100])
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="no space"):
        net.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_memory_is_bounded_before_it_is_taken():
    """A chain of paddings whose value would take 2^45 floats is refused by its shape."""
    nodes = [
        Node(
            "pad",
            f"p{k}",
            (f"p{k - 1}" if k else "input",),
            {"before": (0, 32768, 0), "after": (0, 0, 32768)},
        )
        for k in range(4)
    ]
    nodes.append(Node("global_avg_pool", "g", ("p3",)))
    with pytest.raises(ValueError, match=r"node 'p0': activations of more than"):
        network(nodes, (1, 1, 1), 1)
    assert math.prod((1, 32769, 32769)) > MAX_VALUES


def test_metadata_must_fit_the_graph():
    rng = np.random.default_rng(24)
    graph = Graph("input", (2, 4, 4), (Node("global_avg_pool", "g", ("input",)),), "g")
    meta = Metadata(("a", "b"), (0.0, 0.0), (1.0, 1.0))
    assert PackedNetwork(graph, meta).shapes == {"input": (2, 4, 4), "g": (2,)}
    for wrong, message in (
        ({"classes": ()}, "0 class names"),
        ({"classes": ("a",)}, "1 class name"),
        ({"mean": (0.0,)}, "1 mean"),
        ({"std": (1.0, -1.0)}, "more than 0"),
        ({"method": {"x": np.nan}}, "JSON"),
        ({"method": {"x": object()}}, "JSON"),
    ):
        with pytest.raises(ValueError, match=message):
            PackedNetwork(graph, replace(meta, **wrong))
    with pytest.raises(ValueError, match="0 nodes"):
        PackedNetwork(replace(graph, nodes=()), meta)
    with pytest.raises(ValueError, match="scale has shape"):
        weighted(rng, "conv", "c", "input", "ternary", (3, 2, 1, 1)).__class__(
            "linear",
            "c scale",
            ("input",),
            {},
            weighted(rng, "linear", "c", "input", "ternary", (3, 2)).weight,
            np.ones(4, np.float32),
            np.ones(3, np.float32),
        )


def test_the_numbers_of_a_network_and_its_table():
    rng = np.random.default_rng(25)
    net = network(
        [
            weighted(rng, "conv", "conv1", "input", "ternary", (8, 4, 3, 3)),
            Node("global_avg_pool", "g", ("conv1",)),
            weighted(rng, "linear", "fc", "g", "binary", (5, 8), True),
        ],
        (4, 6, 6),
        5,
    )
    assert (
        net.weight_bytes == 8 * 9 + 4 + 5 + 20
    )  # 36 codes of 2 bits a row, alpha; 8 codes of 1 bit a row, 5 alphas
    assert net.float_bytes == 4 * (8 * 36 + 40)
    zeros = f"{(net.codes('conv1') == 0).mean():.1%}"
    lines = net.summary().splitlines()
    kernel = Session(net).kernels["conv1"]
    assert lines[1].split() == ["conv1", "conv", "8x4x3x3", "ternary", "2.11", "76", zeros, *kernel.split()]
    assert lines[2].split()[:7] == ["fc", "linear", "5x8", "binary", "5.00", "25", "0.0%"]
    assert "13.0 times" in lines[-2]
    assert lines[-1] == "int8 activations: none, elq calibrate makes them"
    assert with_int8(net, rng).summary().splitlines()[-1] == "int8 activations: method test"
    with pytest.raises(KeyError, match="conv1, fc"):
        net.codes("conv2")


def test_arrays_of_a_network_are_read_only():
    net = small(np.random.default_rng(26))
    for array in (net.alpha("conv1"), net.layers["conv1"].data, net.graph.nodes[0].bias):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
