"""Exported C, built by the compilers of this machine, gives the bits of the definition: results and every value."""

import shutil

import numpy as np
import pytest
from exported import SANITIZED, Library, Program, compiler, outputs
from random_nets import KINDS, random_network
from runtime_nets import random_pictures, small, with_int8

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
