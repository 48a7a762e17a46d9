"""The fixed tree of additions: spans by their definition, sums to the bits whatever the runs."""

from itertools import pairwise

import numpy as np
import pytest

from elq_ref.parallel import World, tree


def nodes(first: int, last: int) -> list[tuple[int, int]]:
    """All spans of the tree, from its definition: the left half has one leaf more where they are uneven."""
    if last - first == 1:
        return [(first, last)]
    middle = last - (last - first) // 2
    return [(first, last), *nodes(first, middle), *nodes(middle, last)]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12, 13])
def test_spans_are_the_largest_nodes_inside_a_run(count):
    every = nodes(0, count)
    for first in range(count + 1):
        for last in range(first, count + 1):
            inside = [n for n in every if first <= n[0] and n[1] <= last]
            largest = [n for n in inside if not any(m[0] <= n[0] and n[1] <= m[1] and m != n for m in inside)]
            assert tree.spans((first, last), count) == sorted(largest)


def test_processes_that_are_a_power_of_two_send_one_span_each():
    for size, leaves in ((2, 6), (4, 3), (8, 5), (16, 1)):
        count = size * leaves
        assert [len(tree.spans(World(rank, size).run(count), count)) for rank in range(size)] == [1] * size


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 12, 20])
def test_any_number_of_processes_comes_to_the_same_bits(size):
    values = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32) * 10.0 ** np.arange(-3, 2)
    values = values.astype(np.float32)
    runs = [World(rank, size).run(12) for rank in range(size)]
    assert (runs[0][0], runs[-1][1]) == (0, 12)
    assert all(a[1] == b[0] for a, b in pairwise(runs))
    asked: list[int] = []

    def leaf(k: int) -> np.ndarray:
        asked.append(k)
        return values[k].copy()

    sums = {span: tree.summed(span, leaf) for run in runs for span in tree.spans(run, 12)}
    assert asked == list(range(12))
    halves = [values[3 * k] + values[3 * k + 1] + values[3 * k + 2] for k in range(4)]  # 12 -> 6, 6 -> 3, 3 -> 2 and 1
    expected = (halves[0] + halves[1]) + (halves[2] + halves[3])
    assert tree.joined((0, 12), sums).tobytes() == expected.tobytes()


def test_a_run_is_none_longer_than_another_by_more_than_one():
    for count in range(14):
        for size in range(1, 9):
            lengths = [b - a for a, b in (World(rank, size).run(count) for rank in range(size))]
            assert sum(lengths) == count
            assert max(lengths) - min(lengths) <= 1
