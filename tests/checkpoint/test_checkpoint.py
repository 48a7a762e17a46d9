"""Checkpoints: what is written is read back, by us and by safetensors; what is damaged is one clear line."""

import json
import struct
import time
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy
from torch_files import dictionary, old, pickled, storage, tensor

from elq_ref import checkpoint, deploy, models
from elq_ref.checkpoint.tensors import parse
from elq_ref.errors import FormatError

METADATA = {"kind": "network", "model": "lenet5", "input_shape": [1, 28, 28], "notes": [1, 2.5, None, "é"]}


def arrays():
    """An array of every dtype, rank and memory order that a network or a run holds."""
    values = np.random.default_rng(0).standard_normal((4, 3, 2, 5)).astype(np.float32)
    return {
        "float32": values,
        "float64": values.astype(np.float64) / 3,
        "float16": values.astype(np.float16),
        "scalar": np.array(1.5),
        "empty": np.empty((0, 3), np.float32),
        "bool": values > 0,
        "codes": np.sign(values).astype(np.int8),
        "bits": np.arange(256, dtype=np.uint8),
        "counts": np.array([-(1 << 62), 1 << 62]),
        "channels last": values.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
        "reversed": values[::-1, :, ::-1],
        "one of two": values[:, 1, :, ::2],
        "repeated": np.broadcast_to(np.float32(3), (2, 2)),
        "big-endian": np.arange(5, dtype=">f4"),
        "read-only": np.frombuffer(b"abcdefgh", np.float32),
    }


def same(found, expected):
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, expected)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def refused(path, reason="."):
    with pytest.raises(FormatError, match=reason) as caught:
        checkpoint.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_saved_is_read(path):
    checkpoint.write(path, arrays(), METADATA)
    file = checkpoint.read(path)
    assert file.metadata == METADATA
    assert set(file.tensors) == set(arrays())
    for name, array in arrays().items():
        same(file.tensors[name], array)


def test_safetensors_reads_what_is_saved(path):
    checkpoint.write(path, arrays(), METADATA)
    tensors = safetensors.numpy.load_file(path)
    for name, array in arrays().items():
        same(tensors[name], array)
    with safetensors.safe_open(path, "numpy") as file:
        assert list(file.metadata()) == ["elq"]
        assert json.loads(file.metadata()["elq"]) == METADATA


def test_files_of_others_have_no_metadata(path):
    safetensors.numpy.save_file({"a": np.ones(3)}, path)
    assert checkpoint.read(path).metadata == {}
    safetensors.numpy.save_file({"a": np.ones(3)}, path, {"format": "pt"})
    file = checkpoint.read(path)
    same(file.tensors["a"], np.ones(3))
    assert (file.metadata, file.stated, file.info, file.codes) == ({}, {}, None, {})


def raw(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_bfloat16_becomes_float32(path):
    entry = {"dtype": "BF16", "shape": [2, 1], "data_offsets": [0, 4]}
    path.write_bytes(raw({"w": entry}, struct.pack("<2H", 0x3FC0, 0xC000)))  # 1.5, -2
    same(checkpoint.read(path).tensors["w"], np.array([[1.5], [-2]], np.float32))


def test_a_dtype_that_numpy_has_not(path):
    path.write_bytes(raw({"w": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}, b"ab"))
    refused(path, "'w' is F8_E4M3, wanted one of")


def test_the_name_of_the_file_does_not_matter(tmp_path):
    body = dictionary({"w": tensor(storage("0", 2), (2,), (1,))})
    for name in ("a.th", "a.safetensors", "a"):
        (tmp_path / name).write_bytes(old(pickled(body), {"0": (2, struct.pack("<2f", 1, 2))}))
        same(checkpoint.read(tmp_path / name).tensors["w"], np.array([1, 2], np.float32))


# Failures to write


@pytest.mark.parametrize(
    ("tensors", "metadata", "error"),
    [
        ({"a": np.ones(2, complex)}, {}, TypeError),
        ({"a": np.array(["text"])}, {}, TypeError),
        ({"a": np.array([object()])}, {}, TypeError),
        ({"a": np.ones(2)}, {"loss": float("nan")}, ValueError),
        ({"a": np.ones(2)}, {"array": np.ones(2)}, TypeError),
    ],
)
def test_what_cannot_be_held_leaves_the_file_as_it_was(path, tensors, metadata, error):
    checkpoint.write(path, {"before": np.ones(3)}, {})
    content = path.read_bytes()
    with pytest.raises(error):
        checkpoint.write(path, tensors, metadata)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


# Failures to read


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint .*none"):
        checkpoint.read(tmp_path / "none")
    refused(tmp_path, "folder")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "it is empty"),
        (b"just a text\n", "it is text"),
        (b"a", "it is text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "a PNG picture"),
        (b"\xff\xd8\xff\xe0" + bytes(50), "a JPEG picture"),
        (b"\x1f\x8b\x08" + bytes(50), "a gzip file"),
        (b"\x80\x04\x95" + bytes(50), "a pickle that is not PyTorch's"),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07\x08", "begins with 00 01 02 03 04 05 06 07"),
        (b"PK\x03\x04" + bytes(50), "zip file that is cut off or damaged"),
    ],
)
def test_files_of_another_kind(path, content, found):
    path.write_bytes(content)
    refused(path, found)


