"""The .elq file: what is written is read back, other files are refused, and a failed save loses nothing."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from runtime_nets import content_of, decoded, encoded, modern, network, packed, random_pictures, small, with_int8

from elq_ref.errors import FormatError
from elq_ref.graph.codes import to_rows
from elq_ref.graph.shapes import PACKED_OPS
from elq_ref.runtime import Node, interpret, interpret_int8, load

pytestmark = pytest.mark.kernels


@pytest.fixture
def content():
    rng = np.random.default_rng(21)
    return content_of(with_int8(small(rng), rng))


MADE = {"old ops": (small, (2, 7, 6), "fc2"), "new ops": (modern, (3, 7, 6), "fc")}
made = pytest.mark.parametrize("made", MADE)


@made
@pytest.mark.parametrize("levels", ["ternary", "binary", "float"])
def test_what_is_written_is_read_back(levels, made, tmp_path):
    make, input_shape, output = MADE[made]
    net = make(np.random.default_rng(22), levels)
    net.save(tmp_path / "net.elq")
    back = load(tmp_path / "net.elq")
    assert back.metadata == net.metadata
    assert back.shapes == net.shapes
    assert (back.graph.input, back.graph.input_shape, back.graph.output) == ("input", input_shape, output)
    for a, b in zip(net.graph.nodes, back.graph.nodes, strict=True):
        assert (a.op, a.name, a.inputs, a.attributes) == (b.op, b.name, b.inputs, b.attributes)
        for x, y in ((a.scale, b.scale), (a.bias, b.bias), (a.slope, b.slope)):
            np.testing.assert_array_equal(x, y)
    for name, weight in net.layers.items():
        assert back.layers[name].values().tobytes() == weight.values().tobytes()
        if weight.levels != "float":
            np.testing.assert_array_equal(back.codes(name), net.codes(name))
            np.testing.assert_array_equal(back.alpha(name), net.alpha(name))
    x = np.random.default_rng(0).standard_normal((2, *input_shape))
    np.testing.assert_array_equal(interpret(back.graph, x), interpret(net.graph, x))
    assert content_of(back) == content_of(net) == (tmp_path / "net.elq").read_bytes()


@made
@pytest.mark.parametrize("levels", ["ternary", "binary", "float"])
def test_the_int8_part_is_read_back_integer_for_integer(levels, made):
    rng = np.random.default_rng(27)
    net = with_int8(MADE[made][0](rng, levels), rng)
    back = packed(content_of(net))
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
        for one, other in ((x.tables, y.tables), (x.which, y.which)):
            assert (one is None) == (other is None)
            if one is not None:
                np.testing.assert_array_equal(one, other, strict=True)
        if x.weight is not None:
            np.testing.assert_array_equal(x.weight.data, y.weight.data, strict=True)
        if x.requantize is not None:
            assert x.requantize.l == y.requantize.l
            for key in "bqs":
                np.testing.assert_array_equal(getattr(x.requantize, key), getattr(y.requantize, key), strict=True)
    pictures = random_pictures(rng, net)
    np.testing.assert_array_equal(interpret_int8(a, pictures).logits, interpret_int8(b, pictures).logits)


@pytest.mark.parametrize("levels", ["ternary", "binary"])
def test_a_file_of_a_trained_network(levels):
    """Its bits are those that safetensors itself sees in it, and come again when it is written."""
    path = Path(__file__).parents[1] / "data" / f"resnet20-{levels}.elq"
    tensors, _ = decoded(path.read_bytes())
    net = load(path)
    assert len(net.layers) == 20
    for name, weight in net.layers.items():
        if levels == "binary":
            np.testing.assert_array_equal(weight.data, tensors[f"{name}.codes"])
            continue
        trits = tensors[f"{name}.trits"][:, None] // 3 ** np.arange(5, dtype=np.uint8) % 3
        codes = np.array([0, 1, -1], np.int8)[trits].ravel()[: weight.size].reshape(-1, weight.size // weight.shape[0])
        np.testing.assert_array_equal(to_rows(net.codes(name)), codes)
    np.testing.assert_array_equal(np.concatenate([w.alpha for w in net.layers.values()]), tensors["alpha"])
    assert content_of(net) == path.read_bytes()


def test_any_safetensors_reader_finds_the_documented_tensors(content):
    tensors, text = decoded(content)
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


def test_the_tensors_and_members_of_what_version_3_adds():
    rng = np.random.default_rng(21)
    tensors, text = decoded(content_of(with_int8(modern(rng), rng)))
    assert (text["format"], text["arithmetic"]) == (3, 2)
    values = {value["name"]: value for value in text["int8"]["values"]}
    assert [name for name, value in values.items() if "clamp" in value] == ["relu6", "lifted.clip"]
    tabled = [name for name, value in values.items() if not value.keys() & {"l", "q"}]
    functions = ["silu", "gelu", "gelu_tanh", "elu", "tanh", "sigmoid"]
    assert tabled == ["swish", "gate", "prelu", "leaky", "joined", *functions]
    assert tensors["tables"].shape == (256 * (2 + 3 + 1 + 3 + 6),)  # prelu one a channel, concat one an operand
    assert tensors["slope"].shape == (3,)
    # conv1, depthwise, squeeze, excite, gated, the 6 or 9 elements of mean, the 2 or 3 of means, fc
    assert tensors["q"].shape == (8 + 8 + 1 + 8 + 1 + 2 + 2 + 5,)


@made
def test_every_op_and_member_is_in_the_format_page(made):
    page = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
    rng = np.random.default_rng(21)
    tensors, text = decoded(content_of(with_int8(MADE[made][0](rng), rng)))
    tensors = {name.split(".")[-1] for name in tensors}
    entries = (text, text["input"], text["int8"], *text["nodes"], *text["int8"]["values"])
    for name in (*PACKED_OPS, *(key for entry in entries for key in entry), *tensors):
        assert re.search(rf"`([a-z0-9.]+\.)?{name}`", page), name


WINDOW = {"kernel": (2, 2), "stride": (1, 1)}
MEAN = Node("avg_pool", "mean", ("input",), WINDOW)


@pytest.mark.parametrize(
    ("nodes", "version"),
    [
        ([MEAN], 2),
        ([replace(MEAN, attributes=WINDOW | {"padding": (0, 0, 0, 0)})], 2),
        ([replace(MEAN, attributes=WINDOW | {"padding": (0, 0, 0, 1)})], 3),
        ([replace(MEAN, op="max_pool", attributes=WINDOW | {"padding": (1, 0, 0, 0)})], 3),
        ([MEAN, Node("add", "sum", ("mean", "mean"))], 2),
        ([MEAN, Node("add", "sum", ("input", "mean"))], 3),
        ([Node("relu", "f", ("input",))], 2),
        ([Node("tanh", "f", ("input",))], 3),
    ],
)
def test_a_network_is_written_in_the_oldest_version_that_has_what_it_needs(nodes, version):
    net = network([*nodes, Node("global_avg_pool", "out", (nodes[-1].name,))], (3, 2, 2), 3)
    tensors, text = decoded(content_of(net))
    assert (text["format"], text["arithmetic"]) == (version, version - 1)
    for key, other in (("format", 5 - version), ("arithmetic", 4 - version)):
        with pytest.raises(FormatError, match=f"{key} is '{other}', wanted {text[key]} for these nodes"):
            packed(encoded(tensors, text | {key: other}))


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
    with pytest.raises(FormatError, match="is a folder, wanted a regular file"):
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
