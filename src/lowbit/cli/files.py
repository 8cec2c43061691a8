"""Arrays and JSON that the verbs read and write."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowbit.errors import InputError
from lowbit.files import write_whole

if TYPE_CHECKING:
    import numpy as np

__all__ = ["read_array", "read_samples", "write_array", "write_json"]


def read_array(path: Path, key: str = "") -> np.ndarray:
    """A ``.npy`` array, or array ``key`` of an ``.npz``; without a key ``images``, ``inputs``, ``x`` or
    the only one.  Pickles are refused.  Raises InputError saying what the file holds."""
    import numpy as np

    try:
        loaded = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except Exception as error:  # numpy, zipfile and zlib each have their own for a broken file; a wrong size is MemoryError
        raise InputError(f"{path} is not a .npy or .npz file of numbers: {error or type(error).__name__}") from None
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
        except Exception as error:
            raise InputError(f"{path}: array {wanted[0]}: {error or type(error).__name__}") from None


def read_samples(path: Path) -> list[np.ndarray]:
    """The rows of :func:`read_array`, as ``compile(calibration=)`` takes them."""
    import numpy as np

    return list(np.atleast_1d(read_array(path)))


def write_array(path: Path, values: np.ndarray) -> None:
    """Write ``values`` as ``.npy`` under exactly this name."""
    import numpy as np

    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    write_whole(path, file.getbuffer())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` as JSON, one line a value."""
    write_whole(path, json.dumps(content, indent=1), "\n")