def test_files_of_one_byte(path):
    for byte in range(256):
        path.write_bytes(bytes([byte]))
        refused(path)


def test_cut_off_anywhere(path):
    checkpoint.write(path, models.lenet5().state_dict(), METADATA)
    content = path.read_bytes()
    for part in range(20):
        path.write_bytes(content[: len(content) * part // 20])
        refused(path)
    path.write_bytes(content + b"more")
    refused(path)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 1 << 63) + b"{}",
        struct.pack("<Q", 0) + b"{}",
        struct.pack("<Q", 4) + b"{[]}",
        struct.pack("<Q", 200_000) + b'{"a":' * 40_000,
        raw([1]),
        raw({"a": 1}, bytes(8)),
        raw({"a": ENTRY}, bytes(7)),
        raw({"a": ENTRY | {"shape": [1 << 40, 1 << 40]}}, bytes(8)),
        raw({"a": ENTRY | {"shape": [-2]}}, bytes(8)),
        raw({"a": ENTRY | {"data_offsets": [0, 1 << 40]}}, bytes(8)),
        raw({"a": ENTRY | {"data_offsets": [8, 0]}}, bytes(8)),
        raw({"a": ENTRY, "b": ENTRY}, bytes(8)),
        raw({"\x1b[2J": ENTRY}, bytes(8)),
        raw({"__metadata__": {"elq": "{"}, "a": ENTRY}, bytes(8)),
        raw({"__metadata__": {"elq": 1}, "a": ENTRY}, bytes(8)),
        raw({"__metadata__": [], "a": ENTRY}, bytes(8)),
    ],
)
def test_damaged_headers(path, content):
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        None,
        {"model": 3},
        {"input_shape": [1, 28]},
        {"input_shape": [1, 28, 0]},
        {"input_shape": [1, 28, True]},
        {"input_shape": "a"},
        {"classes": []},
        {"classes": [1, 2]},
        {"normalization": 1},
        {"normalization": {"mean": [0.5]}},
        {"normalization": {"mean": [0.5], "std": [0]}},
        {"normalization": {"mean": [0.5], "std": ["a"]}},
    ],
)
def test_metadata_that_cannot_be_used(path, metadata):
    safetensors.numpy.save_file({"a": np.ones(3)}, path, {"elq": json.dumps(metadata)})
    refused(path, "its metadata is damaged")


def test_a_packed_network_is_no_checkpoint(tmp_path):
    net = models.digits_cnn().eval()
    classes = [str(n) for n in range(10)]
    packed = deploy.pack(net, {}, input_shape=(1, 8, 8), normalization=([0.5], [0.5]), classes=classes)
    packed.save(tmp_path / "net.elq")
    refused(tmp_path / "net.elq", "a packed network")


# Networks


def test_a_network_is_loaded(path):
    net, other = models.lenet5(seed=0), models.lenet5(seed=1)
    run = {"elq/alpha/conv1.weight": np.ones(1), "elq/frozen/conv1.weight": np.ones(3, bool)}
    checkpoint.write(path, net.state_dict() | run, METADATA)
    assert checkpoint.load(other, path).metadata == METADATA
    for name, array in net.state_dict().items():
        same(other.state_dict()[name], array)


