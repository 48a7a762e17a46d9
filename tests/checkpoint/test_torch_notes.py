"""Others' files: where their tensors are, what lies beside them, and what changes a value."""

import argparse
import collections
import io
import pathlib
import pickle
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from torch_files import ORDERED_DICT, dictionary, number, old, pickled, sizes, storage, tensor, text, zipped

from elq_ref import checkpoint, models
from elq_ref.checkpoint.torch_reader import tensors
from elq_ref.errors import FormatError

VALUES = np.arange(6, dtype="<f4") / 8
DATA = VALUES.tobytes()
MATRIX = VALUES.reshape(2, 3)
W = tensor(storage("0", 6), (2, 3), (3, 1))
STATE = dictionary({"w": W})


def made(body):
    return zipped(pickled(body), {"0": DATA})


def refused(content, reason, key=None):
    with pytest.raises(FormatError, match=reason) as caught:
        tensors(content, key)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1200


def same(found, expected=MATRIX):
    assert list(found) == ["w"]
    assert found["w"].dtype == expected.dtype
    np.testing.assert_array_equal(found["w"], expected)
    np.testing.assert_array_equal(np.signbit(found["w"]), np.signbit(expected))


# Where the tensors are


@pytest.mark.parametrize(
    "body",
    [
        dictionary({"net": STATE}),
        dictionary({"model_state_dict": STATE, "optimizer": dictionary({"state": dictionary({})})}),
        dictionary({"state_dict": dictionary({}), "model": STATE}),
        dictionary({"checkpoint": dictionary({"model": dictionary({"state_dict": STATE})})}),
        dictionary({"an unusual name": dictionary({"deeper": STATE}), "epoch": number(3)}),
    ],
)
def test_wrappers(body):
    same(tensors(made(body)))


def test_a_key_chooses_among_entries_and_the_error_lists_them():
    other = tensor(storage("0", 6), (6,), (1,))
    body = dictionary({"ema": dictionary({"state_dict": STATE}), "critic": dictionary({"a": other, "b": other})})
    refused(made(body), r"tensors are in critic \(2\), ema/state_dict \(1\); choose one by its key")
    for key in ("ema", "ema/state_dict"):
        same(tensors(made(body), key))
    assert list(tensors(made(body), "critic")) == ["a", "b"]
    refused(made(body), "no entry 'actor'; tensors are in critic", "actor")


def test_lists_and_tuples_hold_entries():
    other = tensor(storage("0", 6), (6,), (1,))
    same(tensors(made(STATE + number(3) + b"\x86")))  # (state, epoch)
    both = b"](" + STATE + dictionary({"a": other}) + b"e"
    body = dictionary({"models": both})
    refused(made(body), r"tensors are in models/0 \(1\), models/1 \(1\)")
    same(tensors(made(body), "models/0"))
    assert list(tensors(made(both), "1")) == ["a"]


