"""Image folders: what counts, what is passed over, what is said; elq run and elq eval agree."""

import os
import tempfile
from pathlib import Path

import pytest
from children import run_python
from picture_nets import NAMES, run, telling_apart
from PIL import Image

from elq_ref.datasets import digits, image_folder
from elq_ref.pictures import find_pictures


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "net.elq"
    telling_apart().save(path)
    return str(path)


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), value).save(path)


def names_of(found, root):
    return [(path.relative_to(root).as_posix(), label) for path, label in found]


def refused_by_run_and_eval(capsys, file, folder):
    """What both say in one line."""
    said = []
    for command in (["run", file, folder], ["eval", file, "--data", folder]):
        code, out, error = run(capsys, *command)
        assert (code, out, error.count("\n")) == (2, "", 1), error
        said.append(error)
    assert said[0] == said[1]
    return said[0]


def test_hidden_names_and_other_files_are_passed_over_at_every_depth(file, tmp_path, capsys):
    for name in ("a.png", "more/b.png", "more/deep/c.JPG"):
        picture(tmp_path / NAMES[0] / name)
    for hidden in (".ipynb_checkpoints/a.png", "more/.cache/deep/b.png", "more/.b.png", "more/.gone/.x/y.png"):
        picture(tmp_path / NAMES[0] / hidden)
    picture(tmp_path / ".hidden" / "z.png")
    picture(tmp_path / "beside.png")
    (tmp_path / NAMES[0] / ".nowhere.png").symlink_to(tmp_path / "none")
    (tmp_path / NAMES[0] / "more" / "notes.txt").write_text("no picture")
    wanted = [(f"{NAMES[0]}/{name}", 0) for name in ("a.png", "more/b.png", "more/deep/c.JPG")]
    assert names_of(find_pictures(tmp_path, NAMES), tmp_path) == wanted
    for command in (["run", file, tmp_path], ["eval", file, "--data", tmp_path]):
        code, seen, _ = run(capsys, *command, "--json")
        assert (code, seen["total"]) == (0, 3)


def test_linked_folders_are_followed_and_count_once(file, tmp_path, capsys):
    picture(tmp_path / "elsewhere" / "ones" / "1.png")
    picture(tmp_path / "elsewhere" / "more" / "2.png")
    root = tmp_path / "root"
    picture(root / NAMES[0] / "0.png")
    (root / NAMES[1]).symlink_to(tmp_path / "elsewhere" / "ones")  # a class
    (root / NAMES[0] / "linked").symlink_to(tmp_path / "elsewhere" / "more")  # a part of one
    (root / NAMES[0] / "again").symlink_to(tmp_path / "elsewhere" / "more")
    (root / NAMES[0] / "file.png").symlink_to(tmp_path / "elsewhere" / "more" / "2.png")
    found = find_pictures(root, NAMES)
    assert len(found) == 4
    assert [label for _, label in found] == [0, 0, 0, 1]
    assert {path.resolve().name for path, _ in found} == {"0.png", "1.png", "2.png"}
    assert image_folder(root, (1, 8, 8)).labels.tolist() == [0, 0, 0, 1]
    assert image_folder(root, (1, 8, 8)).classes == NAMES[:2]
    for command in (["run", file, root], ["eval", file, "--data", root]):
        code, seen, _ = run(capsys, *command, "--json")
        assert (code, seen["total"]) == (0, 4)


@pytest.mark.parametrize("target", [".", "..", "../..", "/"])
def test_a_link_that_leads_back_is_named(file, target, tmp_path, capsys):
    root = tmp_path / "root"
    picture(root / NAMES[0] / "deep" / "0.png")
    (root / NAMES[0] / "loop").symlink_to(target)
    assert str(root / NAMES[0] / "loop") in refused_by_run_and_eval(capsys, file, root)


