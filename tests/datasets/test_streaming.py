"""Pictures in files look like an array of them; threads and cache change no bit; what goes wrong ends the threads."""

import itertools
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from photographs import photographs, smooth
from PIL import Image

from elq_ref import SGD, Plan, State, fit, models
from elq_ref.datasets import (
    Augment,
    Batches,
    Cache,
    Dataset,
    PictureFiles,
    RandomResizedCrop,
    Reading,
    default_augment,
    folder,
    hold_out,
)
from elq_ref.datasets.streaming import ahead
from elq_ref.errors import FormatError
from elq_ref.pictures import read_picture
from elq_ref.training.evaluate import count_correct


@pytest.fixture
def pair(tmp_path):
    return folder(photographs(tmp_path), (3, 24, 24))


def threads() -> int:
    return sum(thread.name.startswith("elq-pictures") for thread in threading.enumerate())


def with_reading(dataset: Dataset, workers: int, cache: int) -> Dataset:
    images = dataset.images
    reading = Reading(workers=workers, cache=Cache(cache))
    return replace(dataset, images=PictureFiles(images.root, images.names, images.input_shape, images.resize, reading))


def test_any_index_is_that_of_the_array(pair):
    images = pair[0].images
    whole = np.stack([read_picture(images.path(k), (3, 24, 24), "crop") for k in range(12)])
    assert (images.shape, images.ndim, images.dtype, len(images)) == ((12, 3, 24, 24), 4, np.uint8, 12)
    np.testing.assert_array_equal(np.asarray(images), whole)
    mask = np.arange(12) % 3 == 0
    for index in (3, -1, slice(2, 9, 2), [5, 0, 5], np.array([], int), mask, slice(None), np.array([[1, 2], [3, 4]])):
        found = images[index]
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, whole[index])
        if not isinstance(index, int) and np.ndim(index) < 2:
            np.testing.assert_array_equal(images.subset(index)[:], whole[index])
    with pytest.raises(IndexError):
        images[12]


def test_a_data_set_of_files_is_one_of_arrays_to_all_who_use_it(pair):
    train, _ = pair
    array = replace(train, images=train.images[:])
    np.testing.assert_array_equal(train.normalized([3, 1]), array.normalized([3, 1]))
    np.testing.assert_array_equal(train.normalized(), array.normalized())
    for files, arrays in zip(hold_out(train, 5), hold_out(array, 5), strict=True):
        assert isinstance(files.images, PictureFiles)
        np.testing.assert_array_equal(files.images[:], arrays.images)
    augment = Augment(2, True)
    for (x, y), (x2, y2) in zip(
        Batches(train, 5, augment=augment).epoch(1), Batches(array, 5, augment=augment).epoch(1), strict=True
    ):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
    net = models.resnet20((3, 24, 24), 3)
    assert count_correct(net, train, 5) == count_correct(net, array, 5)
    with pytest.raises(TypeError, match="wants pictures in files"):
        Batches(array, 5, augment=RandomResizedCrop())


@pytest.mark.parametrize("augment", [None, Augment(1, True), RandomResizedCrop()])
def test_threads_and_cache_change_no_bit(pair, augment):
    train = pair[0]
    found = set()
    for workers, cache in itertools.product((1, 2, 7), (0, 30_000, 1 << 30)):
        batches = Batches(with_reading(train, workers, cache), 5, augment=augment, seed=2)
        seen = [(x.tobytes(), y.tobytes()) for epoch in (0, 1) for x, y in batches.epoch(epoch)]
        found.add(tuple(seen))
        resumed = [(x.tobytes(), y.tobytes()) for x, y in batches.epoch(1, 2)]
        assert resumed == seen[5:]
    assert len(found) == 1


@pytest.mark.parametrize("augment", [None, Augment(1, True), RandomResizedCrop()])
def test_a_part_of_a_batch_is_read_alone(pair, augment, monkeypatch):
    """Of 10 pictures four; of the last 2 none, which is a batch all the same."""
    train = pair[0]
    batches = Batches(with_reading(train, 2, 0), 10, augment=augment)
    whole = list(batches.epoch(1))
    read, path = [], PictureFiles.path
    monkeypatch.setattr(PictureFiles, "path", lambda self, index: read.append(index) or path(self, index))
    parts = list(batches.epoch(1, 0, lambda samples: samples[3:7]))
    assert sorted(read) == sorted(batches.order(1)[3:7].tolist())
    assert [len(x) for x, _ in parts] == [4, 0]
    for (x, labels), (all_x, all_labels) in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(x, all_x[3:7])
        np.testing.assert_array_equal(labels, all_labels[3:7])


