"""PyTorch's files without PyTorch: what is read, bit for bit, and what is refused without being run."""

import builtins
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from torch_files import (
    MAGIC,
    ORDERED_DICT,
    SYSTEM,
    dictionary,
    number,
    old,
    pickled,
    sizes,
    storage,
    tensor,
    text,
    zipped,
)

from elq_ref.checkpoint.torch_pickle import MAX_OPCODES
from elq_ref.checkpoint.torch_reader import tensors
from elq_ref.errors import FormatError

FORMATS = pytest.mark.parametrize("form", ["old", "zip"])
VALUES = np.arange(6, dtype="<f4") / 8
DATA = VALUES.tobytes()
MATRIX = {"w": tensor(storage("0", 6), (2, 3), (3, 1))}


def file_of(form, program, data=DATA, count=6):
    """A file with this pickle and one storage "0" of `count` values."""
    return old(program, {"0": (count, data)}) if form == "old" else zipped(program, {"0": data})


def made(form, body, *data):
    return file_of(form, pickled(body), *data)


def refused(content, reason="."):
    with pytest.raises(FormatError, match=reason) as caught:
        tensors(content)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


# What is read


@FORMATS
def test_views_of_one_storage(form):
    entries = {
        "matrix": tensor(storage("0", 6), (2, 3), (3, 1)),
        "transposed": tensor(storage("0", 6), (3, 2), (1, 3)),
        "tail": tensor(storage("0", 6), (2,), (2,), 3),
        "scalar": tensor(storage("0", 6), (), (), 5),
        "empty": tensor(storage("0", 6), (0, 3), (3, 1), 6),
        "one": tensor(storage("0", 6), (1, 1), (1 << 62, 7), 2),
    }
    expected = {
        "matrix": VALUES.reshape(2, 3),
        "transposed": VALUES.reshape(2, 3).T,
        "tail": VALUES[[3, 5]],
        "scalar": VALUES[5],
        "empty": np.empty((0, 3)),
        "one": VALUES[2].reshape(1, 1),
    }
    found = tensors(made(form, dictionary(entries)))
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == np.float32
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


KINDS = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


@FORMATS
@pytest.mark.parametrize("kind", KINDS)
def test_dtypes(form, kind):
    values = np.array([1, 0, 100]).astype(KINDS[kind])
    stored = values.astype(values.dtype.newbyteorder("<")).tobytes()
    found = tensors(made(form, dictionary({"w": tensor(storage("0", 3, kind), (3,), (1,))}), stored, 3))["w"]
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def test_bfloat16_becomes_float32():
    # a sign, 8 bits of exponent and 7 of fraction: 1.5, -2, 2 ** -126, infinity
    bits = struct.pack("<4H", 0x3FC0, 0xC000, 0x0080, 0x7F80)
    body = dictionary({"w": tensor(storage("0", 4, "BFloat16Storage"), (4,), (1,))})
    found = tensors(made("zip", body, bits))["w"]
    assert found.dtype == np.float32
    assert found.tolist() == [1.5, -2.0, 2.0**-126, np.inf]


@FORMATS
@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_training_scripts_notes_are_passed_over(form, key):
    notes = {"best_prec1": b"G" + struct.pack(">d", 91.78), "arch": text("resnet20"), "nothing": b"N"}
    notes |= {"lrs": b"](" + number(1) + number(2) + b"e", key: dictionary(MATRIX | {"note": number(3)})}
    assert list(tensors(made(form, dictionary(notes)))) == ["w"]


def test_what_a_state_dict_carries_beside_tensors():
    metadata = dictionary({"_metadata": dictionary({"": dictionary({"version": number(1)})})})
    first_version = MATRIX["w"].replace(b"_v2", b"").replace(b"\x89" + ORDERED_DICT, b"")
    parameter = b"ctorch._utils\n_rebuild_parameter\n(" + MATRIX["w"] + b"\x88" + ORDERED_DICT + b"tR"
    size = b"ctorch\nSize\n(" + sizes((2, 3)) + b"tR"
    entries = {"first": first_version, "parameter": parameter, "size": size}
    found = tensors(made("zip", dictionary(entries) + metadata + b"b"))
    assert list(found) == ["first", "parameter"]
    for array in found.values():
        np.testing.assert_array_equal(array, VALUES.reshape(2, 3))


