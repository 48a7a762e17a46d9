"""Pictures in .npz files: every layout, and everything that such a file could be instead."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from elq_ref import datasets
from elq_ref.datasets import Augment, Normalization, Wanted, default_augment, load_for, npz
from elq_ref.errors import FormatError

RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 256, (7, 10, 8, 3), dtype=np.uint8), np.array([0, 1, 2, 0, 1, 2, 3])


def written(path, save=np.savez, **changes):
    """A file of 7 and 4 pictures 10x8, with some of its arrays replaced, or without them (None)."""
    arrays = {"x_train": X, "y_train": Y, "x_test": X[:4], "y_test": Y[:4]} | changes
    save(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("labels", [np.uint8, np.int64, np.uint64, ">i4"])
def test_both_orders_of_axes_both_forms_of_file(tmp_path, save, labels):
    channels_first = np.asfortranarray(X.transpose(0, 3, 1, 2))
    for x in (X, channels_first):
        path = written(tmp_path / "a.npz", save, x_train=x, y_train=Y.astype(labels), y_test=Y[:4, None])
        train, test = npz(path, "train"), npz(path, "test")
        np.testing.assert_array_equal(train.images, X.transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(test.images, X[:4].transpose(0, 3, 1, 2))
        assert (train.labels.tolist(), test.labels.tolist()) == (Y.tolist(), Y[:4].tolist())
        assert train.classes == test.classes == ("0", "1", "2", "3")
        assert (train.name, train.labels.dtype) == ("a.npz", np.int64)


def test_grey_pictures_with_and_without_an_axis_for_it(tmp_path):
    grey = X[..., :1]
    for x in (grey, grey[..., 0], grey.transpose(0, 3, 1, 2)):
        path = written(tmp_path / "a.npz", x_train=x)
        np.testing.assert_array_equal(npz(path, "train").images, grey.transpose(0, 3, 1, 2))
    assert default_augment(npz(path, "train")) == Augment(1, False)
    assert default_augment(npz(written(tmp_path / "a.npz"), "train")) == Augment(1, True)
    large = np.zeros((2, 40, 33, 3), np.uint8)
    path = written(tmp_path / "a.npz", x_train=large, y_train=Y[:2])
    assert default_augment(npz(path, "train")) == Augment(4, True)


def test_mean_and_deviation_of_train(tmp_path):
    path = written(tmp_path / "a.npz", x_test=X[4:])
    for split in ("train", "test"):
        found = npz(path, split, classes=("a", "b", "c", "d", "e")) if split == "train" else None
        normalization = (found or npz(written(tmp_path / "b.npz", x_test=X[3:], y_test=Y[3:]), split)).normalization
        np.testing.assert_allclose(normalization.mean, (X / 255).mean((0, 1, 2)), atol=5.1e-5)
        np.testing.assert_allclose(normalization.std, (X / 255).std((0, 1, 2)), atol=5.1e-5)
    given = Normalization((0.1,) * 3, (0.2,) * 3)
    assert npz(path, "train", normalization=given).normalization == given


def test_as_data_of_a_network(tmp_path):
    path = written(tmp_path / "a.npz")
    wanted = Wanted((3, 10, 8), ("a", "b", "c", "d"))
    train, test = load_for(path, None, "both", wanted)
    assert (len(train), len(test), train.classes) == (7, 4, wanted.classes)
    rest, held = load_for(path, None, "both", wanted, held_out=3)
    assert (len(rest), len(held)) == (4, 3)
    assert len(load_for(written(path, x_test=None, y_test=None), None, "both", wanted, held_out=3)[0]) == 4
    with pytest.raises(ValueError, match=r"reads pictures \(3, 8, 8\), a.npz has \(3, 10, 8\)"):
        load_for(path, None, "train", Wanted((3, 8, 8)))
    with pytest.raises(ValueError, match="has the label 3, the network knows 2 classes"):
        load_for(path, None, "train", Wanted(classes=("a", "b")))
    with pytest.raises(ValueError, match=r"5 outputs and no names for them, a\.npz has 4 classes"):
        load_for(path, None, "train", Wanted(outputs=5))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x_train": None}, "has no x_train, it has y_train, x_test, y_test: wanted"),
        ({"y_train": None}, "7 pictures in x_train, labels in y_train: none"),
        ({"y_train": Y[:6]}, "7 pictures in x_train, labels in y_train: 6"),
        ({"x_train": X / 255}, "x_train is float64, wanted whole numbers"),
        ({"x_train": X.astype(np.int16)}, r"x_train is int16 \(7, 10, 8, 3\), wanted uint8"),
        ({"x_train": X[0]}, "10 pictures in x_train, labels in y_train: 7"),
        ({"x_train": X[:, 0, 0, 0]}, r"x_train is uint8 \(7,\), wanted uint8 \(N, H, W, C\)"),
        ({"x_train": X[:0]}, r"x_train is uint8 \(0, 10, 8, 3\)"),
        ({"x_train": X[..., :2]}, "says not where its 1 or 3 channels are"),
        ({"x_train": X[:, :3]}, "says not where its 1 or 3 channels are"),
        ({"y_train": Y - 1}, "y_train is int64 .*, wanted one whole number >= 0"),
        ({"y_train": Y * (1 << 19)}, "wanted one whole number >= 0"),
        ({"y_train": np.eye(7, dtype=int)}, "wanted one whole number >= 0"),
        ({"y_train": Y.astype(float)}, "y_train is float64, wanted whole numbers"),
        ({"y_train": np.array(["cat"] * 7)}, "y_train is <U3, wanted whole numbers"),
        ({"y_train": np.array([{}] * 7)}, "y_train is object, wanted whole numbers"),
    ],
)
def test_other_arrays_are_refused(tmp_path, changes, said):
    with pytest.raises(FormatError, match=said) as caught:
        npz(written(tmp_path / "a.npz", **changes), "train")
    assert "\n" not in str(caught.value)


def test_a_pickle_is_never_read(tmp_path):
    """An object that says so when it is unpickled."""

    class Loud:
        def __reduce__(self):
            return print, ("unpickled",)

    path = written(tmp_path / "a.npz", x_train=np.array([Loud()] * 7))
    with pytest.raises(FormatError, match="x_train is object"):
        npz(path, "train")


def header(shape, dtype="|u1"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (header((1 << 40,)), r"states \(1099511627776,\), 1,099,511,627,776 bytes, and has 0"),
        (header((7, 10, 8, 3)) + X.tobytes()[:-1], "1,680 bytes, and has 1,679"),
        (header((7, 10, 8, 3)) + X.tobytes() + b"0", "1,680 bytes, and has 1,681"),
        (header((-1, -1680)) + X.tobytes(), "cannot be read|says|wanted|states"),
        (b"\x93NUMPY\x09\x00", r"version \(9, 0\)"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 60000, "cannot be read"),
        (b"hello", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_headers_that_lie(tmp_path, content, said):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("x_train.npy", content)
        file.writestr("y_train.npy", header((7,)) + bytes(7))
    with pytest.raises(FormatError, match=said) as caught:
        npz(tmp_path / "a.npz", "train")
    assert "\n" not in str(caught.value)


def test_a_bomb_takes_no_memory(tmp_path):
    """2 GB of zeros in 2 MB."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        with file.open("x_train.npy", "w", force_zip64=True) as entry:
            entry.write(header((2000, 1000, 1000)))
            for _ in range(200):
                entry.write(bytes(10_000_000))
        file.writestr("y_train.npy", header((2000,)) + bytes(2000))
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"x_train states .* up to 1,073,741,824"):
        npz(path, "train")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_damage_anywhere_is_a_format_error_or_nothing(tmp_path):
    """Every cut, and a flipped bit at many places: a FormatError, or the same arrays."""
    for save in (np.savez, np.savez_compressed):
        path = written(tmp_path / "a.npz", save)
        content = path.read_bytes()
        refused = 0
        for k in range(0, len(content), 37):
            damaged = bytearray(content)
            damaged[k] ^= 16
            for other in (content[:k], bytes(damaged)):
                path.write_bytes(other)
                try:
                    found = npz(path, "train")
                except FormatError:
                    refused += 1
                else:
                    np.testing.assert_array_equal(found.images, X.transpose(0, 3, 1, 2))
                    assert found.labels.tolist() == Y.tolist()
        assert refused > len(content) / 37


