"""The rarest refusals of the reader of PyTorch's files, and the rarest things that it takes, each in its own file."""

import io
import warnings
import zipfile

import numpy as np
import pytest
from torch_files import ORDERED_DICT, dictionary, number, old, pickled, sizes, storage, tensor, text, zipped

from elq_ref.checkpoint.torch_reader import tensors
from elq_ref.errors import FormatError

VALUES = np.arange(6, dtype="<f4") / 8
DATA = VALUES.tobytes()
W = tensor(storage("0", 6), (2, 3), (3, 1))
STATE = dictionary({"w": W})
SUBCLASS = b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch\nTensor\n"


def part(*values):
    """A tensor of a part of the storage, as the old format says it."""
    return tensor(storage("0", 6, behind=b"(" + b"".join(values) + b"t"), (2,), (1,))


def third(dtype, kind="FloatStorage"):
    """A tensor that says its dtype, in a storage of `kind`."""
    place = storage("0", 8 if kind == "UntypedStorage" else 6, kind)
    if kind == "UntypedStorage":
        place = place.replace(b"ctorch\n", b"ctorch.storage\n")
    call = b"ctorch._utils\n_rebuild_tensor_v3\n(" + place + number(0) + sizes((1,)) + sizes((1,))
    return call + b"\x89" + ORDERED_DICT + dtype + b"tR"


def refused(content, reason):
    with pytest.raises(FormatError, match=reason) as caught:
        tensors(content)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (number(3) + text("x") + b"\x93", "has a str as a name"),
        (text("x") + number(3) + b"\x93", "has a int as a name"),
        (dictionary({"w": part(text("0"), number(1))}), "has a tuple as its part"),
        (dictionary({"w": part(text("0"), number(1), text("x"))}), "has a tuple as its part"),
        (dictionary({"w": part(text("0"), number(3), number(4))}), "a part that reaches beyond it"),
        (
            dictionary({"a": part(text("0"), number(1), number(2)), "b": part(text("0"), number(2), number(2))}),
            "the part '0' of a storage lies in two places",
        ),
        (b"ccollections\nOrderedDict\n](" + number(1) + b"e\x85R", "makes a dictionary of what are no pairs"),
        (dictionary({"w": third(number(3))}), "a tensor with a int as dtype"),
        (dictionary({"w": third(b"ctorch\nfloat999\n")}), "is float999, which NumPy has not"),
        (dictionary({"w": third(b"ctorch\nint32\n")}), "is int32 in a storage of Float"),
        (dictionary({f"w{k}": third(f"ctorch\nuint{8 << k}\n".encode(), "UntypedStorage") for k in range(4)}
                    | {"w4": third(b"ctorch\nint8\n", "UntypedStorage")}), "in more than 4 ways"),
        (
            dictionary({"w": SUBCLASS + W[W.index(b"("):-2] + b"t" + number(3) + b"tR"}),
            "a tensor with a int as its attributes",
        ),
    ],
)  # fmt: skip
def test_refused(body, reason):
    data = DATA if b"Untyped" not in body else DATA[:8]
    refused(zipped(pickled(body), {"0": data}), reason)


def test_the_parts_of_a_storage():
    """As files of before PyTorch 0.4 share one: the tensor's own values count from where its part begins."""
    found = tensors(old(pickled(dictionary({"w": part(text("p"), number(3), number(2))})), {"0": (6, DATA)}))
    np.testing.assert_array_equal(found["w"], VALUES[3:5])


def test_notes_that_are_built_from_notes():
    """What an unknown name builds can be called, subscripted and marked over again; it stays a note."""
    unknown = b"cmy\nThing\n)R"
    notes = {
        "called": unknown + b")R",
        "with keywords": b"cmy\nThing\n)}\x92",
        "of a tensor's": b"ctorch._utils\n_rebuild_parameter\n(" + unknown + b"\x89" + ORDERED_DICT + b"tR",
        "marked": b"N(" + number(1) + number(2) + b"1",
    }
    found = tensors(zipped(pickled(dictionary(notes | {"w": W})), {"0": DATA}))
    assert list(found) == ["w"]
    np.testing.assert_array_equal(found["w"], VALUES.reshape(2, 3))


def test_a_storage_of_bytes_in_a_big_endian_zip():
    body = dictionary({"w": third(b"ctorch\nuint8\n", "UntypedStorage")})
    refused(zipped(pickled(body), {"0": DATA[:8]}, order=b"big"), "a storage of bytes in a big-endian file")


def test_two_entries_of_one_name():
    stream = io.BytesIO(zipped(pickled(STATE), {"0": DATA}))
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "a") as archive:
        warnings.simplefilter("ignore", UserWarning)
        archive.writestr("net/data/0", bytes(24))
    refused(stream.getvalue(), "two entries of one name")
