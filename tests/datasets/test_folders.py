"""Folders of photographs: what is accepted, what is left out, what is refused, and in which words."""

import json
import os
import struct
import zlib

import numpy as np
import pytest
from photographs import photographs, smooth
from PIL import Image

from elq_ref.datasets import Augment, PictureFiles, RandomResizedCrop, Reading, default_augment, folder, image_folder
from elq_ref.datasets import measuring as measuring_module
from elq_ref.errors import FormatError
from elq_ref.pictures import read_picture

SHAPE = (3, 16, 16)


def put(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def colour(value=0, size=(20, 20)):
    return Image.new("RGB", size, (value, 100, 200))


def told(root, shape=SHAPE, **options):
    """(the pair, the lines that were told)."""
    lines = []
    skip = options.pop("skip_broken", False)
    return folder(root, shape, reading=Reading(tell=lines.append, skip_broken=skip), **options), lines


# Where the parts lie


@pytest.mark.parametrize("parts", [("train", "val"), ("train", "test"), ("train", "val", "test")])
def test_train_and_val_or_else_test(tmp_path, parts):
    root = photographs(tmp_path / "photos", each=2, parts=parts)
    (train, test), lines = told(root)
    assert (len(train), len(test), lines) == (6, 6, [])
    assert train.classes == test.classes == ("cat", "dog", "fox")
    assert train.labels.tolist() == test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert test.images.root == str(root / parts[1])
    assert (train.name, test.name) == ("photos/train", f"photos/{parts[1]}")
    assert test.normalization == train.normalization
    assert (train.resize, train.images.resize) == ("crop", "crop")


def test_other_folders_beside_train_and_val_are_no_classes(tmp_path):
    root = photographs(tmp_path, each=2)
    put(root / "meta" / "0.jpg", colour())
    assert [len(part) for part in folder(root, SHAPE)] == [6, 6]


def test_one_folder_of_classes_and_held_out_pictures(tmp_path):
    root = photographs(tmp_path, each=4, parts=(".",))
    rest, held = folder(root, SHAPE, held_out=5)
    assert (len(rest), len(held)) == (7, 5)
    assert set(rest.images.names).isdisjoint(held.images.names)
    assert len({*rest.images.names, *held.images.names}) == 12
    with pytest.raises(ValueError, match=r"is not divided into train/ and val/: wanted these, or --hold-out N"):
        folder(root, SHAPE)
    rest, held = folder(photographs(tmp_path / "b", each=4), SHAPE, held_out=5)  # of train alone
    assert (len(rest), len(held), held.images.root) == (7, 5, str(tmp_path / "b" / "train"))


def test_classes_that_are_called_train_and_test(tmp_path):
    """train, bus and car are classes; train beside val is a part."""
    root = photographs(tmp_path, classes=("bus", "train", "car"), parts=(".",))
    rest, _ = folder(root, SHAPE, held_out=1)
    assert rest.classes == ("bus", "car", "train")
    root = photographs(tmp_path / "b", classes=("bus", "train", "val"))
    assert folder(root, SHAPE)[0].classes == ("bus", "train", "val")


@pytest.mark.parametrize(
    ("made", "error", "said"),
    [
        (["train/a/1.jpg"], FileNotFoundError, "has train/: wanted val/ or test/, or --hold-out N"),
        (["val/a/1.jpg"], FileNotFoundError, "has val/: wanted train/"),
        (["1.jpg", "2.jpg"], ValueError, "has no sub-folders, wanted train/ and val/ with one for each class"),
        (["train/1.jpg", "val/a/1.jpg"], ValueError, "train has no sub-folders, wanted one for each class"),
        (["train/a/1.jpg", "val/1.jpg"], ValueError, "val has no sub-folders, wanted one for each class: a"),
        (["train/a/x.txt", "val/a/1.jpg"], FileNotFoundError, "train has no picture"),
        (["train/a/1.jpg", "train/b/x.txt", "val/a/1.jpg"], ValueError, "train/b has no picture, wanted some of every"),
        (["train/a/1.jpg", "val/a/1.jpg", "val/b/1.jpg"], ValueError, "val has sub-folders that are no class: b"),
        (["train/a\x07/1.jpg", "val/a/1.jpg"], ValueError, r"the name of a class is printable"),
    ],
)
def test_what_is_no_such_folder_is_said_in_a_line(tmp_path, made, error, said):
    for name in made:
        put(tmp_path / name, colour()) if name.endswith("jpg") else (tmp_path / name).parent.mkdir(parents=True)
    with pytest.raises(error, match=said) as caught:
        folder(tmp_path, SHAPE)
    assert "\n" not in str(caught.value)


def test_a_folder_of_pictures_without_classes(tmp_path):
    put(tmp_path / "1.jpg", colour())
    for part in (tmp_path, tmp_path / "none"):
        with pytest.raises((ValueError, FileNotFoundError), match=r"has no sub-folders|there is no folder"):
            folder(part, SHAPE, held_out=1)


def test_a_class_without_pictures_in_val_alone_is_told(tmp_path):
    root = photographs(tmp_path, each=2)
    for path in (root / "val" / "dog").iterdir():
        path.unlink()
    (_, test), lines = told(root)
    assert (len(test), test.classes) == (4, ("cat", "dog", "fox"))
    assert lines == [f"{root / 'val'} has no picture of dog"]
    (root / "val" / "dog").rmdir()
    assert told(root)[1] == lines


def test_a_picture_in_the_wrong_place_is_told(tmp_path):
    root = photographs(tmp_path, each=2)
    put(root / "train" / "lost.jpg", colour())
    put(root / "lost.jpg", colour())
    put(root / "train" / "cat" / "deeper" / "9.jpg", colour())  # which is a cat
    (train, _), lines = told(root)
    assert len(train) == 7
    assert lines == [f"{root / 'train'} has 1 picture beside its sub-folders, of no class: lost.jpg"]


def test_the_networks_classes_order_the_labels(tmp_path):
    root = photographs(tmp_path, each=2)
    train, test = folder(root, SHAPE, classes=("fox", "emu", "dog", "cat"))
    assert train.classes == test.classes == ("fox", "emu", "dog", "cat")
    assert train.labels.tolist() == [3, 3, 2, 2, 0, 0]
    with pytest.raises(ValueError, match="sub-folders that are no class: cat; wanted fox, dog"):
        folder(root, SHAPE, classes=("fox", "dog"))


# Types, modes, orientations: what trains is what runs


def sixteen_bit_png(path):
    rows = np.arange(16, dtype=">u2").reshape(4, 4) * 4096
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    content = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")):
        content += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    path.write_bytes(content)


def test_every_kind_of_picture_trains_as_it_runs(tmp_path):
    place = tmp_path / "train" / "a"
    base = Image.fromarray(smooth(1, 30, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    put(place / "rotated.jpg", base, exif=exif)
    put(place / "cmyk.jpg", base.convert("CMYK"))
    put(place / "grey.png", base.convert("L"))
    put(place / "palette.gif", base.quantize(16))
    put(place / "moves.gif", base, save_all=True, append_images=[colour(), colour(9)])
    put(place / "clear.png", base.convert("RGBA"))
    put(place / "plain.webp", base, lossless=True)
    put(place / "b.bmp", base)
    put(place / "t.tiff", base)
    sixteen_bit_png(place / "deep.png")
    train, _ = folder(tmp_path, SHAPE, held_out=1)
    images = PictureFiles(place, sorted(os.listdir(place)), SHAPE, "crop")
    for k, name in enumerate(images.names):
        path = place / name
        np.testing.assert_array_equal(images[k], read_picture(path, SHAPE, "crop"))
        original = images.original(k)
        height, width = original.shape[:2]
        exact = read_picture(path, (3, height, width), "exact")  # its size is that of the upright picture
        np.testing.assert_array_equal(original.transpose(2, 0, 1), exact)
    sizes = {name: images.original(k).shape[:2] for k, name in enumerate(images.names)}
    assert sizes["rotated.jpg"] == (20, 30)
    assert {sizes[name] for name in sizes if name not in ("rotated.jpg", "deep.png")} == {(30, 20)}
    first = images.original(images.names.index("moves.gif")).astype(int)
    assert np.abs(first - np.asarray(base)).mean() < 12  # the first of the animation
    assert len(train) == 9


# Broken pictures


def cut(path, share=0.6):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "gif", "bmp"])
@pytest.mark.parametrize("part", ["train", "val"])
def test_a_picture_that_is_cut_off_is_named_before_training(tmp_path, kind, part):
    root = photographs(tmp_path, each=2, kind=kind)
    cut(root / part / "dog" / f"1.{kind}")
    with pytest.raises(FormatError, match=f"{part}/dog/1.{kind} is a picture that cannot be read"):
        folder(root, SHAPE)
    (train, test), lines = told(root, skip_broken=True)
    assert sorted((len(train), len(test))) == [5, 6]
    assert len(lines) == 1
    assert lines[0].startswith(f"left out: {root}/{part}/dog/1.{kind} is a picture that")


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n" + bytes(30)])
def test_what_is_no_picture_is_named_before_training(tmp_path, content):
    root = photographs(tmp_path, each=2)
    (root / "val" / "cat" / "0.jpg").write_bytes(content)
    with pytest.raises(FormatError, match=r"val/cat/0\.jpg is"):
        folder(root, SHAPE)
    assert len(told(root, skip_broken=True)[0][1]) == 5


def test_damage_in_the_middle_is_found_by_decoding_all(tmp_path):
    """A header tells nothing of it; --skip-broken decodes."""
    root = photographs(tmp_path, each=2, kind="png")
    path = root / "train" / "cat" / "1.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    train, _ = folder(root, SHAPE, normalization=default())
    with pytest.raises(FormatError, match=r"train/cat/1.png is a picture that cannot be read"):
        train.images[:]
    (train, _), lines = told(root, skip_broken=True)
    assert (len(train), len(lines)) == (5, 1)


def test_the_first_pass_decodes_no_whole_jpeg_or_png(tmp_path, monkeypatch):
    from elq_ref.pictures import decoding

    root = photographs(tmp_path, each=2)
    put(root / "val" / "cat" / "more.png", colour())
    monkeypatch.setattr(decoding, "decode", lambda *_: pytest.fail("decoded"))
    image_folder(root / "val", SHAPE, normalization=default())
    put(root / "val" / "cat" / "more.gif", colour())
    with pytest.raises(pytest.fail.Exception, match="decoded"):
        image_folder(root / "val", SHAPE, normalization=default())


def default():
    from elq_ref.datasets import Normalization

    return Normalization((0.5,) * 3, (0.5,) * 3)


def test_a_jpeg_with_something_behind_its_end_is_decoded_and_accepted(tmp_path):
    root = photographs(tmp_path, each=2)
    path = root / "train" / "cat" / "0.jpg"
    path.write_bytes(path.read_bytes() + b"what some cameras append")
    assert len(folder(root, SHAPE)[0]) == 6


def test_a_class_of_which_nothing_can_be_read(tmp_path):
    root = photographs(tmp_path, each=1)
    (root / "train" / "dog" / "0.jpg").write_bytes(b"none")
    with pytest.raises(ValueError, match="train: no picture of dog can be read"):
        told(root, skip_broken=True)


def test_what_may_not_be_read_is_named(tmp_path):
    root = photographs(tmp_path, each=2)
    (root / "train" / "cat" / "0.jpg").unlink()
    (root / "train" / "cat" / "0.jpg").symlink_to("nothing.jpg")
    with pytest.raises(FileNotFoundError, match=r"there is no picture .*train/cat/0.jpg"):
        folder(root, SHAPE)


# Grey and colour


def test_colour_for_a_network_of_one_channel_is_refused(tmp_path):
    root = photographs(tmp_path / "a", each=2)
    with pytest.raises(ValueError, match=r"is in colour, and so are most pictures of .*/train: the network reads one"):
        folder(root, (1, 16, 16))
    for path in root.rglob("*.jpg"):  # grey ones in three channels
        Image.open(path).convert("L").convert("RGB").save(path, quality=60)
    train, _ = folder(root, (1, 16, 16))
    assert train.input_shape == (1, 16, 16)
    assert folder(root, SHAPE)[0].input_shape == SHAPE  # and grey ones for three


# What is measured, what is usual


def test_mean_and_deviation_are_those_of_the_evaluated_pictures_of_train(tmp_path, monkeypatch):
    root = photographs(tmp_path, each=5)
    train, test = folder(root, SHAPE)
    values = np.stack([read_picture(train.images.path(k), SHAPE, "crop") for k in range(15)]) / 255
    np.testing.assert_allclose(train.normalization.mean, values.mean((0, 2, 3)), atol=5.1e-5)
    np.testing.assert_allclose(train.normalization.std, values.std((0, 2, 3)), atol=5.1e-5)
    assert test.normalization == train.normalization
    assert train.images.reading.cache.used == 0
    monkeypatch.setattr(measuring_module, "SAMPLE", 3)
    few, _ = folder(root, SHAPE)
    values = values[[0, 5, 10]]
    np.testing.assert_allclose(few.normalization.mean, values.mean((0, 2, 3)), atol=5.1e-5)
    given = default()
    assert folder(root, SHAPE, normalization=given)[0].normalization == given


def test_pictures_of_one_value_still_have_a_deviation(tmp_path):
    for part in ("train", "val"):
        put(tmp_path / part / "a" / "0.png", Image.new("RGB", (20, 20), (10, 20, 30)))
    train, _ = folder(tmp_path, SHAPE)
    assert train.normalization.std == (round(1 / 255, 4),) * 3
    assert json.loads(json.dumps(train.normalization.mean)) == [round(v / 255, 4) for v in (10, 20, 30)]


def test_the_usual_augmentation(tmp_path):
    root = photographs(tmp_path, each=2)
    for path in root.rglob("*.jpg"):
        Image.open(path).convert("L").save(path)
    assert default_augment(folder(root, SHAPE)[0]) == RandomResizedCrop((0.35, 1.0), (3 / 4, 4 / 3), True)
    assert default_augment(folder(root, (1, 16, 16))[0]) == RandomResizedCrop(flip=False)
    assert default_augment(folder(root, SHAPE)[0].subset([0])) == RandomResizedCrop()
    assert isinstance(default_augment(folder(root, SHAPE)[0]), RandomResizedCrop | Augment)
