"""10,000 damaged and hostile .elq files: one line of FormatError or a right answer, never anything else.

Every file that loads is run, with float and, where it has them, int8 activations. Loading may take no more memory than
a small multiple of the file.
"""

import copy
import json
import time
from pathlib import Path

import numpy as np
import pytest
from fuzz_targets import SECONDS, check_answer, limited_memory
from runtime_nets import content_of, modern, packed, small, with_int8

from elq_ref.errors import FormatError
from elq_ref.runtime import Session, load

pytestmark = pytest.mark.kernels

ODD = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    3,
    7,
    255,
    2**31,
    2**63,
    2**64,
    -(2**70),
    10**30,
    0.5,
    -0.0,
    1e30,
    "",
    "x",
    "input",
    "conv1",
    "fc2",
    "relu",
    "ternary",
    "binary",
    "float",
    "U8",
    "I32",
    "F32",
    [],
    [0],
    [1, 1],
    [2, 2],
    [-1, 3],
    [2**62, 2**62],
    [1, 2, 3],
    [[1]],
    {},
    {"op": "relu"},
]


@pytest.fixture(scope="module", params=["float", "with int8", "newer ops"])
def content(request):
    rng = np.random.default_rng(30)
    net = modern(rng) if request.param == "newer ops" else small(rng)
    return content_of(net if request.param == "float" else with_int8(net, rng))


def outcome(path, content):
    """Whether `content` loads; if it does, what it computes is checked."""
    path.write_bytes(content)
    start = time.monotonic()
    try:
        with limited_memory():
            net = load(path)
    except FormatError as problem:
        error = str(problem)
        assert "\n" not in error
        net = None
    assert time.monotonic() - start < SECONDS
    if net is not None:
        check_answer(net)
    return net is not None


def test_truncated_anywhere(content, tmp_path):
    lengths = np.unique(np.linspace(0, len(content) - 1, 500).astype(int))
    assert not any(outcome(tmp_path / "t.elq", content[:length]) for length in lengths)
    assert not outcome(tmp_path / "t.elq", content + b"\x00")
    assert outcome(tmp_path / "t.elq", content)


def test_one_byte_changed(content, tmp_path):
    rng = np.random.default_rng(32)
    loaded = 0
    for position in rng.integers(0, len(content), 1700):
        wrong = bytearray(content)
        wrong[position] ^= rng.integers(1, 256)
        loaded += outcome(tmp_path / "b.elq", bytes(wrong))
    assert 0 < loaded < 1700  # some changes are only another weight


def test_several_bytes_changed(content, tmp_path):
    rng = np.random.default_rng(33)
    for _ in range(700):
        wrong = np.frombuffer(content, np.uint8).copy()
        places = rng.integers(0, len(wrong), rng.integers(2, 12))
        wrong[places] = rng.integers(0, 256, len(places))
        outcome(tmp_path / "s.elq", wrong.tobytes())


def test_parts_cut_out_doubled_or_moved(content, tmp_path):
    rng = np.random.default_rng(36)
    for _ in range(400):
        a, b, c = sorted(rng.integers(0, len(content), 3))
        outcome(tmp_path / "p.elq", content[:a] + content[b:])
        wrong = [content[:b] + content[a:], content[:a] + content[b:c] + content[a:b] + content[c:]]
        outcome(tmp_path / "p.elq", wrong[rng.integers(2)])


def test_another_length_of_the_header(content, tmp_path):
    rng = np.random.default_rng(37)
    lengths = [0, 1, 2, 2**24, 2**24 + 1, 2**31, 2**63, 2**64 - 1, *map(int, rng.integers(0, 2 * len(content), 100))]
    true = int.from_bytes(content[:8], "little")
    for length in lengths:
        assert outcome(tmp_path / "h.elq", length.to_bytes(8, "little") + content[8:]) == (length == true)


