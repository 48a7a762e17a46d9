"""Batches: order, crops and mirroring as functions of seed, epoch and sample."""

import numpy as np
import pytest
from small_data import numbered

from elq_ref.datasets import Augment, Batches
from elq_ref.splitmix import random_bits


def seen(batches, epoch, start=0):
    """{label: picture} of all batches from `start` on."""
    return {int(label): x for xs, ys in batches.epoch(epoch, start) for x, label in zip(xs, ys, strict=True)}


def test_every_picture_once_an_epoch_and_the_last_batch_smaller():
    batches = Batches(numbered(10), 4)
    sizes, labels = [], []
    for x, y in batches.epoch(0):
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        sizes.append(len(x))
        labels += y.tolist()
    assert sizes == [4, 4, 2]
    assert len(batches) == 3
    assert sorted(labels) == list(range(10))


def test_order_changes_with_epoch_and_seed_only():
    def order(seed, epoch, size=4):
        return [int(label) for _, y in Batches(numbered(50), size, seed=seed).epoch(epoch) for label in y]

    assert order(0, 0) == order(0, 0, 7)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    assert [y.tolist() for _, y in Batches(numbered(5), 2, shuffle=False).epoch(3)] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("augment", [None, Augment(2, True)])
def test_a_picture_does_not_depend_on_batch_size_order_or_start(augment):
    data = numbered(23, 3)
    whole = seen(Batches(data, 23, augment=augment, seed=5), 2)
    for batches in (
        Batches(data, 4, augment=augment, seed=5),
        Batches(data, 1, augment=augment, seed=5, shuffle=False),
    ):
        parts = seen(batches, 2)
        for label, x in whole.items():
            np.testing.assert_array_equal(parts[label], x)
    batches = Batches(data, 4, augment=augment, seed=5)
    rest = list(batches.epoch(2))[3:]
    resumed = list(batches.epoch(2, start=3))
    assert len(rest) == len(resumed) == 3
    for (x, y), (x2, y2) in zip(rest, resumed, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
    assert list(batches.epoch(2, start=6)) == []


def test_augmented_pictures_are_exactly_the_crops_of_the_padded_picture():
    """Each of the 2 * 5 * 5 possible pictures appears, and no other."""
    data, pad = numbered(1, 2), 2
    padded = np.zeros((2, 4 + 2 * pad, 5 + 2 * pad), np.float32)
    padded[:, pad:-pad, pad:-pad] = data.images[0]
    crops = [padded[:, r : r + 4, c : c + 5] for r in range(5) for c in range(5)]
    possible = {p.tobytes() for crop in crops for p in (crop, crop[:, :, ::-1])}
    batches = Batches(data, 1, augment=Augment(pad, True))
    found = {np.rint(x[0]).astype(np.float32).tobytes() for epoch in range(1000) for x, _ in batches.epoch(epoch)}
    assert len(possible) == 50
    assert found == possible  # misses one of 50 in 1000 draws with probability 50 * 0.98^1000 < 1e-7


def test_augmentation_leaves_the_data_alone():
    data = numbered(6)
    before = data.images.copy()
    for augment in (Augment(0, True), Augment(1, True)):
        seen(Batches(data, 3, augment=augment), 0)
    np.testing.assert_array_equal(data.images, before)


def test_random_bits_are_splitmix64_and_uniform():
    """The mixing against the published outputs of SplitMix64 from state 1234567; the rest by counting."""
    key = 0
    mask = (1 << 64) - 1

    def mix(z):
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        return z ^ z >> 31

    gamma = 0x9E3779B97F4A7C15
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [mix((1234567 + i * gamma) & mask) for i in (1, 2, 3)] == published
    for part in (7, 3, 1):
        key = mix((key + part + 1) * gamma & mask)
    wanted = [mix((key + (i + 1) * gamma) & mask) for i in range(4)]
    assert random_bits(7, 3, 1, np.arange(4)).tolist() == wanted

    draws = np.concatenate([random_bits(seed, epoch, 2, np.arange(1000)) for seed in range(10) for epoch in range(10)])
    assert len(set(draws.tolist())) == draws.size
    ones = [int((draws >> np.uint64(bit) & np.uint64(1)).sum()) for bit in range(64)]
    # standard deviation sqrt(n) / 2 = 158; six of them are passed once in 5e8 bits
    assert max(abs(n - draws.size / 2) for n in ones) < 6 * np.sqrt(draws.size) / 2


@pytest.mark.parametrize(("size", "options"), [(0, {}), (2, {"seed": -1}), (2, {"seed": 1 << 64})])
def test_batches_refuse(size, options):
    with pytest.raises(ValueError, match="wanted"):
        Batches(numbered(), size, **options)


@pytest.mark.parametrize(("epoch", "start"), [(-1, 0), (0, -1), (0, 4)])
def test_epochs_refuse(epoch, start):
    with pytest.raises(ValueError, match="wanted"):
        Batches(numbered(), 4).epoch(epoch, start)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((np.zeros((60, 1, 6, 6), np.uint8), 20), "batches of a ndarray, wanted a Dataset"),
        ((numbered(60), 20.0), r"batch_size is 20\.0, wanted an integer"),
        ((numbered(60), "20"), "batch_size is '20', wanted an integer"),
    ],
)
def test_what_is_no_data_set_or_no_number_is_said(given, said):
    with pytest.raises(TypeError, match=said):
        Batches(*given)
