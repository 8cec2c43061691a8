"""Images or features and labels in arrays: of memory, or of an .npz file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.data.source import Indexed, as_labels
from lowbit.errors import DataError

__all__ = ["Layout", "from_arrays", "from_npz", "layout_of"]

_CHANNELS = (1, 3)
_IMAGES, _LABELS = ("images", "inputs", "x", "data"), ("labels", "label", "y", "targets")


@dataclass(frozen=True)
class Layout:
    """``text``: what an array was taken for.  ``rows``: some of its rows -> pixels (N, H, W, C) or what the network reads."""

    text: str
    rows: Callable[[np.ndarray], np.ndarray]


def _same(rows: np.ndarray) -> np.ndarray:
    return rows


def layout_of(array: np.ndarray) -> Layout:
    """Bytes are images (N, H, W), (N, H, W, C) or (N, C, H, W), C = 1 or 3; other numbers of four axes are (N, C, H, W) unless
    only their last axis can be the channels; everything else stays as it is.

    Raises DataError for bytes of four axes of which none can be the channels.
    """
    shape = array.shape
    if array.dtype == np.uint8 and len(shape) == 3:
        return Layout(f"grey pixels, {shape[1]} x {shape[2]}", lambda rows: rows[..., None])
    if len(shape) != 4:
        return Layout(f"{array.dtype} values of shape {'x'.join(map(str, shape[1:])) or '()'}", _same)
    first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
    sizes = " x ".join(map(str, shape[1:]))
    if array.dtype == np.uint8:
        if last:
            return Layout(f"uint8 pixels, channels last ({sizes})", _same)
        if first:
            return Layout(f"uint8 pixels, channels first ({sizes})", lambda rows: rows.transpose(0, 2, 3, 1))
        raise DataError(f"bytes of shape {shape}: neither axis 1 nor axis 3 has 1 or 3 channels")
    if last and not first:
        return Layout(f"{array.dtype}, channels last ({sizes}), brought to the front", lambda rows: rows.transpose(0, 3, 1, 2))
    return Layout(f"{array.dtype}, channels first ({sizes})", _same)


def from_arrays(values: Any, labels: Any, description: str = "arrays") -> Indexed:
    """A source of ``values`` (n, ...) and ``labels`` (n,).

    Labels that are sorted are read in a shuffled order (seed 0): a prefix of them would be of one class.  Raises DataError.
    """
    values = values.detach().cpu().numpy() if hasattr(values, "detach") else np.asanyarray(values)
    classes = as_labels(labels, description)
    if values.ndim < 1 or values.dtype.kind not in "fiub" or len(values) != len(classes) or not len(classes):
        raise DataError(
            f"{description}: {values.dtype} values of shape {values.shape} for {len(classes)} labels; "
            "both need the same number of samples, at least one"
        )
    layout = layout_of(values)
    order = np.arange(len(classes))
    shuffled = ""
    if len(classes) > 2 and classes[0] != classes[-1] and np.all(np.diff(classes) >= 0):
        order, shuffled = np.random.default_rng(0).permutation(len(classes)), "; sorted by label, so read in a shuffled order"
    text = f"{description}: {len(classes):,} samples, {layout.text}, labels {classes.min()}..{classes.max()}{shuffled}"

    def fetch(positions: np.ndarray) -> tuple[np.ndarray]:
        return (layout.rows(np.asarray(values[order[positions]])),)

    return Indexed(text, classes[order], fetch, lambda position: f"row {order[position]}")


def from_npz(path: Path) -> Indexed:
    """A source of an .npz file with arrays ``images`` (or inputs, x, data) and ``labels`` (or label, y, targets).

    Arrays that are stored uncompressed stay in the file and are mapped; compressed ones are read whole.  No pickles.
    Raises DataError saying what the file holds.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = list(arrays.files)
            images, labels = (next((n for n in wanted if n in names), None) for wanted in (_IMAGES, _LABELS))
            if images is None or labels is None:
                raise DataError(
                    f"{path} holds the arrays {', '.join(names) or '(none)'}; expected one of {', '.join(_IMAGES)} "
                    f"and one of {', '.join(_LABELS)}"
                )
            values = _mapped(path, images)
            return from_arrays(arrays[images] if values is None else values, arrays[labels], str(path))
    except DataError:
        raise
    except Exception as error:  # numpy, zipfile and zlib each have their own for a broken file; a wrong size is MemoryError
        raise DataError(f"{path} is not an .npz file of numbers: {error or type(error).__name__}") from None


def _mapped(path: Path, name: str) -> np.ndarray | None:
    """An array of an uncompressed .npz file as a map of the file; None where it is compressed."""
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
        if member.compress_type != zipfile.ZIP_STORED:
            return None
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)
        lengths = np.frombuffer(file.read(4), "<u2")
        file.seek(member.header_offset + 30 + int(lengths.sum()))
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject or 0 in shape:
            return None
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")