def places(value, path=()):
    """Every member of a JSON value, by path."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def mutated(rng, text, paths):
    """A copy of the JSON value with one or two members replaced, dropped or doubled."""
    wrong = copy.deepcopy(text)
    for _ in range(rng.integers(1, 3)):
        path = paths[rng.integers(len(paths))]
        place = wrong
        try:
            for key in path[:-1]:
                place = place[key]
            old = place[path[-1]]
            how = rng.random()
            if how < 0.1:
                del place[path[-1]]
            elif how < 0.2 and isinstance(place, list):
                place.append(copy.deepcopy(old))
            elif how < 0.5 and type(old) in (int, float):
                near, far = old + int(rng.integers(-3, 4)), old * 2.0 ** int(rng.integers(-40, 41))
                place[path[-1]] = near if how < 0.4 else far
            else:
                place[path[-1]] = copy.deepcopy(ODD[rng.integers(len(ODD))])
        except (KeyError, IndexError, TypeError):
            continue  # the second change went into what the first replaced
    return wrong


def split(content):
    """(safetensors' header, the JSON text in it, the bytes of the tensors)."""
    length = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:length])
    return header, json.loads(header["__metadata__"]["elq"]), content[length:]


def joined(header, data):
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def test_members_of_the_text_replaced_dropped_or_doubled(content, tmp_path):
    rng = np.random.default_rng(34)
    header, text, data = split(content)
    paths = list(places(text))[1:]
    loaded = 0
    for _ in range(1200):
        wrong = dict(header, __metadata__={"elq": json.dumps(mutated(rng, text, paths))})
        loaded += outcome(tmp_path / "m.elq", joined(wrong, data))
    assert loaded  # other names of classes, for one


def test_members_of_the_header_replaced_dropped_or_doubled(content, tmp_path):
    """Types, shapes and offsets of tensors, which safetensors itself reads."""
    rng = np.random.default_rng(35)
    header, _, data = split(content)
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    paths = list(places(tensors))[1:]
    for _ in range(600):
        wrong = mutated(rng, tensors, paths)
        outcome(tmp_path / "h.elq", joined({"__metadata__": header["__metadata__"]} | wrong, data))


@pytest.mark.parametrize("make", [small, modern])
def test_numbers_of_the_int8_part(make, tmp_path):
    """Every integer that int8 inference computes with, set to the ends of its type or of its range, or near them."""
    rng = np.random.default_rng(38)
    content = content_of(with_int8(make(rng), rng))
    header, _, data = split(content)
    numbers = [0, 1, 32, 33, 34, 62, 63, 255, -1, -128, 127, 2**30 - 1, 2**30, 2**31 - 1, -(2**31)]
    kinds = {"b": "<i4", "q": "<i4", "s": "u1", "table": "i1", "factor": "<i4", "conv1.trits": "u1"}
    kinds |= {"fc2.int8": "i1"} if make is small else {"tables": "i1", "slope": "<i4"}
    loaded = 0
    for _ in range(600):
        wrong = bytearray(data)
        for name in rng.choice(list(kinds), rng.integers(1, 4), replace=False):
            first, last = header[name]["data_offsets"]
            array = np.frombuffer(wrong, np.uint8)[first:last].view(kinds[name])
            array[rng.integers(len(array))] = np.array(numbers[rng.integers(len(numbers))]).astype(kinds[name])
        loaded += outcome(tmp_path / "n.elq", joined(header, bytes(wrong)))
    assert 0 < loaded < 600


@pytest.fixture(scope="module")
def resnet20():
    path = Path(__file__).parents[1] / "data" / "resnet20-ternary.elq"
    net = load(path)
    rng = np.random.default_rng(39)
    return [path.read_bytes(), content_of(with_int8(net, rng))]


def test_a_real_network(resnet20, tmp_path):
    rng = np.random.default_rng(40)
    for content in resnet20:
        header = 8 + int.from_bytes(content[:8], "little")
        for k in range(60):
            wrong = bytearray(content)
            wrong[rng.integers(0, header if k % 2 else len(content))] ^= rng.integers(1, 256)
            path = tmp_path / "r.elq"
            path.write_bytes(wrong[: rng.integers(len(wrong))] if k % 5 == 0 else wrong)
            try:
                with limited_memory():
                    net = load(path)
            except FormatError:
                continue
            for activations in ("float32", "int8")[: 1 if net.int8 is None else 2]:
                assert Session(net, activations)(np.zeros((1, 3, 32, 32), np.uint8)).shape == (1, 10)
    assert packed(resnet20[1]).int8 is not None
