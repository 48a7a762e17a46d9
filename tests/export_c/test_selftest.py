"""The self-test of exported C: any bit of any constant that flips is found, and its layer named."""

import ctypes
import mmap
import re
import shutil
import subprocess

import numpy as np
import pytest
from exported import Library
from runtime_nets import modern, network, small, weighted, with_int8

from elq_ref.runtime import Node

FLIPS = 1000


class Writable:
    """The constants of a loaded library, by name, as bytes that can be written to."""

    def __init__(self, library):
        if shutil.which("nm") is None:
            pytest.skip("there is no nm here")
        said = subprocess.run(["nm", "-S", str(library.path)], capture_output=True, text=True, check=True).stdout
        found = re.findall(r"^([0-9a-f]+) ([0-9a-f]+) [rR] (\w[\w.]*)$", said, re.M)
        self.places = {name: (int(at, 16), int(size, 16)) for at, size, name in found}
        factor = f"{library.name}_factor"
        self.base = ctypes.addressof(ctypes.c_char.in_dll(library.c, factor)) - self.places[factor][0]
        self.libc = ctypes.CDLL(None, use_errno=True)

    def bytes(self, name):
        at, size = self.places[name]
        start = (self.base + at) // mmap.PAGESIZE * mmap.PAGESIZE
        length = self.base + at + size - start
        assert (
            self.libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.PROT_READ | mmap.PROT_WRITE) == 0
        )
        return (ctypes.c_uint8 * size).from_address(self.base + at)


def owner(library, name, byte):
    """Which layer a byte of a constant belongs to: 1 + its number; None for what all share."""
    if found := re.fullmatch(r"(?:kws_)?(?:constants|weights)(\d+)", name):
        return 1 + int(found[1])
    if name in ("values", "expected"):
        return 1 + byte // 8
    return library.layers if name == "kws_factor" else None


def some_network(rng):
    """Every op, a constant channel and a channel without a weight among its constants."""
    net = small(rng)
    nodes = list(net.graph.nodes)
    scale = nodes[0].scale.copy()
    scale[1] = 0
    nodes[0] = type(nodes[0])(
        nodes[0].op, nodes[0].name, nodes[0].inputs, nodes[0].attributes, nodes[0].weight, scale, nodes[0].bias
    )
    return with_int8(network(nodes, net.graph.input_shape, 3), rng)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("made", [some_network, lambda rng: with_int8(modern(rng), rng, 1.5)], ids=("first", "modern"))
def test_a_thousand_flipped_bits_are_found(made, split, tmp_path):
    rng = np.random.default_rng(8)
    library = Library(tmp_path, made(rng), split_weights=split)
    assert library.selftest() == 0
    constants = Writable(library)
    chosen = [name for name in constants.places if name != "names" and not name.startswith("names.")]
    assert sum(size for _, size in constants.places.values()) == library.export.contents.constant_bytes
    sizes = np.array([constants.places[name][1] for name in chosen])
    views = {name: constants.bytes(name) for name in chosen}
    seen = set()
    for k in range(FLIPS):  # one half anywhere, the other in all arrays alike
        name = chosen[int(rng.choice(len(chosen), p=sizes / sizes.sum() if k % 2 else None))]
        byte, bit = int(rng.integers(constants.places[name][1])), 1 << int(rng.integers(8))
        views[name][byte] ^= bit
        said = library.selftest()
        views[name][byte] ^= bit
        wanted = owner(library, name, byte)
        assert said == wanted if wanted else said > 0, f"bit {bit} of byte {byte} of {name}: {said}"
        seen.add(name)
    assert library.selftest() == 0
    assert seen == set(chosen)


def test_bits_that_no_picture_shows(tmp_path):
    """Weights of a constant channel: every value stays what it was, and the self-test says their layer all the same."""
    rng = np.random.default_rng(3)
    net = some_network(rng)
    assert net.int8.nodes[0].requantize.constant.tolist() == [False, True, False, False]
    library = Library(tmp_path, net, prefer="size")
    picture = rng.integers(0, 256, (2, 7, 6)).astype(np.uint8)
    before = library.hashes(picture)
    weights = Writable(library).bytes("weights1")
    hidden = 0
    for bit in range(8 * len(weights)):
        weights[bit // 8] ^= 1 << bit % 8
        hidden += (library.hashes(picture)[1] == before[1]).all()
        assert library.selftest() == 2
        weights[bit // 8] ^= 1 << bit % 8
    assert hidden >= 18 * 2  # the channel has 18 weights
    assert library.layer_name(1) == "conv1"


def test_a_compiler_that_computes_something_else_is_found(tmp_path):
    """The second half of the self-test: the constants are right, the code is not."""
    rng = np.random.default_rng(4)
    library = Library(tmp_path, some_network(rng))
    source = tmp_path / "kws.c"
    text = source.read_text()
    changed = text.replace("if (element > most) most = element;", "if (element < most) most = element;")
    assert changed != text
    source.write_text(changed)
    subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(tmp_path / "other.so")], check=True)
    other = ctypes.CDLL(str(tmp_path / "other.so"))
    arena = library.arena()
    said = other.kws_selftest(arena.ctypes.data_as(ctypes.c_void_p), arena.nbytes)
    other.kws_layer_name.restype = ctypes.c_char_p
    assert other.kws_layer_name(said - 1) == b"largest"


def test_the_hash_is_that_of_zlib(tmp_path):
    """A network of one layer: what is hashed can be seen whole."""
    import zlib

    rng = np.random.default_rng(5)
    nodes = [Node("flatten", "flat", ("input",)), weighted(rng, "linear", "fc", "flat", "ternary", (3, 24))]
    net = with_int8(network(nodes, (2, 3, 4), 3), rng)
    library = Library(tmp_path, net)
    picture = rng.integers(0, 256, (2, 3, 4)).astype(np.uint8)
    raw, hashes, _ = library.hashes(picture)
    value = net.int8.table[np.arange(2)[:, None, None], picture].transpose(1, 2, 0)
    assert hashes.tolist() == [zlib.crc32(value.tobytes()), zlib.crc32(raw.astype("<i4").tobytes())]
