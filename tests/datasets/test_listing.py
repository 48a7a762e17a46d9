"""Listings of folders that are kept on the disk: when one is used, when it is made again; names in little memory."""

import hashlib
import os
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from elq_ref.datasets import Names
from elq_ref.datasets import listing as module
from elq_ref.datasets.listing import kept_at, listed
from elq_ref.pictures import find_pictures


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def looks(monkeypatch):
    """The folders that were looked into, by name."""
    seen, made = [], module._made
    monkeypatch.setattr(module, "_made", lambda root: seen.append(root.name) or made(root))
    return seen


def tree(root, names=("a/1.jpg", "a/2.jpg", "b/3.JPEG", "b/deep/4.png"), age=100):
    """Empty files; folders that changed `age` seconds ago."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    settle(root, age)
    return root


def settle(root, age=100):
    then = time.time() - age
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        os.utime(folder, (then, then))


def content(found):
    return found.classes, found.counts.tolist(), list(found.names), found.labels.tolist()


WANTED = ("a", "b"), [2, 2], ["a/1.jpg", "a/2.jpg", "b/3.JPEG", "b/deep/4.png"], [0, 0, 1, 1]


def test_it_is_what_find_pictures_finds(tmp_path):
    root = tree(
        tmp_path / "x", ["b/10.jpg", "b/9.jpg", "b/.hidden.jpg", "b/notes.txt", "a/z/1.gif", "a/b.jpg", "c.jpg"]
    )
    (root / "a" / "again").symlink_to(root / "b")
    settle(root)
    found = listed(root)
    assert [(str(root / n), label) for n, label in zip(found.names, found.labels, strict=True)] == [
        (str(path), label) for path, label in find_pictures(root, ("a", "b"))
    ]
    assert len(found.names) == 6


def test_the_second_look_is_at_the_list_alone(tmp_path, looks, monkeypatch):
    root = tree(tmp_path / "x")
    assert content(listed(root)) == content(listed(root)) == WANTED
    assert looks == ["x"]
    monkeypatch.chdir(tmp_path)
    assert content(listed("x")) == WANTED  # the same folder by another path
    assert looks == ["x"]
    other = tree(tmp_path / "y" / "x", ["a/1.jpg"])
    assert content(listed(other)) == (("a",), [1], ["a/1.jpg"], [0])
    assert looks == ["x", "x"]


def change_a(root):
    (root / "a" / "7.jpg").touch()


def change_deep(root):
    (root / "b" / "deep" / "4.png").rename(root / "b" / "deep" / "5.png")


def change_root(root):
    (root / "c").mkdir()


def lose_a_file(root):
    """Without a trace in the time of its folder."""
    times = os.stat(root / "a")
    (root / "a" / "1.jpg").unlink()
    os.utime(root / "a", ns=(times.st_atime_ns, times.st_mtime_ns))


def damage(root):
    place = kept_at(root)
    content = bytearray(place.read_bytes())
    content[content.index(b"2.jpg")] = ord("3")
    place.write_bytes(content)


def cut(root):
    place = kept_at(root)
    place.write_bytes(place.read_bytes()[:-40])


def other_version(root):
    with np.load(kept_at(root)) as file:
        arrays = dict(file)
    text = arrays["about"].tobytes().replace(b'"version": 1', b'"version": 0')
    np.savez(kept_at(root), **arrays | {"about": np.frombuffer(text, np.uint8)})


def an_array(root):
    with open(kept_at(root), "wb") as file:
        np.save(file, np.arange(3))


def pickled(root):
    np.savez(kept_at(root), about=np.array([{}], object))


def leads_out(root):
    """To the names of files that are there, beside the folder."""
    with np.load(kept_at(root)) as file:
        arrays = dict(file)
    (root.parent / "1.jpg").touch()
    names = [f"../{root.name}/a/1.jpg", "../1.jpg", "b/3.JPEG", "b/deep/4.png"]
    np.savez(kept_at(root), **arrays | {"names": Names.of(names).blob})


def leads_elsewhere(root):
    with np.load(kept_at(root)) as file:
        arrays = dict(file)
    names = [str(root / "a" / "1.jpg"), "a/2.jpg", "b/3.JPEG", "b/deep/4.png"]
    np.savez(kept_at(root), **arrays | {"names": Names.of(names).blob})


def states_more_than_it_holds(root):
    """8 TB, by the header of one array."""
    with np.load(kept_at(root)) as file:
        arrays = dict(file)
    counts = arrays.pop("counts")
    np.savez(kept_at(root), **arrays)
    with zipfile.ZipFile(kept_at(root), "a") as file, file.open("counts.npy", "w") as member:
        npy.write_array_header_1_0(member, {"descr": "<i8", "fortran_order": False, "shape": (10**12,)})
        member.write(counts.tobytes())


CHANGES = (change_a, change_deep, change_root, lose_a_file, damage, cut, other_version, an_array, pickled)
CHANGES += (leads_out, leads_elsewhere, states_more_than_it_holds)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_it_is_made_again_when_something_changed(tmp_path, looks, change):
    root = tree(tmp_path / "x")
    listed(root)
    change(root)
    found = listed(root)
    assert looks == ["x", "x"]
    names = [str(path.relative_to(root)) for path, _ in find_pictures(root, sorted(os.listdir(root)))]
    assert list(found.names) == names


def test_what_changed_a_moment_ago_is_looked_at_again(tmp_path, looks):
    """Within the step of a clock a second change would not show."""
    root = tree(tmp_path / "x", age=1)
    listed(root)
    listed(root)
    assert looks == ["x", "x"]


def test_where_it_cannot_be_kept_a_line_says_so(tmp_path, monkeypatch, looks):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    lines = []
    root = tree(tmp_path / "x")
    assert content(listed(root, lines.append)) == WANTED
    assert len(lines) == 1
    assert lines[0].startswith("the list of 4 files is not kept, ")
    listed(root)
    assert looks == ["x", "x"]


def test_names_are_a_sequence_of_strings():
    texts = ["a/1.jpg", "b/\u00e4 \u4e2d.png", os.fsdecode(b"b/\xff.jpg"), "c", "d/e"]
    names = Names.of(texts)
    assert (len(names), list(names), names == texts, names[-1], names.index("c")) == (5, texts, True, "d/e", 3)
    assert list(names[1:4:2]) == [texts[1], texts[3]]
    part = names.take(np.array([4, 0, 2])).take([1, 2])
    assert list(part) == [texts[0], texts[2]]
    assert list(names.take(np.array([True, False, False, True, False]))) == ["a/1.jpg", "c"]
    with pytest.raises(IndexError):
        part[2]
    assert list(Names.of([])) == []
    for some in (names, part, names.take(range(5)), Names.of([])):
        joined = "\0".join(some).encode("utf-8", "surrogateescape")
        assert some.digest == hashlib.sha256(joined).hexdigest()
    with pytest.raises(ValueError, match="zero byte"):
        Names.of(["a\0b"])


def test_a_digest_of_more_names_than_are_joined_at_once(monkeypatch):
    monkeypatch.setattr("elq_ref.datasets.names._CHUNK", 3)
    texts = [f"{k}.jpg" for k in range(10)]
    assert Names.of(texts).take(range(10)).digest == hashlib.sha256("\0".join(texts).encode()).hexdigest()


def test_names_take_the_memory_of_their_letters():
    """And 16 bytes each, and for a moment as much again; strings in a list take 90."""
    texts = (f"n{k % 1000:08}/n{k % 1000:08}_{k:07}.JPEG" for k in range(20_000))
    blob = Names.of(texts).blob.copy()
    tracemalloc.start()
    names = Names(blob)
    part = names.take(np.arange(19_999))
    assert part[7] == "n00000007/n00000007_0000007.JPEG"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000 * 50
