"""Writing files so that a reader never meets half of one, and that what is there already stays what it is."""

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import FormatError

LONGEST = 255  # bytes that the name of a file has at most
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}
_REFUSED = ("a folder", "a block device", "a socket")  # a disk is nothing to write a network over


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path to write to; what the body has written stands at `path` when it succeeds, and nothing if it fails.

    A file is replaced by one that was written beside it, so a killed program leaves the previous one whole; its mode
    and, where the system allows it, its owner stay. Links are followed: their target is replaced. A file with several
    names (hard links) keeps them all: it is overwritten, once its new content is whole on the disk and has room.
    Devices and pipes are written in place. Missing parent folders are made.

    ValueError as in `check_target`; an OSError names `path`.
    """
    path = Path(path)
    found = check_target(path)
    place = Path(os.path.realpath(path))
    if found is not None and not (stat.S_ISREG(found.st_mode) and _is(place, found)):
        try:
            yield path
        except OSError as error:
            raise with_path(error, path) from error
        return
    # of a bounded length, so that every name that the system allows is one that can be written
    temporary = place.with_name(f".{place.name[:24]}.{secrets.token_hex(4)}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _make(temporary, found)
        yield temporary
        with open(temporary, "rb+") as file:  # Windows syncs nothing that is open for reading alone
            os.fsync(file.fileno())
        if found is not None and found.st_nlink > 1:
            _overwrite(place, temporary)
        else:
            if found is not None and stat.S_IMODE(temporary.stat().st_mode) != stat.S_IMODE(found.st_mode):
                temporary.chmod(stat.S_IMODE(found.st_mode))
            os.replace(temporary, place)
    except OSError as error:
        raise with_path(error, path, temporary, place) from error
    finally:
        with suppress(OSError):  # that of a folder which cannot be entered hides the one that says so
            temporary.unlink(missing_ok=True)


def check_target(path: str | os.PathLike[str]) -> os.stat_result | None:
    """What lies at `path`, links followed, None for nothing; ValueError for what no file is written to: a folder, a
    block device, a socket, no name at all. Commands ask before they compute."""
    if not os.fspath(path):
        raise ValueError("the name of the file to write is empty")
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    if (kind := _KINDS.get(stat.S_IFMT(found.st_mode))) in _REFUSED:
        raise ValueError(f"{path} is {kind}, wanted a file to write")
    return found


def check_source(path: str | os.PathLike[str]) -> None:
    """FileNotFoundError where nothing lies at `path`, FormatError for what is not read as a file: a folder, a device, a
    pipe, whose end nobody can foresee."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {os.fspath(path)}") from None
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no file")
        way_out = ": write what comes through it to a file first" if kind == "a pipe" else ""
        raise FormatError(f"{os.fspath(path)} is {kind}, wanted a regular file{way_out}")


def beside(path: str | os.PathLike[str], ending: str) -> Path:
    """`path` with `ending` after its name; a name too long for that is cut, and told from others by a hash."""
    path = Path(path)
    if len(os.fsencode(path.name + ending)) <= LONGEST:
        return path.with_name(path.name + ending)
    return path.with_name(f"{path.name[:24]}-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}{ending}")


def with_path(error: OSError, path: str | os.PathLike[str], *others: Path) -> OSError:
    """The error with `path` as its file, where it has none (a full disk) or one of `others`, which stand for it."""
    other = error.filename and os.fspath(error.filename) not in map(os.fspath, others)
    return error if other or not error.errno else OSError(error.errno, error.strerror, str(path))


def _is(place: Path, found: os.stat_result) -> bool:
    """Whether `found` can be replaced at `place`: an open file that was deleted is nowhere any more."""
    try:
        return os.path.samestat(os.stat(place), found)
    except FileNotFoundError:
        return False


def _make(temporary: Path, found: os.stat_result | None) -> None:
    """An empty file that nobody else can read while it takes the place of one with a mode and an owner of its own."""
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if found is None else 0o600))
    if found is not None and hasattr(os, "chown"):
        with suppress(OSError):  # not ours to give away
            os.chown(temporary, found.st_uid, found.st_gid)


def _overwrite(place: Path, temporary: Path) -> None:
    """The content of `temporary` into the file at `place`; a full disk is met before anything of the old is lost."""
    with open(temporary, "rb") as source, open(place, "rb+") as target:
        old, new = (os.fstat(file.fileno()).st_size for file in (target, source))
        if new > old and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(target.fileno(), old, new - old)
            except OSError as error:
                os.ftruncate(target.fileno(), old)
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise
        shutil.copyfileobj(source, target)
        target.truncate()
        target.flush()
        os.fsync(target.fileno())
