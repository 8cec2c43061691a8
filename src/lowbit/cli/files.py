"""Files the verbs read and write, checked before any work is done."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from lowbit.errors import ConfigError, InputError

__all__ = ["check_folder", "check_writable", "read_array", "write_array"]


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
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"cannot write {path}: folder {folder}: {error.strerror}") from None


def read_array(path: Path, key: str = "") -> np.ndarray:
    """A ``.npy`` array, or array ``key`` of an ``.npz``; without a key ``images``, ``inputs``, ``x`` or
    the only one.  Pickles are refused.  Raises InputError saying what the file holds."""
    try:
        loaded = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is not a .npy or .npz file of numbers: {error}") from None
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        names = list(loaded.files)
        wanted = [key] if key else [n for n in ("images", "inputs", "x") if n in names][:1] or names
        if len(wanted) != 1 or wanted[0] not in names:
            expected = key or "one named images, inputs or x, or just one"
            raise InputError(f"{path} holds the arrays {', '.join(names) or '(none)'}; expected {expected}")
        try:
            return loaded[wanted[0]]
        except ValueError as error:
            raise InputError(f"{path}: array {wanted[0]}: {error}") from None


def write_array(path: Path, values: np.ndarray) -> None:
    """Write ``values`` as ``.npy`` under exactly this name."""
    with path.open("wb") as file:
        np.save(file, values, allow_pickle=False)
