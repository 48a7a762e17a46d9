"""Files by PyTorch with tensors, places and notes drawn at random: what torch.load(weights_only=True) reads is read."""

import collections
import io
import pickletools
import struct
import warnings
import zipfile

import numpy as np
import pytest

from elq_ref.checkpoint.torch_reader import tensors

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

DTYPES = [
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
    "complex64", "complex128",
]  # fmt: skip
NEW_DTYPES = ["uint16", "uint32", "uint64", "complex32", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
              "float8_e5m2fnuz", "float8_e8m0fnu"]  # fmt: skip  # the old format has none of them
WRAPPERS = ["state_dict", "model_state_dict", "model", "net", "checkpoint", "module"]


def drawn_tensor(rng, dtype, views):
    """A tensor of up to 4 axes, of special values among others, seen in one of the ways that files keep."""
    shape = tuple(int(n) for n in rng.integers(0 if rng.random() < 0.1 else 1, 5, rng.integers(0, 5)))
    bits = rng.integers(0, 256, (int(np.prod(shape)) + 3) * 16, dtype=np.uint8)
    kind = getattr(torch, dtype)
    if dtype == "bool":
        bits %= 2
    whole = torch.frombuffer(bytearray(bits.tobytes()), dtype=kind)
    value = whole[2 : 2 + int(np.prod(shape))].reshape(shape)
    for _ in range(views):
        match rng.integers(8):
            case 0:
                value = value.permute(tuple(map(int, rng.permutation(value.ndim))))
            case 1 if value.ndim:
                value = value[..., ::2]
            case 2 if value.ndim and value.shape[0]:
                value = value[:1].expand(5, *value.shape[1:])
            case 3 if value.is_floating_point() and "float8" not in dtype:
                value = torch._neg_view(value.detach())
            case 4 if value.dtype in (torch.complex64, torch.complex128):
                value = value.conj()
            case 5 if value.is_floating_point() and dtype in DTYPES:  # PyTorch cannot load those of the new ones
                value = torch.nn.Parameter(value.detach().resolve_neg(), requires_grad=bool(rng.integers(2)))
            case 6 if value.dtype in (torch.complex64, torch.complex128):
                value = value.conj().imag
            case 7:
                value = value[None]
    return value


def drawn_notes(rng):
    choices = [
        3, 2.5, True, None, "text", "ä", b"bytes", 1 << 40, -1, {1, 2}, (1, (2,)), [1, [2]], {"a": {"b": []}}, 1j,
        {(1, 2): 3}, {1.5: "x", None: 1}, collections.Counter("aab"), torch.Size((1, 2)), torch.float32,
        torch.device("cpu"), bytearray(b"x"), collections.OrderedDict(a=1),
    ]  # fmt: skip
    return {f"note{k}": choices[rng.integers(len(choices))] for k in range(rng.integers(0, 6))}


def drawn(rng, new):
    """(what is saved, the path to its tensors)."""
    names = DTYPES + (NEW_DTYPES if new else [])
    state = (collections.OrderedDict if rng.integers(2) else dict)()
    for k in range(rng.integers(1, 6)):
        state[f"layer{k}.weight"] = drawn_tensor(rng, names[rng.integers(len(names))], rng.integers(0, 4))
    state["again"] = state["layer0.weight"]
    if isinstance(state, collections.OrderedDict):
        state._metadata = collections.OrderedDict({"": {"version": 1}})
    path = [WRAPPERS[rng.integers(len(WRAPPERS))] for _ in range(rng.integers(0, 4))]
    value = state
    for name in reversed(path):
        around = drawn_notes(rng)
        if rng.random() < 0.3:
            around["state_dict"] = {}
        value = {**around, name: value}
        if rng.random() < 0.3:
            value["optimizer"] = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    return value, path


def values_of(tensor):
    """A tensor of PyTorch as the reader gives it."""
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.dtype == torch.bfloat16 or "float8" in str(tensor.dtype):
        tensor = tensor.to(torch.float32)
    elif tensor.dtype == torch.complex32:
        tensor = tensor.to(torch.complex64)
    return tensor.numpy()


def assert_same(found, value, path):
    for name in path:
        value = value[name]
    expected = {name: values_of(t) for name, t in value.items() if isinstance(t, torch.Tensor)}
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)
        if array.dtype.kind in "fc":
            parts = [found[name].real, array.real], [found[name].imag, array.imag]
            for one, other in parts:
                np.testing.assert_array_equal(np.signbit(one)[~np.isnan(one)], np.signbit(other)[~np.isnan(other)])


def saved(value, new):
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=new)
    return stream.getvalue()


@pytest.mark.filterwarnings("ignore:ComplexHalf")
@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("seed", range(60))
def test_what_weights_only_reads_is_read(seed, new):
    rng = np.random.default_rng((seed, new))
    value, path = drawn(rng, new)
    if new and rng.random() < 0.3:
        torch.serialization.set_crc32_options(False)
    try:
        content = saved(value, new)
    finally:
        torch.serialization.set_crc32_options(True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yardstick = torch.load(io.BytesIO(content), weights_only=True)
    assert_same(tensors(content), yardstick, path)


def as_python_2(program):
    """A pickle with its ASCII texts as Python 2 writes them."""
    places = [(op.name, argument, at) for op, argument, at in pickletools.genops(program)]
    ends = [at for _, _, at in places[1:]] + [len(program)]
    result = b""
    for (name, argument, at), end in zip(places, ends, strict=True):
        short = name == "BINUNICODE" and argument.isascii() and len(argument) < 256
        result += b"U" + bytes([len(argument)]) + argument.encode() if short else program[at:end]
    return result


@pytest.mark.parametrize("seed", range(20))
def test_what_weights_only_reads_of_python_2(seed):
    rng = np.random.default_rng((seed, 2))
    value, path = drawn(rng, True)
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(value, True))) as archive, zipfile.ZipFile(stream, "w") as other:
        for entry in archive.infolist():
            content = archive.read(entry)
            other.writestr(entry.filename, as_python_2(content) if entry.filename.endswith("data.pkl") else content)
    assert struct.pack("<I", 5) + b"cpu" not in stream.getvalue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yardstick = torch.load(io.BytesIO(stream.getvalue()), weights_only=True)
    assert_same(tensors(stream.getvalue()), yardstick, path)


def test_big_endian_as_pytorch_reads_it():
    value = {name: torch.arange(6).to(getattr(torch, name)) for name in DTYPES}
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(value, True))) as archive, zipfile.ZipFile(stream, "w") as other:
        for entry in archive.infolist():
            content = archive.read(entry)
            other.writestr(entry.filename, b"big" if entry.filename.endswith("byteorder") else content)
    assert_same(tensors(stream.getvalue()), torch.load(io.BytesIO(stream.getvalue()), weights_only=True), [])


def test_the_parameters_of_a_tensor_subclass_and_of_attributes():
    parameter = torch.nn.Parameter(torch.arange(3.0))
    parameter.tag = "kept"
    plain = torch.arange(4.0)
    plain.note = 3
    content = saved({"parameter": parameter, "plain": plain}, True)
    assert_same(tensors(content), torch.load(io.BytesIO(content), weights_only=True), [])


@pytest.mark.filterwarnings("ignore:torch.quantize")
def test_what_is_not_dense_is_passed_over():
    value = {
        "w": torch.ones(2),
        "sparse": torch.eye(3).to_sparse(),
        "quantized": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        "meta": torch.empty(3, device="meta"),
    }
    assert list(tensors(saved(value, True))) == ["w"]