def test_a_network_of_pytorchs_data_parallel_is_loaded(path):
    net, other = models.resnet20(seed=0), models.resnet20(seed=1)
    state = {f"module.{name}": array for name, array in net.state_dict().items()}
    counters = {f"module.{n.removesuffix('running_mean')}num_batches_tracked": np.array(7)
                for n in net.state_dict() if n.endswith("running_mean")}  # fmt: skip
    assert len(counters) == 19
    checkpoint.write(path, state | counters, {})
    checkpoint.load(other, path)
    for name, array in net.state_dict().items():
        same(other.state_dict()[name], array)


def test_a_network_converts_to_its_own_dtype(path):
    net = models.digits_cnn(seed=0)
    checkpoint.write(path, {n: a.astype(np.float64) for n, a in net.state_dict().items()}, {})
    other = models.digits_cnn(seed=1)
    checkpoint.load(other, path)
    for name, array in net.state_dict().items():
        same(other.state_dict()[name], array)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.pop("conv2.bias"), r"missing.* conv2\.bias \(16,\)"),
        (lambda s: s.update(more=np.ones((2, 3))), r"unexpected.* more \(2, 3\)"),
        (lambda s: s.update({"conv2.bias": np.ones(15)}), r"conv2\.bias .*\(15,\).*\(16,\)"),
        (lambda s: s.update({"conv2.bias": np.ones(16, np.int8)}), r"conv2\.bias is int8, wanted floats"),
        (lambda s: s.clear(), "missing"),
    ],
)
def test_a_checkpoint_that_does_not_fit_changes_nothing(path, change, reason):
    state = models.lenet5(seed=1).state_dict()
    change(state)
    checkpoint.write(path, state, {})
    net = models.lenet5(seed=0)
    with pytest.raises(ValueError, match=reason) as caught:
        checkpoint.load(net, path)
    assert str(path) in str(caught.value)
    for name, array in models.lenet5(seed=0).state_dict().items():
        same(net.state_dict()[name], array)


def test_wrappers_of_pytorch_in_any_order(path):
    net = models.resnet20(seed=0)
    for before in ("module._orig_mod.", "_orig_mod.module.", "module.module.", "_orig_mod."):
        checkpoint.write(path, {before + name: array for name, array in net.state_dict().items()}, {})
        assert set(checkpoint.read(path).network) == set(net.state_dict())
    inside = {name.replace("conv1.", "conv1._orig_mod."): array for name, array in net.state_dict().items()}
    checkpoint.write(path, inside, {})
    checkpoint.load(models.resnet20(seed=1), path)
    checkpoint.write(path, {"a.b": np.ones(1), "a._orig_mod.b": np.zeros(1)}, {})
    with pytest.raises(ValueError, match="one name but for _orig_mod"):
        _ = checkpoint.read(path).network


def test_a_header_beyond_any_networks_is_refused_before_it_is_read(path):
    text = b'{"a":' + b"[" * 150_000_000 + b"}"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    content = path.read_bytes()
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(FormatError, match=r"a header of 150,000,006 bytes, wanted at most 4,194,304"):
        parse(content)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    assert time.process_time() - start < 1
    tracemalloc.stop()


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":' + b"[[]," * 1_000_000 + b"}",
        b'{"__metadata__":{"elq":"' + b"[]," * 1_000_000 + b'"}}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"' + b"a" * 4_000_000 + b'":1}',
    ],
)
def test_headers_that_take_much(path, text):
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    tracemalloc.start()
    refused(path)
    assert tracemalloc.get_traced_memory()[1] < 150 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("depth", [50, 400, 900, 100_000])
@pytest.mark.parametrize("name", ["input_shape", "classes", "model", "normalization"])
def test_nests_in_the_metadata(path, name, depth):
    nested = "[" * depth + "]" * depth
    safetensors.numpy.save_file({"a": np.ones(3)}, path, {"elq": f'{{"{name}": {nested}}}'})
    refused(path, "its metadata is damaged")


def test_a_key_is_for_pytorchs_files(path):
    checkpoint.write(path, {"a": np.ones(3)}, {})
    with pytest.raises(FormatError, match="no entries of which a key chooses one"):
        checkpoint.read(path, "model")
