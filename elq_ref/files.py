"""Writing files so that a reader never meets half of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it onto `path` if the body succeeds, remove it if it fails.

    A killed program leaves the previous file whole. Missing parent folders are made. An OSError names the path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        with open(temporary, "rb+") as file:  # Windows syncs nothing that is open for reading alone
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise with_path(error, path, temporary) from error
    finally:
        temporary.unlink(missing_ok=True)


def with_path(error: OSError, path: str | os.PathLike[str], temporary: Path | None = None) -> OSError:
    """The error with `path` as its file, where it has none (a full disk) or that of `temporary`."""
    other = error.filename and os.fspath(error.filename) != os.fspath(temporary or "")
    return error if other or not error.errno else OSError(error.errno, error.strerror, str(path))
