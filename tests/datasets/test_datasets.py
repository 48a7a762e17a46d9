"""Data sets, their readers, and batches."""

import gzip
import os
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_data import numbered

from elq_ref import datasets
from elq_ref.datasets import Augment, Dataset, Normalization, cifar
from elq_ref.datasets.idx import read_idx
from elq_ref.errors import FormatError
from elq_ref.graph import NetworkInfo


def data_folder(name: str) -> Path:
    """A data set's folder under ELQ_DATA, or a skip."""
    folder = Path(os.environ.get("ELQ_DATA", ""), name)
    if "ELQ_DATA" not in os.environ or not folder.is_dir():
        pytest.skip(f"no {name} under ELQ_DATA")
    return folder


# Dataset


def test_normalized_is_the_formula_rounded_once():
    images = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16).repeat(3, axis=1)
    norm = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    data = Dataset(images, np.zeros(1, np.int64), ("a",), norm, "x")
    for dtype in (np.float32, np.float64):
        found = data.normalized(dtype=dtype)
        assert found.dtype == dtype
        for c in range(3):
            wanted = [(v / 255 - norm.mean[c]) / norm.std[c] for v in range(256)]
            np.testing.assert_array_equal(found[0, c].ravel(), np.array(wanted).astype(dtype))


def test_subset_and_adapted():
    data = numbered()
    part = data.subset([7, 2])
    assert (len(part), part.labels.tolist(), part.input_shape) == (2, [7, 2], (1, 4, 5))
    np.testing.assert_array_equal(part.images[0], data.images[7])
    other = datasets.adapted(data, replace(NetworkInfo.of(data), normalization=Normalization((0.5,), (0.25,))))
    np.testing.assert_allclose(other.normalized([3]), (data.images[[3]] / 255 - 0.5) / 0.25, rtol=1e-6, atol=1e-6)
    for change, said in (
        ({"input_shape": (1, 5, 4)}, r"the network reads pictures \(1, 5, 4\), n has \(1, 4, 5\)"),
        ({"classes": ("a", "b")}, "the network knows 2 classes, n has 10"),
    ):
        with pytest.raises(ValueError, match=said):
            datasets.adapted(data, replace(NetworkInfo.of(data), **change))


def test_a_data_set_shows_what_it_is_in_a_line():
    assert repr(numbered(channels=3)) == "Dataset(n: 10 pictures 3x4x5, 10 classes)"
    assert repr(datasets.digits()[0]) == "Dataset(digits: 1,297 pictures 1x8x8, 10 classes)"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"images": np.zeros((2, 4, 5), np.uint8)}, r"uint8 \(2, 4, 5\), wanted uint8 \(N, C, H, W\)"),
        ({"images": np.zeros((2, 1, 4, 5))}, "images are float64"),
        ({"labels": np.zeros(3, np.int64)}, r"int64 \(3,\), wanted int64 \(2,\)"),
        ({"labels": np.array([0, 2])}, "labels are 0 to 2, wanted 0 to 1"),
        ({"labels": np.array([-1, 0])}, "labels are -1 to 0"),
        ({"images": np.zeros((2, 3, 4, 5), np.uint8)}, "3 channels, the normalization has 1"),
    ],
)
def test_dataset_refuses(change, text):
    good = {
        "images": np.zeros((2, 1, 4, 5), np.uint8),
        "labels": np.zeros(2, np.int64),
        "classes": ("a", "b"),
    }
    good |= {"normalization": Normalization((0.0,), (1.0,)), "name": "x"}
    Dataset(**good)
    with pytest.raises(ValueError, match=text):
        Dataset(**{**good, **change})


@pytest.mark.parametrize(("mean", "std"), [((0.0,), ()), ((), ()), ((0.0,), (0.0,)), ((float("nan"),), (1.0,))])
def test_normalization_refuses(mean, std):
    with pytest.raises(ValueError, match="wanted one finite number a channel each"):
        Normalization(mean, std)


# Digits


def test_digits_split_is_stratified_and_whole():
    train, test = datasets.digits()
    assert (len(train), len(test)) == (1297, 500)
    assert train.input_shape == test.input_shape == (1, 8, 8)
    counts = np.bincount(train.labels) + np.bincount(test.labels)
    assert np.abs(np.bincount(test.labels) - counts * 500 / 1797).max() < 1
    listed = datasets.bundled("digits-test.txt").read_text().split()
    assert len(set(listed)) == 500
    both = {image.tobytes() for image in train.images} & {image.tobytes() for image in test.images}
    assert not both  # no picture is in both parts


def test_digits_are_scikit_learns():
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    theirs = load_digits()
    listed = [int(line) for line in datasets.bundled("digits-test.txt").read_text().split()]
    _, test = datasets.digits()
    scaled = [int(np.floor(v * 255 / 16 + 0.5)) for v in range(17)]
    wanted = np.array(scaled)[theirs.images[listed].astype(int)]
    np.testing.assert_array_equal(test.images[:, 0], wanted)
    np.testing.assert_array_equal(test.labels, theirs.target[listed])


