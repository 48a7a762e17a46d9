"""The .elq file: what is written is read back, and every deviation is one FormatError that says so."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from runtime_nets import network, small, weighted

from elq_ref.errors import FormatError
from elq_ref.runtime import Graph, Metadata, Node, PackedNetwork, Session, interpret, load
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
    return to_bytes(small(np.random.default_rng(21)))


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


def test_any_safetensors_reader_finds_the_documented_tensors(content):
    tensors, text = opened(content)
    assert {name: (t.dtype.name, t.shape) for name, t in tensors.items() if name.startswith("conv")} == {
        "conv1.codes": ("uint8", (4, 5)),  # 3 * 3 * 2 codes of 2 bits
        "conv1.alpha": ("float32", (1,)),
        "conv1.scale": ("float32", (4,)),
        "conv1.bias": ("float32", (4,)),
        "conv2.codes": ("uint8", (4, 1)),  # 3 * 1 * 2 codes of 1 bit
        "conv2.alpha": ("float32", (4,)),
        "conv2.scale": ("float32", (4,)),
        "conv2.bias": ("float32", (4,)),
    }
    assert (text["format"], text["arithmetic"], text["activations"]) == (1, 1, "float32")


def test_every_op_and_member_is_in_the_format_page(content):
    page = (Path(__file__).parent.parent / "docs" / "format.md").read_text()
    _, text = opened(content)
    for name in (*OPS, *text, *text["input"], *(key for op in OPS.values() for key in op.attributes)):
        assert f"`{name}`" in page


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


DEVIATIONS = [
    (_set("format", to=2), "format is '2'"),
    (_set("format", to=True), "format is 'True'"),
    (_set("arithmetic", to=9), "arithmetic"),
    (_set("activations", to="int8"), "activations"),
    (_set("more", to=1), "members"),
    (_drop("classes"), "members"),
    (_set("classes", to=["a", "b"]), "2 class name"),
    (_set("classes", to=["a", "b", 3]), "text"),
    (_set("classes", to=["a", "b", "\x1b[2J"]), "printable"),
    (_set("classes", to="abc"), "list"),
    (_set("method", to=[]), "mapping"),
    (_set("library", to=1), "text"),
    (_set("nodes", to=[]), "belong to no node"),
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
    (_set("conv1", "levels", to="binary"), "wanted U8"),
    (_set("conv1", "levels", to="float"), "conv1.weight' is missing"),
    (_set("conv1", "shape", to=[4, 2, 3]), "wanted 4 axes"),
    (_set("conv1", "shape", to=[4, 2, 3, 0]), "from 1 to"),
    (_set("conv1", "shape", to=[4, 2, 3, 1 << 40]), "from 1 to"),
    (_set("conv1", "shape", to=[4, 2, 3, 4]), "wanted U8"),
    (_set("fc1", "shape", to=[28, 5]), "wanted U8"),
    (_tensor("conv1.codes", _first(0b10)), "reserved"),
    (_tensor("conv1.codes", lambda t: t | np.uint8(0b01010000)), "behind"),
    (_tensor("conv1.codes", lambda t: t.astype(np.int8)), "I8"),
    (_tensor("conv1.codes", lambda t: t.reshape(-1)), r"\(20,\)"),
    (_tensor("conv1.alpha", _first(np.nan)), "finite"),
    (_tensor("conv1.alpha", _first(-1)), "at least 0"),
    (_tensor("conv1.alpha", lambda t: np.repeat(t, 2)), "conv1.alpha"),
    (_tensor("conv1.alpha", lambda t: t.astype(np.float64)), "F64"),
    (_tensor("conv1.scale", _first(np.inf)), "finite"),
    (_tensor("conv1.bias", _first(-np.inf)), "finite"),
    (_tensor("conv1.bias", lambda t: t[:3]), "conv1.bias"),
    (_tensor("norm.scale", lambda t: t[:3]), "norm"),
    (_tensor("norm.bias", lambda t: t[None]), "norm.bias"),
    (_tensor("fc2.weight", _first(np.nan)), "finite"),
    (_do(lambda tensors, text: tensors.pop("conv1.alpha")), "conv1.alpha' is missing"),
    (_do(lambda tensors, text: tensors.pop("norm.scale")), "norm.scale' is missing"),
    (_do(lambda tensors, text: tensors.update(x=np.zeros(1, np.float32))), "belong to no node"),
]


@pytest.mark.parametrize("number", range(len(DEVIATIONS)))
def test_every_deviation_is_one_line(number, content, tmp_path):
    change, message = DEVIATIONS[number]
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
    assert "13.0 times" in lines[-1]
    with pytest.raises(KeyError, match="conv1, fc"):
        net.codes("conv2")


def test_arrays_of_a_network_are_read_only():
    net = small(np.random.default_rng(26))
    for array in (net.alpha("conv1"), net.layers["conv1"].data, net.graph.nodes[0].bias):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
