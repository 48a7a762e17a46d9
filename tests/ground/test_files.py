"""What lies at a path stays what it is when a file is written to it, and what fails loses nothing."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import children
import pytest

from elq_ref.files import atomic_write, beside, check_source, check_target

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links, modes and special files as POSIX has them")


def write(path: Path, content: bytes = b"new") -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755, 0o444])
def test_a_file_keeps_its_mode(tmp_path, usual_umask, mode):
    path = tmp_path / "net.elq"
    path.write_bytes(b"old")
    path.chmod(mode)
    write(path)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", mode)


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path, usual_umask):
    for umask, mode in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
        os.umask(umask)
        write(tmp_path / f"{umask:o}")
        assert stat.S_IMODE((tmp_path / f"{umask:o}").stat().st_mode) == mode


def test_nobody_reads_the_new_content_of_a_private_file_meanwhile(tmp_path, usual_umask):
    path = tmp_path / "net.elq"
    path.touch(0o600)
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


def test_a_file_keeps_its_owner(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    path = tmp_path / "net.elq"
    path.write_bytes(b"old")
    os.chown(path, 12345, 23456)
    write(path)
    assert (path.stat().st_uid, path.stat().st_gid, path.read_bytes()) == (12345, 23456, b"new")


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("links", [1, 3])
def test_links_are_followed_and_their_target_is_replaced(tmp_path, there, links):
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "target.elq"
    if there:
        target.write_bytes(b"old")
    last, chain = Path("elsewhere", "target.elq"), []
    for k in range(links):
        chain.append(tmp_path / f"link{k}")
        chain[-1].symlink_to(last)
        last = Path(f"link{k}")
    write(chain[-1])
    assert all(link.is_symlink() for link in chain)
    assert not target.is_symlink()
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == {"elsewhere", *(link.name for link in chain)}
    assert names(tmp_path / "elsewhere") == {"target.elq"}


def test_a_link_that_leads_nowhere_makes_the_folders_of_its_target(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b" / "net.elq")
    write(tmp_path / "link")
    assert (tmp_path / "a" / "b" / "net.elq").read_bytes() == b"new"


def test_links_in_a_circle_are_an_error_that_names_the_path(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match=r"'.*/a'") as caught:
        write(tmp_path / "a")
    assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize("content", [b"", b"s", b"longer than what was there"])
def test_all_names_of_a_file_show_its_new_content(tmp_path, content):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"old content")
    first.chmod(0o640)
    os.link(first, second)
    write(first, content)
    assert first.read_bytes() == second.read_bytes() == content
    assert os.path.samefile(first, second)
    assert stat.S_IMODE(second.stat().st_mode) == 0o640
    assert names(tmp_path) == {"first", "second"}


def test_a_file_system_that_keeps_no_room_free(tmp_path, monkeypatch):
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("nothing asks for room here")
    first = tmp_path / "first"
    first.write_bytes(b"old")
    os.link(first, tmp_path / "second")

    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr("elq_ref.files.os.posix_fallocate", refuse)
    write(first, b"longer than before")
    assert (tmp_path / "second").read_bytes() == b"longer than before"


def test_a_full_disk_takes_nothing_from_a_file_with_two_names(tmp_path, monkeypatch):
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("nothing asks for room here")
    first = tmp_path / "first"
    first.write_bytes(b"old")
    os.link(first, tmp_path / "second")

    def full(handle, offset, length):
        os.ftruncate(handle, offset + length)  # as a file system leaves it that gave a part
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("elq_ref.files.os.posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space.*'.*/first'"):
        write(first, b"longer than before")
    assert first.read_bytes() == b"old"
    assert names(tmp_path) == {"first", "second"}


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_written_in_place(tmp_path, linked):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    if linked:
        (tmp_path / "link").symlink_to("pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    reader.start()
    before = names(tmp_path)
    content = bytes(range(256)) * 1000  # more than a pipe holds
    write(tmp_path / "link" if linked else path, content)
    reader.join(10)
    assert read == [content]
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert names(tmp_path) == before


def test_a_device_is_written_in_place(tmp_path):
    """On a copy of the null device: what replaced it would take the machine's own away."""
    null = tmp_path / "null"
    try:
        os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        null.write_bytes(b"")
    except OSError as error:
        pytest.skip(f"no device can be made here: {error}")
    write(null)
    (tmp_path / "link").symlink_to("null")
    write(tmp_path / "link")
    assert stat.S_ISCHR(null.stat().st_mode)
    assert names(tmp_path) == {"null", "link"}