def test_digits_normalization_is_that_of_the_training_pictures():
    train, _ = datasets.digits()
    values = train.images / 255
    assert train.normalization.mean == (round(float(values.mean()), 4),)
    assert train.normalization.std == (round(float(values.std()), 4),)


# idx


def idx_bytes(array, magic=None):
    magic = bytes([0, 0, 8, array.ndim]) if magic is None else magic
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def mnist_folder(folder, images=None, labels=None, end=""):
    """Four small idx files."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 3, 2), dtype=np.uint8) if images is None else images
    labels = np.arange(len(images), dtype=np.uint8) if labels is None else labels
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx_bytes(array)
            path = folder / f"{part}-{kind}-ubyte{end}"
            path.write_bytes(gzip.compress(content) if end else content)
    return images, labels


@pytest.mark.parametrize("end", ["", ".gz"])
def test_mnist_plain_and_gzip(tmp_path, end):
    images, labels = mnist_folder(tmp_path, end=end)
    for part in datasets.mnist(tmp_path):
        np.testing.assert_array_equal(part.images, images[:, None])
        np.testing.assert_array_equal(part.labels, labels)
        assert part.normalization == Normalization((0.1307,), (0.3081,))


GOOD = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "wanted '00 00 08 03'"),
        (b"hello", "starts with '68 65 6c 6c'"),
        (GOOD[:10], "cut off: 10 bytes of header, wanted 16"),
        (b"\0\0\x0d\3" + GOOD[4:], "starts with '00 00 0d 03'"),
        (b"\0\0\x08\1" + GOOD[4:], "starts with '00 00 08 01'"),
        (GOOD[:-1], "(2, 3, 4)"),
        (GOOD + b"\0", "24 values, and has more"),
        (GOOD[:4] + b"\xff" * 12 + GOOD[16:], "cut off, no idx file"),
        (GOOD[:4] + b"\xff" * 8 + b"\0" * 4, "cut off, no idx file, or too large"),  # of no values, yet of 2^64 places
    ],
)
@pytest.mark.parametrize("end", ["", ".gz"])
def test_idx_refuses(tmp_path, content, text, end):
    path = tmp_path / f"a{end}"
    path.write_bytes(gzip.compress(content) if end else content)
    with pytest.raises(FormatError) as caught:
        read_idx(path, 3)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_gzip(tmp_path):
    packed = gzip.compress(GOOD)
    wrong = bytearray(packed)
    wrong[-5] ^= 1  # the checksum
    path = tmp_path / "a.gz"
    for content in (GOOD, packed[:-9], packed[:-1], packed[:20], bytes(wrong)):
        path.write_bytes(content)
        with pytest.raises(FormatError, match="not a whole gzip file"):
            read_idx(path, 3)


def test_gzip_bomb_takes_no_memory(tmp_path):
    """100 MB of zeros in 100 kB behind a header that states 24 values, or 10^9."""
    zeros = bytes(100_000_000)
    path = tmp_path / "a.gz"
    for shape in ((2, 3, 4), (1000, 1000, 1000)):
        path.write_bytes(gzip.compress(b"\0\0\x08\3" + struct.pack(">3I", *shape) + zeros, 1))
        tracemalloc.start()
        with pytest.raises(FormatError):
            read_idx(path, 3)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10_000_000


def test_labels_and_images_must_belong_together(tmp_path):
    mnist_folder(tmp_path / "a", labels=np.zeros(5, np.uint8))
    with pytest.raises(FormatError, match=r"images \(6, 3, 2\) and 5 labels"):
        datasets.mnist(tmp_path / "a")
    mnist_folder(tmp_path / "b", labels=np.array([0, 1, 2, 3, 4, 10], np.uint8))
    with pytest.raises(FormatError, match="the label 10, wanted 0 to 9"):
        datasets.mnist(tmp_path / "b")
    mnist_folder(tmp_path / "c", images=np.zeros((0, 3, 2), np.uint8))
    with pytest.raises(FormatError, match="0 labels"):
        datasets.mnist(tmp_path / "c")


# CIFAR-10


@pytest.fixture
def cifar_folder(tmp_path, monkeypatch):
    """Six files of 5 records instead of 10,000; picture i of file k is filled with 10 k + i, red first."""
    monkeypatch.setattr(cifar, "RECORDS", 5)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for k, name in enumerate([*cifar.PARTS["train"], *cifar.PARTS["test"]]):
        records = np.zeros((5, 3073), np.uint8)
        records[:, 0] = np.arange(5) + k % 6
        for i in range(5):
            records[i, 1:] = np.repeat([10 * k + i, 100, 200], 1024)
            records[i, 1 + 32 + 2] = 255  # red, row 1, column 2
        (folder / name).write_bytes(records.tobytes())
    return folder


def test_cifar10_layout(cifar_folder):
    train, test = datasets.cifar10(cifar_folder)
    assert (train.images.shape, test.images.shape) == ((25, 3, 32, 32), (5, 3, 32, 32))
    for k in range(5):
        for i in range(5):
            picture = train.images[5 * k + i]
            assert train.labels[5 * k + i] == i + k
            assert [picture[c, 0, 0] for c in range(3)] == [10 * k + i, 100, 200]
            assert np.argwhere(picture == 255).tolist() == [[0, 1, 2]]
    assert test.labels.tolist() == [5, 6, 7, 8, 9]
    assert test.classes[5] == "dog"
    assert test.normalization == Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("change", [-1, 1, -3073, 3073, -5 * 3073])
def test_cifar10_refuses_another_size(cifar_folder, change):
    path = cifar_folder / "data_batch_3.bin"
    content = path.read_bytes()
    path.write_bytes(content[:change] if change < 0 else content + bytes(change))
    with pytest.raises(FormatError, match=rf"data_batch_3.bin has {15365 + change:,} bytes, wanted 15,365"):
        datasets.cifar10(cifar_folder)


def test_cifar10_refuses_a_label(cifar_folder):
    path = cifar_folder / "test_batch.bin"
    content = bytearray(path.read_bytes())
    content[3073 * 2] = 10
    path.write_bytes(content)
    with pytest.raises(FormatError, match="the label 10 in record 2, wanted 0 to 9"):
        datasets.cifar10(cifar_folder)


def test_cifar10_names_a_missing_file(cifar_folder):
    (cifar_folder / "data_batch_2.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no data_batch_2\.bin"):
        datasets.cifar10(cifar_folder)


# load


def test_load_finds_a_name_under_data_dir_or_elq_data(cifar_folder, monkeypatch):
    mnist_folder(cifar_folder.parent / "mnist")
    monkeypatch.delenv("ELQ_DATA", raising=False)
    for root in (cifar_folder, cifar_folder.parent):
        train, test = datasets.load("cifar10", root)
        assert (train.name, len(train), len(test)) == ("cifar10", 25, 5)
        assert datasets.load(root, split="test").name == ("cifar10" if root == cifar_folder else "mnist")
    assert len(datasets.load("mnist", str(cifar_folder.parent), "train")) == 6
    with pytest.raises(FileNotFoundError, match="ELQ_DATA"):
        datasets.load("cifar10")
    monkeypatch.setenv("ELQ_DATA", str(cifar_folder.parent))
    assert len(datasets.load("cifar10", split="test")) == 5
    with pytest.raises(FileNotFoundError, match="none"):  # an explicit folder counts, not ELQ_DATA
        datasets.load("cifar10", cifar_folder.parent / "none")


def test_load_says_what_it_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        datasets.load("cifar10", tmp_path)
    for word in (str(tmp_path), "test_batch.bin", "cifar10", "--data-dir", "ELQ_DATA"):
        assert word in str(caught.value)
    with pytest.raises(FileNotFoundError, match="neither a folder nor one of digits, mnist, cifar10"):
        datasets.load("imagenet")
    with pytest.raises(FileNotFoundError, match="no data set that is known"):
        datasets.load(tmp_path)
    with pytest.raises(ValueError, match="wanted 'train', 'test' or 'both'"):
        datasets.load("digits", split="validation")


def test_load_digits_and_default_augmentation():
    train, test = datasets.load("digits")
    assert len(datasets.load("digits", None, "test")) == len(test) == 500
    assert datasets.default_augment(train) == Augment(1, False)
    assert datasets.default_augment(numbered()) is None


# the real files


@pytest.mark.data
def test_real_mnist():
    train, test = datasets.mnist(data_folder("mnist"))
    assert (len(train), len(test), train.input_shape) == (60000, 10000, (1, 28, 28))
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    values = train.images / np.float32(255)
    assert round(float(values.mean(dtype=np.float64)), 4) == 0.1307
    assert round(float(values.std(dtype=np.float64)), 4) == 0.3081


@pytest.mark.data
def test_real_cifar10():
    train, test = datasets.cifar10(data_folder("cifar-10-batches-bin"))
    assert np.bincount(train.labels).tolist() == [5000] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10
    means = train.images.mean((0, 2, 3), dtype=np.float64) / 255
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=5e-5)  # published, to 4 places


# hold_out


def test_hold_out_splits_by_its_seed_alone():
    data = numbered(50)
    rest, held = datasets.hold_out(data, 12, seed=3)
    assert (len(rest), len(held)) == (38, 12)
    assert sorted([*rest.labels, *held.labels]) == list(range(50))  # picture i has the label i
    np.testing.assert_array_equal(held.images, data.images[held.labels])
    np.testing.assert_array_equal(rest.images, data.images[rest.labels])
    again = datasets.hold_out(data, 12, seed=3)
    assert again[1].labels.tolist() == held.labels.tolist() == sorted(held.labels)
    assert set(datasets.hold_out(data, 5, seed=3)[1].labels) < set(held.labels)
    assert datasets.hold_out(data, 12, seed=4)[1].labels.tolist() != held.labels.tolist()


@pytest.mark.parametrize("count", [0, -1, 10, 11])
def test_hold_out_of_nothing_or_everything_is_refused(count):
    with pytest.raises(ValueError, match=f"{count} of 10 pictures to hold out: wanted 1 to 9"):
        datasets.hold_out(numbered(10), count)
