"""Exported C, built by the compilers of this machine, gives the bits of the definition: results and every value."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from exported import SANITIZED, Library, Program, compiler, outputs
from random_nets import KINDS, random_network
from runtime_nets import network, random_codes, random_pictures, small, weighted, with_int8

from elq_ref.deploy import derive
from elq_ref.graph.codes import pack_codes
from elq_ref.runtime import Node, Weight

KINDS_OF_BUILD = [
    ("gcc", "-O0"),
    ("gcc", "-O2"),
    ("clang", "-O0"),
    ("clang", "-O3"),
    ("gcc", *SANITIZED),
    ("clang", *SANITIZED),
]


@pytest.mark.parametrize("kind", range(len(KINDS_OF_BUILD)), ids=lambda k: " ".join(KINDS_OF_BUILD[k][:2]))
def test_random_networks(kind, tmp_path):
    """One of every kind for each way to build, other ones each time; the options that change the text among them."""
    cc, *flags = KINDS_OF_BUILD[kind]
    if shutil.which(cc) is None:
        pytest.skip(f"there is no {cc} here")
    seeds = range(kind * len(KINDS), (kind + 1) * len(KINDS))
    options = {"split_weights": kind % 2 == 1, "prefer": ("size", "speed")[kind % 2]}
    Program(tmp_path, {f"n{seed}": random_network(seed) for seed in seeds}, **options).check(cc, *flags)


def test_an_arena_and_a_picture_at_odd_places(tmp_path):
    """A picture may lie anywhere; what the arena held before does not matter."""
    rng = np.random.default_rng(2)
    net = with_int8(small(rng), rng)
    compiler()
    library = Library(tmp_path, net)
    picture = random_pictures(rng, net, 1)
    odd = np.zeros(picture.size + 1, np.uint8)[1:]
    odd[:] = picture[0].transpose(1, 2, 0).ravel()
    raw, hashes, _ = outputs(library.export, net, picture)
    for fill in (0, 0xFF, 0x80):
        arena = np.full(library.arena_bytes // 4, fill * 0x01010101, np.uint32)
        found, seen = np.zeros(3, np.int32), np.zeros(library.layers, np.uint32)
        assert library.call("hashes", arena, arena.nbytes, odd, seen, found) == 0
        np.testing.assert_array_equal(found, raw[0])
        np.testing.assert_array_equal(seen, hashes[0])


def test_halves_are_rounded_up(tmp_path):
    """Scales that are powers of two: every second sum lies in the middle between two integers."""
    rng = np.random.default_rng(0)
    codes = pack_codes(random_codes(rng, "ternary", (30, 12)), "ternary")
    weight = Weight("ternary", (30, 12), codes, np.ones(1, np.float32))
    nodes = [
        Node("relu", "positive", ("input",)),
        Node("add", "sum", ("input", "positive")),
        Node("flatten", "flat", ("sum",)),
        Node("linear", "fc", ("flat",), {}, weight, np.ones(30, np.float32), np.zeros(30, np.float32)),
        weighted(rng, "linear", "out", "fc", "ternary", (3, 30)),
    ]
    net = network(nodes, (1, 3, 4), 3)
    scales = {"input": 2.0**-6, "sum": 2.0**-5, "fc": 2.0**-4, "out": 2.0**-3}
    net = replace(net, int8=derive(net, scales))
    add, linear = net.int8.constants["sum"], net.int8.constants["fc"]
    assert add.q1 == add.q2 == 1 << add.s - 1
    assert (linear.q == 1 << 30).all()
    pictures = random_pictures(rng, net, 20)
    library = Library(tmp_path, net)
    raw, hashes, _ = outputs(library.export, net, pictures)
    for k, picture in enumerate(pictures):
        found, seen, _ = library.hashes(picture)
        np.testing.assert_array_equal(seen, hashes[k])
        np.testing.assert_array_equal(found, raw[k])