def test_two_folders_that_lead_to_each_other_are_named(file, tmp_path, capsys):
    picture(tmp_path / NAMES[0] / "a" / "0.png")
    (tmp_path / NAMES[0] / "b").mkdir()
    (tmp_path / NAMES[0] / "a" / "to-b").symlink_to("../b")
    (tmp_path / NAMES[0] / "b" / "to-a").symlink_to("../a")
    assert "leads back" in refused_by_run_and_eval(capsys, file, tmp_path)


@pytest.mark.parametrize("where", [NAMES[1], f"{NAMES[0]}/more", f"{NAMES[0]}/deep/gone.png", f"{NAMES[0]}/self"])
def test_a_link_to_nothing_is_named(file, where, tmp_path, capsys):
    picture(tmp_path / NAMES[0] / "deep" / "0.png")
    (tmp_path / where).symlink_to(tmp_path / ("none" if "self" not in where else where))
    assert str(tmp_path / where) in refused_by_run_and_eval(capsys, file, tmp_path)


def test_a_link_to_nothing_among_unlabelled_pictures_is_named(file, tmp_path, capsys):
    picture(tmp_path / "a.png")
    (tmp_path / "gone.png").symlink_to("none.png")
    code, out, error = run(capsys, "run", file, tmp_path)
    assert (code, out, error) == (2, "", f"elq: there is no picture {tmp_path / 'gone.png'}\n")
    code, seen, _ = run(capsys, "run", file, tmp_path, "--keep-going", "--json")
    assert (code, len(seen["pictures"]), len(seen["unreadable"])) == (1, 1, 1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_pipes_with_the_name_of_a_picture_are_named(file, tmp_path, capsys):
    picture(tmp_path / NAMES[0] / "0.png")
    os.mkfifo(tmp_path / NAMES[0] / "pipe.png")
    assert "pipe.png is a pipe" in refused_by_run_and_eval(capsys, file, tmp_path)
    assert "pipe.png is a pipe" in run(capsys, "run", file, tmp_path / NAMES[0] / "pipe.png")[2]


AS_NOBODY = """
import os, sys
from PIL import Image
from elq_ref.pictures import find_pictures, read_picture
Image.init()
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    for path, _ in find_pictures(sys.argv[1], ("cat", "dog")):
        read_picture(path, (1, 8, 8))
except (OSError, ValueError) as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="this system has no permissions")
@pytest.mark.parametrize(
    ("closed", "mode"), [("dog", 0), ("dog/deep", 0), ("dog/deep/1.png", 0), ("dog", 0o444), ("dog/deep", 0o444)]
)
def test_what_may_not_be_read_is_named(closed, mode):
    with tempfile.TemporaryDirectory() as folder:  # one that another user may enter
        root = Path(folder)
        picture(root / "cat" / "0.png")
        picture(root / "dog" / "deep" / "1.png")
        for path in (root, *root.rglob("*")):
            path.chmod(0o755)
        (root / closed).chmod(mode)
        done = run_python(AS_NOBODY, folder)
        (root / closed).chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert str(root / closed) in done.stdout


TWINS = (*NAMES[:8], "crane", "crane")


def test_two_classes_of_one_name_are_no_labels(tmp_path, capsys):
    """run and eval refuse a folder of that name, and agree about all others."""
    telling_apart(TWINS).save(tmp_path / "twins.elq")
    root = tmp_path / "root"
    for k, image in enumerate(digits()[1].images[:20]):
        (root / TWINS[k % 8]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(root / TWINS[k % 8] / f"{k}.png")
    answers = [
        run(capsys, *command, "--json")[1]
        for command in (["run", tmp_path / "twins.elq", root], ["eval", tmp_path / "twins.elq", "--data", root])
    ]
    assert {(a["correct"], a["total"]) for a in answers} == {(answers[0]["correct"], 20)}
    picture(root / "crane" / "bird.png")
    said = refused_by_run_and_eval(capsys, tmp_path / "twins.elq", root)
    assert f"{root / 'crane'} says not which class: 8, 9" in said
    with pytest.raises(ValueError, match="8, 9 all bear the name crane"):
        image_folder(root, (1, 8, 8), classes=TWINS)
