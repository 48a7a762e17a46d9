"""ImageNet's layouts: classes, lists of a flat val/, what is refused; and training from it."""

import numpy as np
import pytest
from photographs import photographs
from PIL import Image

from elq_ref import Batches
from elq_ref.datasets import RandomResizedCrop, hold_out, imagenet
from elq_ref.datasets.imagenet import NORMALIZATION, read_list
from elq_ref.errors import FormatError
from elq_ref.pictures import read_picture

CLASSES = ("n01440764", "n01443537", "n02102040")
SHAPE, RULE = (3, 16, 16), "crop 20"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def made(root, flat=False):
    photographs(root, CLASSES, each=3, kind="JPEG")
    if flat:
        for path in sorted((root / "val").glob("*/*")):
            path.rename(root / "val" / f"ILSVRC2012_val_{number_of(path):08}.JPEG")
        for name in CLASSES:
            (root / "val" / name).rmdir()
    return root


def number_of(path):
    """A number that mixes the classes: files of a flat val/ are in no order of them."""
    return 7 * (3 * CLASSES.index(path.parent.name) + int(path.stem)) % 9 + 1


def flat_labels():
    """(names, labels) of a flat val/, in order of names."""
    numbers = {7 * k % 9 + 1: k // 3 for k in range(9)}
    return [f"ILSVRC2012_val_{n:08}.JPEG" for n in sorted(numbers)], [numbers[n] for n in sorted(numbers)]


def test_val_in_sub_folders(tmp_path):
    train, val = imagenet(made(tmp_path), SHAPE, RULE)
    for part, name in ((train, "train"), (val, "val")):
        assert (len(part), part.classes, part.name) == (9, CLASSES, f"imagenet/{name}")
        assert part.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        assert (part.normalization, part.resize, part.input_shape) == (NORMALIZATION, RULE, SHAPE)
    wanted = read_picture(tmp_path / "val" / CLASSES[1] / "2.JPEG", SHAPE, RULE)
    np.testing.assert_array_equal(val.images[5], wanted)


def lists():
    names, labels = flat_labels()
    pairs = list(zip(names, labels, strict=True))
    yield "NAME SYNSET", [f"{name} {CLASSES[label]}" for name, label in reversed(pairs)]
    yield "NAME INDEX", [f"{name}\t{label}" for name, label in pairs]
    yield "SYNSET", [CLASSES[label] for label in labels]
    solution = [f"{name[:-5]},{CLASSES[label]} 85 1 499 272 {CLASSES[0]} 1 2 3 4" for name, label in pairs]
    yield "Kaggle", ["ImageId,PredictionString", *solution]


@pytest.mark.parametrize(("kind", "lines"), list(lists()))
def test_a_flat_val_with_a_list(tmp_path, kind, lines):
    root = made(tmp_path / "set", flat=True)
    with pytest.raises(FileNotFoundError, match=r"no list: wanted val.txt or LOC_val_solution.csv, or --val-list"):
        imagenet(root, SHAPE, RULE)
    (tmp_path / "list").write_text("\n".join(lines) + "\n")
    _, val = imagenet(root, SHAPE, RULE, val_list=tmp_path / "list")
    assert (list(val.images.names), val.labels.tolist()) == flat_labels()
    (tmp_path / "list").rename(root / ("LOC_val_solution.csv" if kind == "Kaggle" else "val.txt"))
    assert imagenet(root, SHAPE, RULE)[1].labels.tolist() == flat_labels()[1]


@pytest.mark.parametrize(
    ("lines", "error", "words"),
    [
        (["490", "361", "171"], FormatError, "the devkit's own numbers of classes: wanted lines of NAME SYNSET"),
        (["n01440764", "n01440764"], ValueError, "2 lines for 3 pictures"),
        (["a.JPEG n01440764", "b.JPEG n9", "c.JPEG 0"], FormatError, "'b.JPEG n9' names no class"),
        (["a.JPEG 0", "b.JPEG 3", "c.JPEG 0"], FormatError, "'b.JPEG 3' names no class: wanted a sub-folder .*0 to 2"),
        (["a.JPEG 0", "b.JPEG"], FormatError, "'b.JPEG' names no class"),
        (["a.JPEG 0", "c 1"], ValueError, "does not name 1 of 3 pictures, the first is b.JPEG"),
        ([], ValueError, "does not name 3 of 3 pictures"),
    ],
)
def test_lists_that_are_refused(tmp_path, lines, error, words):
    (tmp_path / "list").write_text("\n".join(lines))
    with pytest.raises(error, match=words):
        read_list(tmp_path / "list", ["a.JPEG", "b.JPEG", "c.JPEG"], CLASSES)


def test_layouts_that_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no train/"):
        imagenet(tmp_path, SHAPE)
    root = made(tmp_path / "a")
    (root / "val" / "n02102040").rename(root / "val" / "n02102041")
    with pytest.raises(ValueError, match=r"differ in 2 sub-folders, the first is n02102040"):
        imagenet(root, SHAPE)
    (root / "train" / "n03").mkdir()
    with pytest.raises(ValueError, match="n03 has no picture"):
        imagenet(root, SHAPE)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        imagenet(made(tmp_path / "b", flat=True), SHAPE, val_list=tmp_path / "nothing")


def test_training_sees_crops_of_the_originals(tmp_path):
    train, _ = imagenet(made(tmp_path), SHAPE, RULE)
    rest, held = hold_out(train, 2)
    assert sorted([*rest.images.names, *held.images.names]) == sorted(train.images.names)
    augment = RandomResizedCrop(scale=(0.08, 1.0))
    x, labels = next(Batches(rest, 7, augment=augment, seed=1).epoch(0))
    again, _ = next(Batches(rest, 7, augment=augment, seed=1).epoch(0))
    assert (x.shape, labels.shape) == ((7, *SHAPE), (7,))
    np.testing.assert_array_equal(x, again)


def test_a_broken_file_is_named_when_its_turn_comes(tmp_path):
    root = made(tmp_path)
    (root / "val" / CLASSES[2] / "1.JPEG").write_bytes(b"no picture")
    _, val = imagenet(root, SHAPE, RULE)
    assert val.images[:6].shape == (6, *SHAPE)
    with pytest.raises(FormatError, match=r"1\.JPEG"):
        val.images[:]


def test_grey_and_cmyk_pictures_are_pictures(tmp_path):
    """ImageNet has both."""
    root = made(tmp_path)
    with Image.open(root / "val" / CLASSES[0] / "0.JPEG") as picture:
        picture.convert("CMYK").save(root / "val" / CLASSES[0] / "1.JPEG")
        picture.convert("L").save(root / "val" / CLASSES[0] / "2.JPEG")
    _, val = imagenet(root, SHAPE, RULE)
    assert val.images[:3].shape == (3, *SHAPE)
