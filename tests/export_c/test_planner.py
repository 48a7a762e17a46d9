"""The arena of exported C: no value is overwritten while somebody needs it, and none could be smaller."""

import itertools

import numpy as np
import pytest
from random_nets import random_network

from elq_ref.export_c.layers import Layer, layers_of
from elq_ref.export_c.planner import plan

ELEMENTS = {"relu", "add", "add_channels", "mul", "scale_shift", "slice", "subsample", "through_table"}
WINDOWS = {"max_pool", "max_pool_border", "avg_pool", "avg_pool_border", "adaptive_avg_pool"}


def layer(index, op, operands, size, **more):
    return Layer(index, f"v{index}", op, op, tuple(operands), 1, 1, 1, 1, 1, size, **more)


def may_write_where_it_reads(one):
    """Each element of the value comes from its own place or from later ones."""
    return one.op in ELEMENTS | WINDOWS and not one.apart


def random_layers(rng, count):
    """Layers of any sizes, each but the last read by some later one; the last writes for the caller."""
    layers = [layer(0, "input", (), int(rng.integers(1, 40)) * 4)]
    for index in range(1, count - 1):
        op = ["conv", "add", "relu", "max_pool", "pad"][rng.integers(5)]
        known = rng.integers(0, index, 2 if op == "add" else 1).tolist()
        size = layers[known[0]].bytes if op in ("add", "relu") else int(rng.integers(1, 40)) * 4
        if op == "add" and layers[known[1]].bytes != size:
            known[1] = known[0]
        if op == "max_pool":
            size = min(size, layers[known[0]].bytes)
        layers.append(layer(index, op, known, size))
    read = {i for one in layers for i in one.operands}
    unread = [i for i in range(len(layers)) if i not in read]
    return [*layers, layer(count - 1, "conv", unread, 8, raw=True)]


def most_held(layers, scratch, order):
    """Bytes that an order holds at once, in the plainest way: step by step, who is needed again."""
    peak, done = 0, []
    for i in order:
        later = [j for j in order if j not in done and j != i]
        kept = {j for j in done if any(j in layers[k].operands for k in [*later, i])}
        ends = [j for j in layers[i].operands if not any(j in layers[k].operands for k in later)]
        inside = may_write_where_it_reads(layers[i]) and any(layers[j].bytes >= layers[i].bytes for j in ends)
        own = 0 if inside or layers[i].raw else layers[i].bytes
        peak = max(peak, sum(layers[j].bytes for j in kept) + own + scratch[i])
        done.append(i)
    return peak


def orders(layers):
    for order in itertools.permutations(range(len(layers))):
        at = {i: place for place, i in enumerate(order)}
        if all(at[j] < at[one.index] for one in layers for j in one.operands):
            yield order


def check_nobody_is_overwritten(made, scratch):
    """Run the plan on an arena whose bytes know who wrote them last."""
    owner = np.full(made.bytes, -1)
    for one in made.layers:
        regions = [slice(made.at[j], made.at[j] + made.layers[j].bytes) for j in one.operands]
        for j, region in zip(one.operands, regions, strict=True):
            assert (owner[region] == j).all(), f"{one.op} {one.index} reads {j}, of which bytes are gone"
        own = slice(made.at[one.index], made.at[one.index] + one.bytes)
        assert own.stop <= made.bytes
        assert own.start % 4 == 0
        busy = np.zeros(made.bytes, bool)
        for region in regions:
            if not (may_write_where_it_reads(one) and region.start == own.start):
                busy[region] = True
        work = slice(made.scratch[one.index], made.scratch[one.index] + scratch[one.index])
        assert work.stop <= made.bytes
        assert work.start % 4 == 0
        assert not busy[own].any()
        busy[own] = True
        for region in regions:
            busy[region] = True
        assert not busy[work].any()
        owner[work], owner[own] = -1, one.index


@pytest.mark.parametrize("seed", range(60))
def test_no_order_needs_less_than_the_bound_and_nobody_is_overwritten(seed):
    rng = np.random.default_rng(seed)
    layers = random_layers(rng, int(rng.integers(3, 8)))
    scratch = (rng.integers(0, 3, len(layers)) * rng.integers(0, 20, len(layers)) * 4).tolist()
    made = plan(layers, scratch)
    nothing = [0] * len(layers)
    possible = list(orders(layers))
    assert made.exact
    assert made.bound == min(most_held(layers, nothing, order) for order in possible)
    assert [layers[i].name for i in made.order] == [one.name for one in made.layers]
    assert tuple(made.order) in possible
    least = min(most_held(layers, scratch, order) for order in possible)
    assert most_held(layers, scratch, made.order) == least
    assert made.bytes >= made.values >= made.bound
    check_nobody_is_overwritten(made, [scratch[i] for i in made.order])


def test_small_networks_are_within_a_tenth_of_the_bound():
    """Apart from what rounding to 4 bytes costs."""
    for seed in range(100):
        layers = layers_of(random_network(seed).int8)
        made = plan(layers, [0] * len(layers))
        assert made.bytes <= 1.1 * made.bound + 4 * len(layers)
        check_nobody_is_overwritten(made, [0] * len(layers))


def test_the_better_order_is_found():
    """Two branches from a large value: each first makes it large, then small; one after the other is better."""
    layers = [
        layer(0, "input", (), 8),
        layer(1, "conv", (0,), 400),
        layer(2, "conv", (0,), 400),
        layer(3, "conv", (1,), 4),
        layer(4, "conv", (2,), 4),
        layer(5, "add", (3, 4), 4),
        layer(6, "raw", (5,), 4, raw=True),
    ]
    made = plan(layers, [0] * 7)
    assert made.order == [0, 1, 3, 2, 4, 5, 6]
    assert made.bytes == made.bound == 8 + 4 + 400


def test_a_pool_in_place_leaves_room_behind_itself():
    layers = [
        layer(0, "input", (), 100),
        layer(1, "conv", (0,), 400),
        layer(2, "max_pool", (1,), 100),
        layer(3, "conv", (2,), 400),
        layer(4, "raw", (3,), 4, raw=True),
    ]
    made = plan(layers, [0] * 5)
    assert made.at[2] == made.at[1]
    assert made.bytes == made.bound == 500


def test_without_an_exact_bound_it_is_what_a_layer_holds():
    """Twelve values of which each is read at the end only: more sets of finished layers than are looked at."""
    count = 16
    layers = [layer(0, "input", (), 4), *(layer(i, "conv", (0,), 40 + i) for i in range(1, count))]
    last = count
    for i in range(1, count):
        layers.append(layer(last, "pad", (i,), 100))
        last += 1
    layers.append(layer(last, "conv", range(count, last), 4, raw=True))
    made = plan(layers, [0] * len(layers))
    assert not made.exact
    assert made.bound == 100 * (count - 1)
    assert made.bytes >= made.bound
    check_nobody_is_overwritten(made, [0] * len(layers))
