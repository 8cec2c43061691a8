"""One measurement at a time on a machine, and nothing else of ours beside it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lowbit.files import cache_folder

__all__ = ["busy", "quiet"]


@contextmanager
def quiet(folder: Path | None = None) -> Iterator[None]:
    """Waits until no worker of this machine (and user) computes or measures, and keeps them from it meanwhile.

    Locks of the operating system: those of a killed process are released."""
    with _lock(folder, "turn", fcntl.LOCK_EX), _lock(folder, "work", fcntl.LOCK_EX):
        yield


@contextmanager
def busy(folder: Path | None = None) -> Iterator[None]:
    """Computes beside others, but not while somebody measures or waits to."""
    with _lock(folder, "turn", fcntl.LOCK_EX):
        held = _open(folder, "work")
        fcntl.flock(held, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(held)


@contextmanager
def _lock(folder: Path | None, name: str, how: int) -> Iterator[None]:
    held = _open(folder, name)
    try:
        fcntl.flock(held, how)
        yield
    finally:
        os.close(held)


def _open(folder: Path | None, name: str) -> int:
    folder = cache_folder() / "search" if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    return os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