def test_a_directory_that_points_elsewhere(tmp_path):
    """Every bit of the directory at the file's end: places before the file's start, methods that zips know and NumPy
    does not, lengths."""
    path = written(tmp_path / "a.npz")
    content, said = path.read_bytes(), []
    for k in range(content.index(b"PK\x01\x02"), len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[k] ^= 1 << bit
            path.write_bytes(bytes(damaged))
            try:
                assert npz(path, "train").labels.tolist() == Y.tolist()
            except FormatError as error:
                said.append(str(error))
    assert said
    assert all(line.startswith(str(path)) for line in said)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_numpy_does_not_write_is_refused(tmp_path, method):
    written(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz") as file, zipfile.ZipFile(tmp_path / "b.npz", "w", method) as other:
        for name in file.namelist():
            other.writestr(name, file.read(name))
    with pytest.raises(FormatError, match=r"b\.npz: x_train is packed otherwise than np.savez"):
        npz(tmp_path / "b.npz", "train")


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"hello")
    with pytest.raises(FormatError, match=r"a\.npz is no \.npz file"):
        npz(tmp_path / "a.npz", "train")
    with pytest.raises(FileNotFoundError, match=r"b\.npz is neither"):
        datasets.load_for(tmp_path / "b.npz", None, "train", Wanted())
