"""Which pictures a folder has, and the class of each: by a stated rule at every depth, or an error that names it."""

import os

import pytest

from elq_ref.errors import FormatError
from elq_ref.pictures import class_folders, find_pictures, read_picture


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked into")


def found(folder, classes=()):
    return [(str(path.relative_to(folder)), label) for path, label in find_pictures(folder, classes)]


def test_pictures_without_classes_in_order_of_their_names(tmp_path):
    make(tmp_path, "b.PNG", "a.jpg", "notes.txt", ".hidden.png")
    assert found(tmp_path) == [("a.jpg", None), ("b.PNG", None)]
    assert class_folders(tmp_path) == []


def test_classes_are_sub_folders_and_their_order_is_the_labels(tmp_path):
    make(tmp_path, "dog/1.png", "dog/deep/er/2.png", "dog/.cache/3.png", "cat/4.webp", "cat/5.doc", "beside.png")
    make(tmp_path, ".git/6.png")
    assert class_folders(tmp_path) == ["cat", "dog"]
    wanted = [("cat/4.webp", 2), ("dog/1.png", 0), ("dog/deep/er/2.png", 0)]
    assert found(tmp_path, ["dog", "fox", "cat"]) == wanted


def test_what_is_no_labelled_folder_is_named(tmp_path):
    for folder, error, words in (
        (tmp_path / "absent", FileNotFoundError, "there is no folder"),
        (tmp_path, FileNotFoundError, "has no picture"),
    ):
        with pytest.raises(error, match=words):
            find_pictures(folder, [])
    make(tmp_path, "a/1.png", "b/1.png", "c/1.png", "d/1.png", "e/1.png")
    with pytest.raises(ValueError, match=r"no class: a, b, c and 1 more; wanted e, 0, 1, 2, 3, 4, 5, 6, 7, 8, \.\.\."):
        find_pictures(tmp_path, ["e", *map(str, range(20))])
    with pytest.raises(ValueError, match=r"no class: c; wanted a, b, d, e$"):
        find_pictures(tmp_path, ["a", "b", "d", "e"])
    with pytest.raises(ValueError, match="b says not which class: 1, 3 all bear the name b"):
        find_pictures(tmp_path, ["a", "b", "c", "b", "d", "e"])


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_links(tmp_path):
    place = tmp_path / "data"
    make(tmp_path, "elsewhere/1.png", "data/cat/2.png")
    (place / "cat" / "once").symlink_to(tmp_path / "elsewhere")
    (place / "cat" / "twice").symlink_to(tmp_path / "elsewhere")
    (place / "dog").symlink_to(tmp_path / "elsewhere")
    (place / "cat" / "gone.png").symlink_to(tmp_path / "nothing")  # listed: reading it says what is wrong
    names = [path for path, _ in found(place, ["cat", "dog"])]
    assert len(names) == 4
    assert names[:2] == ["cat/2.png", "cat/gone.png"]
    assert names[2] in ("cat/once/1.png", "cat/twice/1.png")
    assert names[3] == "dog/1.png"
    (place / "cat" / "gone").symlink_to(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"cat/gone is a link that leads to nothing"):
        find_pictures(place, ["cat", "dog"])
    (place / "cat" / "gone").unlink()
    (place / "cat" / "up").symlink_to(place)
    with pytest.raises(ValueError, match=r"cat/up is a link that leads back to a folder it lies in"):
        find_pictures(place, ["cat", "dog"])


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(FormatError, match="is a folder, wanted a picture's file"):
        read_picture(tmp_path, (3, 4, 4))
