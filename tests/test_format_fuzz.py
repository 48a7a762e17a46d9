"""Damaged and hostile .elq files: one line of FormatError or a right answer, never anything else."""

import copy
import json

import numpy as np
import pytest
import safetensors.numpy
from runtime_nets import error_bounds, small

from elq_ref.errors import FormatError
from elq_ref.runtime import Session, load
from elq_ref.runtime.format import to_bytes
from elq_ref.runtime.interpreter import values

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


@pytest.fixture(scope="module")
def content():
    return to_bytes(small(np.random.default_rng(30)))


def outcome(path, content):
    """Whether `content` loads; if it does, what it computes is checked."""
    path.write_bytes(content)
    try:
        net = load(path)
    except FormatError as problem:
        error = str(problem)
    else:
        check_answer(net)
        return True
    assert "\n" not in error
    return False


def check_answer(net):
    """Session agrees with the interpreter within the bound of its roundings, wherever float32 does not
    overflow.
    """
    x = np.random.default_rng(31).standard_normal((1, *net.graph.input_shape)).astype(np.float32)
    with np.errstate(all="ignore"):
        wanted = values(net.graph, x, np.float64)
        y = Session(net)(x)
    assert y.shape == (1, len(net.metadata.classes))
    if max(np.abs(value).max() for value in wanted.values()) < 1e30:
        bound = error_bounds(net.graph, x)[net.graph.output] + 1e-30  # and underflow
        assert np.all(np.abs(y - wanted[net.graph.output]) <= bound)


def test_truncated_anywhere(content, tmp_path):
    lengths = np.unique(np.linspace(0, len(content) - 1, 300).astype(int))
    assert not any(outcome(tmp_path / "t.elq", content[:length]) for length in lengths)
    assert not outcome(tmp_path / "t.elq", content + b"\x00")
    assert outcome(tmp_path / "t.elq", content)


def test_one_byte_changed(content, tmp_path):
    rng = np.random.default_rng(32)
    loaded = 0
    for position in rng.integers(0, len(content), 1200):
        wrong = bytearray(content)
        wrong[position] ^= rng.integers(1, 256)
        loaded += outcome(tmp_path / "b.elq", bytes(wrong))
    assert 0 < loaded < 1200  # some changes are only another weight


def test_several_bytes_changed(content, tmp_path):
    rng = np.random.default_rng(33)
    for _ in range(300):
        wrong = np.frombuffer(content, np.uint8).copy()
        places = rng.integers(0, len(wrong), rng.integers(2, 12))
        wrong[places] = rng.integers(0, 256, len(places))
        outcome(tmp_path / "s.elq", wrong.tobytes())


def places(value, path=()):
    """Every member of a JSON value, by path."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def test_members_replaced_dropped_or_doubled(content, tmp_path):
    rng = np.random.default_rng(34)
    tensors = safetensors.numpy.load(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    text = json.loads(header["__metadata__"]["elq"])
    paths = list(places(text))[1:]
    for _ in range(700):
        wrong = copy.deepcopy(text)
        for _ in range(rng.integers(1, 3)):
            path = paths[rng.integers(len(paths))]
            place = wrong
            try:
                for key in path[:-1]:
                    place = place[key]
                if rng.random() < 0.1:
                    del place[path[-1]]
                elif rng.random() < 0.1 and isinstance(place, list):
                    place.append(copy.deepcopy(place[path[-1]]))
                else:
                    place[path[-1]] = copy.deepcopy(ODD[rng.integers(len(ODD))])
            except (KeyError, IndexError, TypeError):
                continue  # the second change went into what the first replaced
        outcome(tmp_path / "m.elq", safetensors.numpy.save(tensors, {"elq": json.dumps(wrong)}))