def test_the_key_reaches_a_network(tmp_path):
    own, others = models.digits_cnn(seed=1), models.digits_cnn(seed=2)
    path = tmp_path / "a.pth"
    body, storages = {}, {}
    for entry, net in (("best", own), ("last", others)):
        state = {}
        for name, array in net.state_dict().items():
            at = str(len(storages))
            strides = tuple(s // 4 for s in array.strides)
            state[f"_orig_mod.module.{name}"] = tensor(storage(at, array.size), array.shape, strides)
            storages[at] = array.tobytes()
        body[entry] = dictionary(state)
    path.write_bytes(zipped(pickled(dictionary(body)), storages))
    net = models.digits_cnn(seed=3)
    with pytest.raises(FormatError, match=r"best \(\d+\), last \(\d+\)"):
        checkpoint.load(net, path)
    checkpoint.load(net, path, key="best")
    for name, array in own.state_dict().items():
        np.testing.assert_array_equal(net.state_dict()[name], array)


def test_a_dictionary_within_itself_and_one_reached_in_many_ways():
    refused(made(b"}q\x00" + text("model") + b"h\x00s" + text("net") + b"h\x00s"), "no tensors")
    many = b"}q\x05" + b"".join(
        b"}" + b"".join(text(n) + b"h\x05s" for n in ("model", "net", "module", "a", "b")) + b"q\x05"
        for _ in range(300)
    )
    start = time.process_time()
    refused(made(many), "no tensors")
    assert time.process_time() - start < 2


# Notes


class Options:
    """A class that the reader does not know."""

    def __init__(self):
        self.lr = 0.1


def test_notes_are_passed_over():
    notes = {
        "args": argparse.Namespace(lr=0.1, layers=[1, 2]),
        "counts": collections.Counter("aab"),
        "best": np.float64(91.5),
        "rng": np.random.default_rng(0).bit_generator.state,
        "array": np.arange(3),
        "seen": {1, 2},
        "frozen": frozenset((1, 2)),
        ("a", 1): {"b": {(2, 3): None}},
        "path": pathlib.PurePosixPath("a/b"),
        "groups": collections.defaultdict(list, {"a": [1]}),
        "mine": Options(),
        "bytes": b"\xff\x00",
        "complex": 1j,
        "type": int,
        "big": 1 << 5000,
        None: None,
    }
    for protocol in range(1, 6):
        written = pickle.dumps(notes, protocol)
        assert written.endswith(b".")
        head = 11 if protocol > 3 else 2 if protocol > 1 else 0  # PROTO and FRAME
        body = written[head:-1] + text("state_dict") + STATE + b"s"
        same(tensors(made(body)))


def test_a_name_that_is_built_where_a_network_is_told():
    refused(
        made(b"}" + text("model") + b"cmy.models\nNet\n)\x81" + b"s"), r"'model' asks for my\.models\.Net.*save the"
    )


def test_files_of_python_2():
    """Texts are bytes, ordered dictionaries are made of lists of pairs; a NumPy scalar has bytes that are no text."""

    def short(value):
        return b"U" + bytes([len(value)]) + value

    pid = b"(" + short(b"storage") + b"ctorch\nFloatStorage\n" + short(b"0") + short(b"cpu") + number(6) + b"NtQ"
    w = tensor(pid, (2, 3), (3, 1))
    pairs = b"ccollections\nOrderedDict\n](](" + short(b"w") + w + b"ee\x85R"
    scalar = b"cnumpy.core.multiarray\nscalar\n(" + short(b"\xff\xfe") + b"tR"
    body = b"}(" + short(b"best") + scalar + short(b"state_dict") + pairs + b"u"
    same(tensors(old(pickled(body), {"0": (6, DATA)})))
    long = b"}(T" + struct.pack("<i", 1) + b"w" + w + b"u"
    same(tensors(old(pickled(long), {"0": (6, DATA)})))


def test_the_old_format_of_any_protocol():
    for protocol in (1, 2, 3, 4, 5):
        magic = pickle.dumps(0x1950A86A20F9469CFC6C, protocol)
        content = old(pickled(STATE), {"0": (6, DATA)})
        same(tensors(magic + content[15:]))


# What changes a value


def with_bits(bits, kind="FloatStorage"):
    body = W.replace(b"FloatStorage", kind.encode()).replace(
        b"\x89" + ORDERED_DICT + b"tR", b"\x89" + ORDERED_DICT + bits + b"tR"
    )
    assert bits in body
    return dictionary({"w": body})


def test_a_negation_that_was_put_off():
    bits = b"}" + text("neg") + b"\x88s"
    same(tensors(made(with_bits(bits))), -VALUES.reshape(2, 3))
    same(tensors(made(with_bits(bits.replace(b"\x88", b"\x89")))))
    both = dictionary({"w": W, "n": with_bits(bits)[len(ORDERED_DICT) + 1 + len(text("w")) : -1]})
    found = tensors(made(both))
    np.testing.assert_array_equal(found["n"], -found["w"])


def test_a_conjugation_that_was_put_off():
    bits = b"}" + text("conj") + b"\x88s"
    values = np.arange(6) + 1j
    content = zipped(pickled(with_bits(bits, "ComplexFloatStorage")), {"0": values.astype("<c8").tobytes()})
    np.testing.assert_array_equal(tensors(content)["w"], values.conj().reshape(2, 3))
    refused(made(with_bits(bits)), "float32 and negated or conjugated")


@pytest.mark.parametrize(
    "bits",
    [b"}" + text("mirrored") + b"\x88s", b"}" + text("neg") + number(1) + b"s", text("neg"), b"\x88", b"cm\nB\n)R"],
)
def test_bits_that_are_not_known_are_refused(bits):
    refused(made(with_bits(bits)), "metadata")


def test_an_attribute_that_is_a_tensors_values_is_refused():
    def stateful(state):
        return dictionary(
            {"w": b"ctorch._utils\n_rebuild_parameter_with_state\n(" + W + b"\x88" + ORDERED_DICT + state + b"tR"}
        )

    same(tensors(made(stateful(b"}" + text("tag") + number(1) + b"s"))))
    refused(made(stateful(b"}" + text("data") + W + b"s")), "values of a tensor by an attribute")
    refused(made(stateful(b"N}" + text("real") + W + b"s\x86")), "values of a tensor by an attribute")


def test_a_state_that_replaces_a_parameter_is_honoured():
    other = tensor(storage("0", 6), (2, 3), (1, 2))
    parameter = b"ctorch.nn.parameter\nParameter\n" + W + b"\x88\x86R"
    same(tensors(made(dictionary({"w": parameter}))))
    replaced = parameter + b"(" + other + b"\x88N\x89" + ORDERED_DICT + b"tb"
    same(tensors(made(dictionary({"w": replaced}))), VALUES.reshape(3, 2).T)
    unchanged = parameter + b"(\x88\x89" + ORDERED_DICT + b"tb"
    same(tensors(made(dictionary({"w": unchanged}))))


def test_a_tensor_moved_from_another_device():
    def moved(dtype):
        call = b"ctorch._utils\n_rebuild_device_tensor_from_cpu_tensor\n(" + W + b"ctorch\n" + dtype + b"\n"
        return dictionary({"w": call + text("xla:0") + b"\x89tR"})

    same(tensors(made(moved(b"float32"))))
    refused(made(moved(b"int8")), "calls torch._utils._rebuild_device_tensor_from_cpu_tensor")


def test_instances_of_old_protocols_are_named():
    refused(made(b"(ios\nsystem\n"), r"asks for os\.system")
    refused(made(b"(cbuiltins\neval\n" + text("1") + b"o"), r"asks for builtins\.eval")
    same(tensors(made(b"}" + text("args") + b"(imy\nOptions\n}bs" + text("net") + STATE + b"s")))


def test_notes_do_not_replace_a_network_that_was_not_built():
    body = b"}" + text("model") + b"cmy.models\nNet\n)\x81s" + text("ema") + STATE + b"s"
    refused(made(body), r"'model' asks for my\.models\.Net.*tensors are in ema \(1\)")
    same(tensors(made(body), "ema"))


def test_the_first_pytorchs_tensors():
    made_empty = b"ctorch\nFloatTensor\n)R(" + storage("0", 6) + number(0) + sizes((2, 3)) + sizes((3, 1)) + b"tb"
    same(tensors(made(dictionary({"w": made_empty}))))
    never = tensors(made(dictionary({"w": b"ctorch\nDoubleTensor\n)R"})))["w"]
    assert (never.shape, never.dtype) == ((0,), np.float64)


# Sizes and files


def test_expanded_tensors_take_no_memory():
    body = dictionary({"w": tensor(storage("0", 6), (1 << 30, 2), (0, 1), 1)})
    tracemalloc.start()
    found = tensors(made(body))["w"]
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert found.shape == (1 << 30, 2)
    assert found[12345].tolist() == [0.125, 0.25]


def test_a_zip_without_sums_of_check():
    content = bytearray(made(STATE))
    for entry in zipfile.ZipFile(io.BytesIO(content)).infolist():
        content[entry.header_offset + 14 : entry.header_offset + 18] = bytes(4)
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content[at + 16 : at + 20] = bytes(4)
        at = content.find(b"PK\x01\x02", at + 1)
    same(tensors(bytes(content)))


def test_a_big_endian_zip():
    content = zipped(pickled(STATE), {"0": VALUES.astype(">f4").tobytes()}, order=b"big")
    same(tensors(content))


def test_one_storage_of_bytes_and_of_floats():
    untyped = storage("0", 24).replace(b"ctorch\nFloat", b"ctorch.storage\nUntyped")
    third = (
        W.replace(storage("0", 6), untyped)
        .replace(b"_v2", b"_v3")
        .replace(b"\x89" + ORDERED_DICT, b"\x89" + ORDERED_DICT + b"ctorch\nuint16\n")
    )
    found = tensors(made(dictionary({"w": W, "u": third})))
    np.testing.assert_array_equal(found["u"].ravel(), np.frombuffer(DATA, np.uint16)[:6])
    refused(made(dictionary({"w": W, "u": third.replace(number(24), number(2400))})), "two types or sizes")


def test_a_torchscript_program_is_named():
    buffer = io.BytesIO(made(STATE))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("net/constants.pkl", b"")
    refused(buffer.getvalue(), "TorchScript")


@pytest.mark.parametrize("name", [b"OrderedDict", b"Counter"])
def test_copies_of_copies_are_bounded(name):
    """A dictionary of 1,000 entries, copied again and again: each copy is five opcodes."""
    large = b"}q\x00(" + b"".join(text(str(k)) + b"N" for k in range(1000)) + b"u"
    copies = b"ccollections\n" + name + b"\nq\x01" + b"h\x01h\x00\x85R0" * 3000
    refused(made(large + copies), "copies more than")


def test_a_name_without_end_is_not_printed(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(made(dictionary({"w" * 1_000_000: W})))
    with pytest.raises(FormatError, match=r"a name of more than 1,000 characters"):
        checkpoint.read(path)


NEST = b")q\x00" + b"h\x00h\x00\x86q\x00" * 60  # written out, it would have 2^60 parts
DEEP = b")" + b"\x85" * 100_000


@pytest.mark.parametrize("nest", [NEST, DEEP])
@pytest.mark.parametrize(
    "body",
    [
        lambda n: dictionary({"w": W.replace(number(6), n, 1)}),  # the count of a storage
        lambda n: dictionary({"w": W.replace(text("0"), n, 1)}),
        lambda n: dictionary({"w": W.replace(text("storage"), n, 1)}),
        lambda n: dictionary({"w": W.replace(sizes((2, 3)), n)}),
        lambda n: dictionary({"w": W.replace(sizes((3, 1)), n)}),
        lambda n: dictionary({"w": W.replace(sizes((2, 3)), b"(" + n + number(3) + b"t")}),
        lambda n: with_bits(n),
        lambda n: with_bits(b"}" + text("neg") + n + b"s"),
        lambda n: b"ccollections\nOrderedDict\n" + n + b"R",
        lambda n: n + b"Q",
        lambda n: n + b")R",
        lambda n: n + b"}b",
        lambda n: b"ctorch._tensor\n_rebuild_from_type_v2\n" + n + b"R",
        lambda n: n,
        lambda n: dictionary({"w": n}),
    ],
)
def test_nests_in_every_place(nest, body):
    """A refusal, at once, that prints none of it."""
    start = time.process_time()
    refused(made(body(nest)), ".")
    assert time.process_time() - start < 3


def test_calls_within_calls_are_no_deep_recursion():
    function = b"ctorch._tensor\n_rebuild_from_type_v2\n"
    calls = b")q\x01" + (b"(" + function + b"ctorch\nTensor\nh\x01Ntq\x01") * 20_000
    refused(made(function + calls + b"R"), ".")
