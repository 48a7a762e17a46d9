"""Files that are no packed networks, and what a network that was read can be asked."""

import numpy as np
import pytest
from runtime_nets import content_of, network, pooled, small, with_int8
from runtime_nets import packed as read_back
from small_runs import batches, small_net

from elq_ref import checkpoint
from elq_ref.errors import FormatError
from elq_ref.runtime import Node, Session, container, info, load, native, packed
from elq_ref.runtime.container import MAX_FILE, is_packed

pytestmark = pytest.mark.kernels


def test_a_file_of_any_size_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "large.elq"
    with open(path, "wb") as file:
        file.truncate(MAX_FILE + 1)  # a hole: it takes no room
    with pytest.raises(FormatError, match=r"large\.elq: 2,147,483,649 bytes, at most 2,147,483,648 are read"):
        load(path)


def test_whether_a_file_is_packed(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(content_of(pooled(3, 2)))
    assert is_packed(path)
    checkpoint.save(small_net(), path, batches().dataset)
    assert not is_packed(path)
    with pytest.raises(FormatError, match=r"not an \.elq file: a checkpoint"):
        load(path)
    for content in (b"", b"\x01", (1 << 40).to_bytes(8, "little") + b"{}", b"\x02" + bytes(7) + b"{}", b"PK\x03\x04"):
        path.write_bytes(content)
        assert not is_packed(path)
    nest = b'{"__metadata__": {"elq": ' + b"[" * 100_000
    path.write_bytes(len(nest).to_bytes(8, "little") + nest)
    assert not is_packed(path)


def test_nests_in_the_text(tmp_path, monkeypatch):
    """json's own recursion ends in a RecursionError; so may what is checked afterwards."""
    path = tmp_path / "a.elq"
    path.write_bytes(content_of(pooled(3, 2)))

    def deep(*_):
        raise RecursionError("maximum recursion depth exceeded\nin a comparison")

    monkeypatch.setattr(packed, "from_bytes", deep)
    with pytest.raises(FormatError, match=r"a\.elq: maximum recursion depth exceeded in a comparison"):
        load(path)
    assert container.MAX_HEADER == 1 << 24


def test_what_runs_packed_layers(monkeypatch):
    found = info()
    if native._infer is None:
        assert (found["kernel"], found["kernels"], found["threads"]) == ("NumPy", [], 1)
        assert found["reason"]
    else:
        assert found["kernel"].startswith("C ")
        assert found["kernels"]
        assert found["reason"] is None
    monkeypatch.setattr(native, "_infer", None)
    assert info()["kernel"] == "NumPy"
    net = small(np.random.default_rng(1))
    assert all(line.endswith("NumPy") for line in net.summary().splitlines()[1:5])


def test_what_a_network_has_not():
    net = small(np.random.default_rng(1))
    with pytest.raises(ValueError, match="layer 'fc2' holds float weights, which have no alpha"):
        net.alpha("fc2")
    with pytest.raises(KeyError, match="there is no layer 'fc9'; there are: conv1, conv2, fc1, fc2"):
        net.codes("fc9")
    with pytest.raises(ValueError, match="float32 activations has no raw integers"):
        Session(net).raw(np.zeros((1, 2, 7, 6), np.uint8))


def test_int8_of_a_network_that_computes_nothing(tmp_path):
    """Nothing has a scale of its own but the input: the file has no constants, and comes back."""
    rng = np.random.default_rng(2)
    net = with_int8(network([Node("flatten", "flat", ("input",))], (3, 1, 1), 3), rng)
    again = read_back(content_of(net))
    assert content_of(again) == content_of(net)
    pictures = rng.integers(0, 256, (4, 3, 1, 1)).astype(np.uint8)
    looked_up = net.int8.table[np.arange(3), pictures[:, :, 0, 0]]
    np.testing.assert_array_equal(Session(again, "int8").raw(pictures), looked_up)
