"""Where labelled samples come from: places that can be looked up, and streams that can only be read from their front."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np

from lowbit.data.part import Part
from lowbit.errors import DataError

__all__ = ["Indexed", "Raw", "Rows", "Source", "Stream", "as_labels", "at_position"]

Raw = np.ndarray | list[np.ndarray]
"""One input of several samples: an array whose axis 0 is the samples, or a list of uint8 images (H, W, C) of any sizes."""


@dataclass(frozen=True)
class Rows:
    """``positions`` in the source, int64 (n,); ``inputs``: one Raw for each input of the network; ``labels``: int64 (n,)."""

    positions: np.ndarray
    inputs: tuple[Raw, ...]
    labels: np.ndarray


class Source(Protocol):
    """uint8 values of four axes are pixels (N, H, W, C); other numbers are what the network reads, but for preprocessing.

    ``description``: what it is, in words.  ``count``: samples; None: only reading tells.  ``labels``: of all samples, int64;
    None: only reading tells.  ``classes``: their names by label, () where nobody named them.
    """

    @property
    def description(self) -> str: ...
    @property
    def count(self) -> int | None: ...
    @property
    def labels(self) -> np.ndarray | None: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    def read(self, part: Part, size: int) -> Iterator[Rows]:
        """The samples of ``part`` in order, ``size`` at a time (the last may be fewer)."""
        ...

    def where(self, position: int) -> str:
        """The file or the index of one sample, for messages."""
        ...


def at_position(position: int) -> str:
    """What to call a sample that has no other name."""
    return f"sample {position}"


@dataclass(frozen=True)
class Indexed:
    """A source of which any sample can be fetched.  ``fetch``: positions int64 (n,) -> the inputs."""

    description: str
    labels: np.ndarray
    fetch: Callable[[np.ndarray], tuple[Raw, ...]]
    where: Callable[[int], str] = at_position
    classes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return len(self.labels)

    def read(self, part: Part, size: int) -> Iterator[Rows]:
        positions = part.of(self.count)
        for start in range(0, len(positions), size):
            chunk = positions[start : start + size]
            yield Rows(chunk, self.fetch(chunk), self.labels[chunk])


@dataclass(frozen=True)
class Stream:
    """Batches or single samples, one after the other.  ``open`` starts anew; each item is (inputs, labels), see ``rows_of``.

    Positions count samples from 0.  Raises DataError where a second reading begins with another sample: parts of it would
    not be what they were.
    """

    description: str
    open: Callable[[], Iterable[Any]]
    rows_of: Callable[[Any, int], tuple[tuple[np.ndarray, ...], np.ndarray]]
    classes: tuple[str, ...] = ()
    _first: list[bytes] = field(default_factory=list, repr=False, compare=False)

    count = None
    labels = None

    def where(self, position: int) -> str:
        return at_position(position)

    def read(self, part: Part, size: int) -> Iterator[Rows]:
        waiting: list[Rows] = []
        left, seen = part.limit, 0
        for index, item in enumerate(self.open()):
            inputs, labels = self.rows_of(item, index)
            if not index:
                self._check_order(inputs, labels)
            positions = seen + np.arange(len(labels))
            seen += len(labels)
            mask = np.flatnonzero(part.holds(positions))[:left]
            left = None if left is None else left - len(mask)
            waiting.append(Rows(positions[mask], tuple(value[mask] for value in inputs), labels[mask]))
            while sum(len(rows.labels) for rows in waiting) >= size:
                joined = _joined(waiting)
                yield _slice(joined, slice(size))
                waiting = [_slice(joined, slice(size, None))]
            if left == 0:
                break
        if not seen:
            raise DataError(
                f"{self.description} yields nothing; a generator can be read once only: give the function that makes it"
            )
        if sum(len(rows.labels) for rows in waiting):
            yield _joined(waiting)

    def _check_order(self, inputs: Sequence[np.ndarray], labels: np.ndarray) -> None:
        digest = blake2b(b"".join(np.ascontiguousarray(value[:1]).tobytes() for value in (*inputs, labels))).digest()
        if not self._first:
            self._first.append(digest)
        elif self._first[0] != digest:
            raise DataError(
                f"{self.description}: its first sample is another one than last time; calibration and evaluation would mix. "
                "Yield the samples in a fixed order (shuffle=False, a seed), or give calibration data of its own"
            )


def _joined(waiting: Sequence[Rows]) -> Rows:
    inputs = tuple(np.concatenate(parts) for parts in zip(*(rows.inputs for rows in waiting), strict=True))
    return Rows(np.concatenate([r.positions for r in waiting]), inputs, np.concatenate([r.labels for r in waiting]))


def _slice(rows: Rows, part: slice) -> Rows:
    return Rows(rows.positions[part], tuple(value[part] for value in rows.inputs), rows.labels[part])


def as_labels(given: Any, description: str) -> np.ndarray:
    """Labels as int64 (n,).  Raises DataError for anything but whole numbers from 0 on, one for each sample."""
    array = np.asarray(given)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iufb":
        raise DataError(
            f"{description}: labels of shape {array.shape} and type {array.dtype}; they must be one class number for each sample"
        )
    whole = array.astype(np.int64) if np.isfinite(array).all() else np.full(array.shape, -1)
    bad = np.flatnonzero((whole != array) | (whole < 0))
    if bad.size:
        raise DataError(
            f"{description}: label {bad[0]} is {array[bad[0]]}; labels are whole numbers from 0 on ({bad.size:,} are not)"
        )
    return whole