def test_an_error_of_a_device_names_it(tmp_path):
    full = tmp_path / "full"
    try:
        os.mknod(full, stat.S_IFCHR | 0o666, os.makedev(1, 7))
        full.open("wb").close()
    except OSError as error:
        pytest.skip(f"no device can be made here: {error}")
    with pytest.raises(OSError, match=r"No space.*'.*/full'"):
        write(full)
    assert stat.S_ISCHR(full.stat().st_mode)


def test_a_file_that_is_open_and_has_no_name_is_written_in_place(tmp_path):
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc")
    path = tmp_path / "gone"
    with open(path, "wb+") as file:
        path.unlink()
        write(Path(f"/proc/self/fd/{file.fileno()}"))
        assert file.read() == b"new"
    assert names(tmp_path) == set()


@pytest.mark.parametrize("kind", ["a folder", "a socket", "a block device"])
def test_what_no_file_is_written_to_is_refused_and_left(tmp_path, kind):
    path = tmp_path / "there"
    if kind == "a folder":
        path.mkdir()
    else:
        try:
            os.mknod(path, stat.S_IFSOCK if kind == "a socket" else stat.S_IFBLK, os.makedev(0, 0))
        except OSError as error:
            pytest.skip(f"{kind} cannot be made here: {error}")
    before = path.lstat()
    for refused in (write, check_target):
        with pytest.raises(ValueError, match=f"{path} is {kind}, wanted a file to write"):
            refused(path)
    assert path.lstat().st_mode == before.st_mode
    assert names(tmp_path) == {"there"}


def test_dot_and_nothing_are_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^\. is a folder, wanted a file to write$"):
        write(Path("."))
    with pytest.raises(ValueError, match="is empty"):
        check_target("")
    assert names(tmp_path) == set()


@pytest.mark.parametrize("name", ["n" * 255, "ä" * 127 + "x", "語" * 85, os.fsdecode(b"\xe9" * 255)])
@pytest.mark.parametrize("there", [False, True])
def test_every_name_that_the_system_allows(tmp_path, name, there):
    assert len(os.fsencode(name)) == 255
    path = tmp_path / name
    try:
        path.write_bytes(b"old")
    except OSError as error:
        pytest.skip(f"this file system has no such name: {error.strerror}")
    if not there:
        path.unlink()
    write(path)
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == {name}


def test_a_body_that_fails_leaves_what_was_there(tmp_path):
    for path in (tmp_path / "old", tmp_path / "absent"):
        if path.name == "old":
            path.write_bytes(b"old")
        with pytest.raises(FileNotFoundError), atomic_write(path) as temporary:
            temporary.write_bytes((tmp_path / "source").read_bytes() if temporary.write_bytes(b"half") else b"")
    assert names(tmp_path) == {"old"}
    assert (tmp_path / "old").read_bytes() == b"old"


def test_two_threads_that_write_one_file_each_write_it_whole(tmp_path):
    path, gate, failed = tmp_path / "net.elq", threading.Barrier(8), []

    def writer(k: int) -> None:
        try:
            with atomic_write(path) as temporary:
                temporary.write_bytes(bytes([k]) * 1000)
                gate.wait(10)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=writer, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    content = path.read_bytes()
    assert len(content) == 1000
    assert len(set(content)) == 1
    assert names(tmp_path) == {"net.elq"}


def test_who_may_not_write_in_the_folder_is_told_the_path(tmp_path):
    if os.geteuid() == 0 and not hasattr(os, "setuid"):
        pytest.skip("root may write everywhere")
    code = (
        "import os, sys; from elq_ref.files import atomic_write\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        "    with atomic_write(sys.argv[1]) as temporary: temporary.write_bytes(b'new')\n"
        "except PermissionError as error: print(error.filename)"
    )
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "net.elq").write_bytes(b"old")
    for mode in (0o555, 0o000):
        folder.chmod(mode)
        command = [sys.executable, "-c", code, str(folder / "net.elq")]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=children.FOLDER, env=children.environment(), check=False
        )
        folder.chmod(0o755)
        assert done.stdout == f"{folder / 'net.elq'}\n", done.stderr
        assert (folder / "net.elq").read_bytes() == b"old"


def test_names_beside_a_path(tmp_path):
    assert beside("a/net.safetensors", ".run") == Path("a/net.safetensors.run")
    long = [tmp_path / ("n" * 254 + end) for end in "ab"]
    folders = [beside(path, ".run") for path in long]
    assert folders[0] != folders[1]
    for folder in folders:
        folder.mkdir()
        assert folder.parent == tmp_path
        assert folder.name.endswith(".run")


def test_sources_are_regular_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*/absent"):
        check_source(tmp_path / "absent")
    with pytest.raises(ValueError, match=f"{tmp_path} is a folder, wanted a regular file$"):
        check_source(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is a pipe, wanted a regular file: write what"):
        check_source(tmp_path / "pipe")
    (tmp_path / "file").touch()
    check_source(tmp_path / "file")