def test_the_old_formats_views_of_storages():
    def body(behind):
        return dictionary({"w": tensor(storage("0", 6, behind=behind), (6,), (1,))})

    np.testing.assert_array_equal(tensors(made("old", body(b"N")))["w"], VALUES)
    part = tensor(storage("0", 6, behind=b"(" + text("1") + number(2) + number(3) + b"t"), (2,), (1,), 1)
    np.testing.assert_array_equal(tensors(made("old", dictionary({"w": part})))["w"], VALUES[3:5])
    refused(made("old", body(b"(" + text("1") + number(2) + number(3) + b"t")), "does not fit its storage of 3 values")
    refused(made("old", body(b"(" + text("1") + number(4) + number(3) + b"t")), "reaches beyond")


# What is refused: programs


class Call:
    """Pickled, it is a call of `function`, which Python's own unpickler makes."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


ATTACKS = {
    "system": lambda hit: Call(os.system, f"touch {hit}"),
    "eval": lambda hit: Call(eval, f"open({str(hit)!r}, 'w').close()"),
    "exec": lambda hit: Call(exec, f"open({str(hit)!r}, 'w').close()"),
    "mkdir": lambda hit: Call(os.mkdir, str(hit)),
    "map": lambda hit: Call(list, Call(map, builtins.eval, [f"open({str(hit)!r}, 'w').close()"])),
}


@FORMATS
@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_pickle_is_not_run(form, protocol, attack, tmp_path):
    hit = tmp_path / "hit"
    program = pickle.dumps({"state_dict": ATTACKS[attack](hit)}, protocol)
    refused(file_of(form, program))
    assert not hit.exists()
    pickle.loads(program)
    assert hit.exists()  # the attack is one


def test_the_name_that_a_pickle_asks_for_is_told():
    program = pickle.dumps(Call(os.system, "true"), 2)
    refused(file_of("zip", program), rf"asks for {os.system.__module__}\.system")
    refused(made("zip", b"ca\x1b[2J\nb\n"), r"asks for a\\x1b\[2J\.b")  # nothing that a terminal would obey


@FORMATS
@pytest.mark.parametrize(
    "body",
    [
        MATRIX["w"] + b"}" + text("shape") + number(1) + b"sb",  # attributes for a tensor
        b"ccollections\nOrderedDict\n}b",  # for the class itself
        b"]}b",
        b"ccollections\nOrderedDict\n" + text("os") + b"R",  # arguments that are no tuple
        b"ccollections\nOrderedDict\n](" + sizes((1, 2)) + b"e\x85R",
        b"ctorch\nFloatStorage\n)R",  # a type that only names a storage is called
        b"ctorch._utils\n_rebuild_tensor_v2\n)R",
        b"ctorch._utils\n_rebuild_parameter\n}\x85R",
        b"ctorch\nSize\n(" + text("ab") + b"tR",
        text("os.system") + b")R",  # a text is called
        MATRIX["w"] + b")R",
        MATRIX["w"] + text("a") + number(1) + b"s",  # items for a tensor
        b"}" + number(1) + b"a",  # an append to a dictionary
        b"}" + b"]" + number(1) + b"s",  # a key without a hash
        b"}(" + text("a") + b"u",  # a key without a value
        b"(ios\nsystem\n",  # INST
        b"(cbuiltins\neval\no",  # OBJ
        text("os") + text("system") + b"\x93",  # STACK_GLOBAL
        b"\x82\x01",  # a name by the number of a registry
        b"Pos.system\n",  # a persistent id of protocol 0
        b"h\x07",  # nothing was kept under 7
        b"0",
        b"t",
        b"",
        b"(",
        b"\xff",
    ],
)
def test_tricks_are_refused(form, body):
    refused(made(form, body))


def test_a_key_that_would_take_for_ever_to_hash():
    nested = b")q\x00" + b"h\x00h\x00\x86q\x00" * 200
    noted = nested + b"}h\x00" + number(1) + b"s" + text("w") + MATRIX["w"] + b"s"
    assert list(tensors(made("zip", noted))) == ["w"]


def test_deep_nesting_and_loops():
    refused(made("zip", b"(" * 100_000))
    refused(made("zip", b")" + b"\x85" * 100_000), "holds a tuple")
    refused(made("zip", b"}q\x00" + text("model") + b"h\x00s"), "no tensors")  # it contains itself


# What is refused: sizes


def peak(content):
    """Bytes taken while `content` is refused."""
    tracemalloc.start()
    try:
        refused(content)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


BAD = {
    "larger": tensor(storage("0", 6), (7,), (1,)),
    "reaches out": tensor(storage("0", 6), (2, 3), (4, 1)),
    "begins late": tensor(storage("0", 6), (6,), (1,), 1),
    "begins before": tensor(storage("0", 6), (2,), (1,), -1),
    "empty, begins outside": tensor(storage("0", 6), (0,), (1,), 7),
    "negative size": tensor(storage("0", 6), (-2,), (1,)),
    "negative sizes": tensor(storage("0", 6), (-2, -3), (3, 1)),
    "negative stride": tensor(storage("0", 6), (6,), (-1,), 5),
    "endless": tensor(storage("0", 6), (1 << 40,), (0,)),
    "endless and empty": tensor(storage("0", 6), (0, 1 << 62, 1 << 62), (0, 0, 0)),
    "overflowing": tensor(storage("0", 6), (1 << 32, 1 << 32), (1 << 32, 1)),
    "huge stride": tensor(storage("0", 6), (2,), (1 << 64,)),
    "huge numbers": tensor(storage("0", 6), (1 << 2000,) * 30, (1,) * 30),
    "more axes than strides": tensor(storage("0", 6), (2, 3), (1,)),
    "too many axes": tensor(storage("0", 6), (1,) * 65, (1,) * 65),
    "a size that is none": tensor(storage("0", 6), (2,), (1,)).replace(number(2), b"\x88"),
    "shape that is none": tensor(storage("0", 6), (2,), (1,)).replace(sizes((2,)), text("ab")),
    "huge storage": tensor(storage("0", 1 << 40), (1 << 40,), (1,)),
    "huger storage": tensor(storage("0", 1 << 2000), (1,), (1,)),
    "negative storage": tensor(storage("0", -1), (0,), (1,)),
    "storage counted by a truth": tensor(storage("0", 6).replace(number(6), b"\x88"), (1,), (1,)),
    "storage of another kind": tensor(storage("0", 6).replace(text("storage"), text("module")), (6,), (1,)),
    "storage without type": tensor(storage("0", 6).replace(b"ctorch\nFloatStorage\n", text("F")), (6,), (1,)),
    "storage of a function": tensor(storage("0", 6, "Size"), (6,), (1,)),
    "storage with a number as key": tensor(storage("0", 6).replace(text("0"), number(0)), (6,), (1,)),
    "no storage": tensor(text("0") + b"Q", (6,), (1,)),
    "no persistent id": tensor(b"}", (6,), (1,)),
}


@FORMATS
@pytest.mark.parametrize("what", BAD)
def test_sizes_that_do_not_fit(form, what):
    content = made(form, dictionary({"w": BAD[what]}))
    assert peak(content) < 1 << 20


@FORMATS
def test_one_storage_of_two_sizes(form):
    first, second = tensor(storage("0", 6), (6,), (1,)), tensor(storage("0", 3, "DoubleStorage"), (3,), (1,))
    refused(made(form, dictionary({"a": first, "b": second})), "two types or sizes")


@FORMATS
def test_a_storage_shorter_or_longer_than_stated(form):
    for values in (VALUES[:-1], np.append(VALUES, 0).astype("<f4")):
        refused(made(form, dictionary(MATRIX), values.tobytes(), 6))
        refused(made(form, dictionary(MATRIX), values.tobytes(), len(values)))


def test_the_old_formats_list_of_storages():
    program, data = pickled(dictionary(MATRIX)), (6, DATA)
    for storages in ({}, {"1": data}, {"0": data, "1": data}):
        refused(old(program, storages), "lists")
    for keys in (b"N", b"}", b"]" + number(0) + b"a", b"](" + text("0") * 2 + b"e"):
        refused(old(program, {"0": data}, keys), "list")
    refused(old(program, {"0": (-6, data[1])}), "has -6 values")
    refused(old(program, {"0": data}) + b"more", "4 bytes follow")


def test_the_old_formats_head():
    content = made("old", dictionary(MATRIX))
    refused(content.replace(b"M\xe9\x03.", b"M\xe8\x03."), "protocol is not 1001")
    refused(content.replace(b"\x88u.", b"\x89u."), "little-endian")


def test_zip_files_that_are_not_pytorchs():
    program = pickled(dictionary(MATRIX))
    refused(zipped(program, {"0": DATA}, compression=zipfile.ZIP_DEFLATED), "compressed")
    refused(zipped(program, {"0": DATA}, order=b"middle"), "wanted little or big")
    refused(zipped(program, {}), "'data/0' is missing")
    content = zipped(program, {"0": DATA})
    refused(content.replace(b"net/data.pkl", b"net/dota.pkl"), "without NAME/data.pkl")
    refused(content.replace(DATA, DATA[::-1]), "CRC")
    at = content.index(b"PK\x01\x02")  # the first entry of the directory: its sizes lie
    for size in (1 << 31, 1 << 20):
        lie = content[: at + 20] + struct.pack("<II", size, size) + content[at + 28 :]
        assert peak(lie) < 1 << 20


def test_a_zip_entry_that_lies_beyond_all_files():
    content = zipped(pickled(dictionary(MATRIX)), {"0": DATA})
    entry, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    name = entry + 46 + len("net/data.pkl")
    extra = struct.pack("<HHQ", 1, 8, (1 << 64) - 1)  # zip64: the offset in 64 bits
    directory = content[entry : entry + 30] + struct.pack("<H", len(extra)) + content[entry + 32 : entry + 42]
    directory += b"\xff" * 4 + content[entry + 46 : name] + extra + content[name:end]
    tail = content[end : end + 12] + struct.pack("<I", len(directory)) + content[end + 16 :]
    refused(content[:entry] + directory + tail, "damaged")


def test_what_is_refused_is_not_printed_whole():
    """24 pairs, each of the one before twice: written out, it would have 2^24 parts."""
    pairs = b")" + b"q\x05h\x05\x86" * 24
    assert peak(pickled(MAGIC) + pickled(pairs) + pickled(SYSTEM) + pickled(b"}") + pickled(b"]")) < 1 << 20
    shaped = tensor(storage("0", 6), (2,), (1,)).replace(sizes((2,)), pairs)
    assert peak(made("old", dictionary({"w": shaped}))) < 1 << 20


def test_a_million_objects_are_the_most():
    refused(made("zip", b"(" + b"N" * MAX_OPCODES), "opcodes")


@FORMATS
def test_cut_off_at_every_byte(form):
    content = made(form, dictionary(MATRIX))
    for length in range(16, len(content)):
        refused(content[:length])


@FORMATS
def test_any_byte_changed(form):
    """Another byte anywhere is refused or gives arrays, never another exception."""
    content = made(form, dictionary(MATRIX))
    for position in range(15, len(content)):
        for value in (0, content[position] ^ 1, 255):
            changed = content[:position] + bytes([value]) + content[position + 1 :]
            try:
                found = tensors(changed)
            except FormatError:
                continue
            assert all(isinstance(array, np.ndarray) and array.size <= 6 for array in found.values())


def test_what_holds_no_tensors():
    refused(made("zip", dictionary({})), "no tensors by name")
    refused(made("zip", MATRIX["w"]), "holds a view")
    refused(made("zip", b"]"), "holds a list")
