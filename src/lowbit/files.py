"""Files that are written whole or not at all, and the temporary folder."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lowbit.errors import ConfigError, LowbitError

__all__ = ["as_path", "cache_folder", "check_folder", "check_writable", "no_room", "scratch_folder", "unwritable", "write_whole"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


def cache_folder() -> Path:
    """``$LOWBIT_CACHE``, else ``$XDG_CACHE_HOME/lowbit``, else ``~/.cache/lowbit``."""
    if own := os.environ.get("LOWBIT_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lowbit"


def write_whole(
    path: str | os.PathLike[str],
    *pieces: bytes | bytearray | memoryview | str,
    executable: bool = False,
    error: type[LowbitError] = LowbitError,
) -> None:
    """Write ``pieces`` (text as UTF-8), one after the other, to a file beside ``path`` and give it that name.

    Who reads ``path``, after a full disk, a kill or a crash of the machine, too, finds the old file or the whole
    new one.  A link is followed.  Permissions are those of a new file.  Raises ``error`` where it cannot be written.
    """
    import tempfile

    final = Path(os.path.realpath(path))
    try:
        handle, temporary = tempfile.mkstemp(prefix=".lowbit-", dir=final.parent)
    except OSError as problem:
        raise error(f"cannot write {path}: {final.parent}: {problem.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece.encode(errors="backslashreplace") if isinstance(piece, str) else piece)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, (0o777 if executable else 0o666) & ~mask)
        os.replace(temporary, final)
    except BaseException as problem:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(problem, OSError):
            raise error(f"cannot write {path}: {problem.strerror}") from None
        raise


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder below the temporary one ($TMPDIR), removed with all that is in it at the end.

    Raises LowbitError naming the folder where it cannot be made, or turns out to be full or read-only inside the block.
    """
    import tempfile

    try:
        folder = tempfile.mkdtemp(prefix="lowbit-")
    except OSError as problem:
        where = problem.filename or f"({problem.strerror})"
        raise no_room(where, str(problem.strerror)) from None
    try:
        yield Path(folder)
    except OSError as problem:
        if problem.errno not in _FULL:
            raise
        raise no_room(folder, str(problem.strerror)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def no_room(where: str | os.PathLike[str], why: str) -> LowbitError:
    """The error about a temporary folder."""
    return LowbitError(
        f"the temporary folder {os.fspath(where)} is full or cannot be written: {why}; "
        "make room there, or name another folder in the environment variable TMPDIR"
    )


def unwritable(folder: Path, room: int = 1 << 20) -> LowbitError | None:
    """The error to raise if ``room`` bytes cannot be written into ``folder``; None if they can."""
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(room))
            file.flush()
    except OSError as problem:
        return no_room(folder, str(problem.strerror))
    return None


def as_path(path: str | os.PathLike[str], what: str) -> Path:
    """``path`` of the argument ``what``.  Raises ConfigError for what names no file: another type, a zero character."""
    try:
        name = os.fsdecode(path)
        if isinstance(path, bytes) or "\0" in name:
            raise ValueError
        os.fsencode(name)
    except (TypeError, ValueError):
        raise ConfigError(f"{what} is the path of a file, not {path!r}") from None
    return Path(name)


def check_writable(path: Path) -> None:
    """Raise ConfigError now if ``path`` cannot be written later: hours of work may lie between."""
    if path.exists() and not path.is_file():
        raise ConfigError(f"cannot write {path}: it is there and is not a regular file")
    _probe(path.parent, path)


def check_folder(path: Path) -> None:
    """Make the folder ``path``; raise ConfigError if that fails or nothing can be written into it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {path}: {error.strerror}") from None
    _probe(path, path)


def _probe(folder: Path, path: Path) -> None:
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"cannot write {path}: folder {folder}: {error.strerror}") from None
