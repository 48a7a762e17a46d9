"""Networks and Sessions go through pickle and copy, as multiprocessing wants it, and come back checked."""

import copy
import multiprocessing
import pickle

import numpy as np
import pytest
from runtime_nets import pooled, small

from elq_ref import datasets, models
from elq_ref.deploy import pack
from elq_ref.deploy.calibration import calibrate
from elq_ref.runtime import PackedNetwork, Session
from elq_ref.runtime.format import to_bytes

WAYS = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "oldest pickle": lambda value: pickle.loads(pickle.dumps(value, 0)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.fixture(scope="module")
def network() -> PackedNetwork:
    train = datasets.digits()[0]
    return calibrate(pack(models.digits_cnn(seed=1), train, quantized={}), train.images[:16])


def content(network: PackedNetwork) -> bytes:
    return to_bytes(network.graph, network.metadata, network.int8)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("levels", ["ternary", "binary", "float"])
def test_a_network_comes_back_as_it_was(way, levels):
    network = small(np.random.default_rng(3), levels)
    again = WAYS[way](network)
    assert content(again) == content(network)
    assert again.shapes == network.shapes
    for node in again.graph.nodes:
        arrays = (node.scale, node.bias, None if node.weight is None else node.weight.data)
        assert not any(array.flags.writeable for array in arrays if array is not None)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("activations", ["float32", "int8"])
def test_a_session_comes_back_and_gives_the_same_bits(network, way, activations):
    x = datasets.digits()[1].images[:9]
    session = Session(network, activations)
    wanted = session(x)
    again = WAYS[way](session)
    np.testing.assert_array_equal(again(x), wanted)
    assert (again.activations, again.metadata, again.summary()) == (activations, session.metadata, session.summary())
    if activations == "int8":
        np.testing.assert_array_equal(again.raw(x), session.raw(x))


@pytest.mark.parametrize("way", WAYS)
def test_a_session_of_more_work_than_usual_comes_back(way):
    network = pooled(2048, 1024, "avg_pool")
    with pytest.raises(ValueError, match="operations"):
        Session(network)
    session = Session(network, most_operations=network.operations)
    assert WAYS[way](session).input_shape == (1, 2048, 2048)


def test_what_was_changed_in_the_pickle_is_refused(network):
    data = pickle.dumps(network.graph.nodes[0], 0)
    with pytest.raises(ValueError, match="levels are 'tern'"):
        pickle.loads(data.replace(b"Vfloat\n", b"Vtern\n"))


@pytest.mark.parametrize("method", [m for m in multiprocessing.get_all_start_methods() if m != "fork"])
def test_multiprocessing_maps_a_session(network, method):
    x = datasets.digits()[1].images[:4]
    session = Session(network)
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map(session, [x[:2], x[2:]])
    np.testing.assert_array_equal(np.concatenate(found), session(x))