def test_the_cache_keeps_what_fits_and_no_more(pair, monkeypatch):
    reads = []
    monkeypatch.setattr("elq_ref.pictures.read_picture", lambda *a: reads.append(a[0]) or read_picture(*a))
    one = 3 * 24 * 24
    for size, decoded in ((0, 24), (one - 1, 24), (5 * one, 12 + 7), (12 * one, 12)):
        reads.clear()
        train = with_reading(pair[0], 3, size)
        for _ in range(2):
            train.images[:]
        assert len(reads) == decoded
        assert train.images.reading.cache.used == min(size // one, 12) * one <= size
    with pytest.raises(ValueError, match="a cache of -1 bytes"):
        Cache(-1)
    with pytest.raises(ValueError, match="0 threads"):
        Reading(workers=0)


def test_pictures_of_several_sizes_and_rules_share_a_cache(pair):
    images = pair[0].images
    for shape, rule in (((3, 24, 24), "stretch"), ((3, 12, 30), "crop"), ((1, 24, 24), "crop"), ((3, 24, 24), "crop")):
        others = PictureFiles(images.root, images.names, shape, rule, images.reading)
        for _ in range(2):
            np.testing.assert_array_equal(others[2], read_picture(images.path(2), shape, rule))
            assert others.original(2).shape[2] == shape[0]


def test_a_run_that_is_resumed_sees_the_same_pictures(pair, tmp_path):
    train, sgd = pair[0], SGD(lr=0.05)

    def batches(workers):
        data = with_reading(train, workers, 10_000 * workers)
        return Batches(data, 4, augment=default_augment(data), seed=3)

    whole = models.resnet20((3, 24, 24), 3)
    for step in fit(whole, batches(1), 3, sgd):
        if step.step == 4:
            step.state.save(tmp_path / "state.safetensors")
    again = models.resnet20((3, 24, 24), 3)
    state = State.load(tmp_path / "state.safetensors", again)
    for _ in fit(again, batches(3), 3, state=state):
        pass
    for name, value in whole.state_dict().items():
        np.testing.assert_array_equal(value, again.state_dict()[name])
    fewer = replace(train, images=train.images.subset([0] * 12))
    other = State.load(tmp_path / "state.safetensors", again)
    with pytest.raises(ValueError, match="the run was made with batches"):
        fit(again, Batches(fewer, 4, augment=default_augment(fewer), seed=3), 3, state=other).__next__()


def test_results_come_in_order_and_no_further_ahead_than_the_window():
    begun = []

    def task(k):
        begun.append(k)
        time.sleep(0.01 * (k % 3))
        return k

    results = ahead((lambda k=k: task(k) for k in range(50)), 4, 6)
    for k in range(50):
        assert next(results) == k
        assert len(begun) <= k + 7 + 1
    assert list(results) == []
    assert threads() == 0


def test_a_broken_picture_in_training_is_named_once_and_the_threads_end(pair):
    train = pair[0]
    broken = train.images.path(int(Batches(train, 3, seed=1).order(0)[7]))
    stream = Batches(train, 3, augment=RandomResizedCrop(), seed=1).epoch(0)
    with open(broken, "wb") as file:
        file.write(b"no picture at all")
    assert len([next(stream), next(stream)]) == 2
    with pytest.raises(FormatError, match="no picture of a known format") as caught:
        next(stream)
    assert broken in str(caught.value)
    assert threads() == 0


def test_leaving_the_loop_ends_the_threads(pair, monkeypatch):
    train, going = pair[0], threading.Event()

    def slow(*arguments):
        going.set()
        time.sleep(0.05)
        return read_picture(*arguments)

    monkeypatch.setattr("elq_ref.pictures.read_picture", slow)
    stream = Batches(with_reading(train, 2, 0), 4).epoch(0)
    next(stream)
    assert threads() == 2
    stream.close()
    assert threads() == 0

    def interrupted():
        for _ in Batches(with_reading(train, 2, 0), 4).epoch(0):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert threads() == 0


def test_nothing_but_the_cache_is_kept_in_memory(tmp_path):
    """40 pictures of 1.7 MB each, in batches of 4: far less than all of them at a time."""
    import tracemalloc

    for k in range(40):
        path = tmp_path / "train" / "ab"[k % 2] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth(k % 3, 750, 750)).save(path, compress_level=1)
    train, _ = folder(tmp_path, (3, 224, 224), held_out=1, reading=Reading(workers=2, cache=Cache(4_000_000)))
    tracemalloc.start()
    for _ in Batches(train, 4, augment=default_augment(train)).epoch(0):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert train.images.reading.cache.used > 3_000_000
    assert peak < 4_000_000 + 4 * 750 * 750 * 3 + 8 * 4 * 224 * 224 * 3 * 4  # cache, threads, batches


def test_a_plan_of_quantization_runs_on_files(pair):
    from elq_ref import quantize

    train, _ = pair
    net = models.resnet20((3, 24, 24), 3)
    batches = Batches(train, 4, augment=default_augment(train))
    last = [step.frozen for step in quantize(net, batches, Plan("ternary", sigma2=(0.0,), epochs=(1, 1)), SGD(0.01))]
    assert last[-1] == 1.0
