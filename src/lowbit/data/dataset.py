"""Labelled samples as a network reads them, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from lowbit.data.part import Part
from lowbit.data.preprocessing import Preprocessing
from lowbit.data.source import Raw, Rows, Source
from lowbit.errors import ConfigError, DataError

__all__ = ["Batch", "Dataset"]

_BATCH = 50


@dataclass(frozen=True)
class Batch:
    """``inputs``: one float32 array (n, ...) for each input of the network; ``labels``: int64 (n,); ``positions``: of the
    samples in their source, int64 (n,)."""

    inputs: tuple[np.ndarray, ...]
    labels: np.ndarray
    positions: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Labelled samples of ``source``, made into a network's inputs by ``preprocessing``, the positions of ``part``.

    ``preprocessing`` works on the first input: a Preprocessing, any function uint8 (N, H, W, C) -> float32 (N, C, H, W), or None
    for samples that are what the network reads already.  Nothing is read before it is asked for and no more than a batch is
    held; it can be read any number of times where its source can.  A Dataset may be given as ``calibration`` anywhere.
    """

    source: Source
    preprocessing: Callable[[np.ndarray], np.ndarray] | None = None
    part: Part = field(default_factory=Part)

    @property
    def description(self) -> str:
        """What was found, in words."""
        return self.source.description

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label; () where nobody named them."""
        return self.source.classes

    @property
    def count(self) -> int | None:
        """Samples; None: only reading tells."""
        if self.source.count is None:
            return None
        return len(self.part.of(self.source.count))

    @property
    def labels(self) -> np.ndarray | None:
        """All labels in order, int64; None: only reading tells."""
        if self.source.labels is None:
            return None
        return self.source.labels[self.part.of(len(self.source.labels))]

    def where(self, position: int) -> str:
        """The file or the index of a sample by its position (:attr:`Batch.positions`)."""
        return self.source.where(int(position))

    def split(self, share: float = 0.2) -> tuple[Dataset, Dataset]:
        """(for calibration, for evaluation): every k-th sample and all others, k = round(1 / ``share``).

        The two share no sample.  Raises ConfigError for a share outside (0, 0.5], or of what is a part already.
        """
        if not 0 < share <= 0.5:
            raise ConfigError(f"a share of {share} for calibration; write a number above 0 and up to 0.5")
        if self.part != Part():
            raise ConfigError(f"{self.description}: this is a part of it already; split the whole")
        period = round(1 / share)
        return replace(self, part=Part(period, True)), replace(self, part=Part(period, False))

    def take(self, limit: int | None) -> Dataset:
        """The first ``limit`` samples; None: all.  Raises ConfigError for less than one."""
        if limit is None:
            return self
        if limit < 1:
            raise ConfigError(f"at least one sample is needed, not {limit}")
        fewer = limit if self.part.limit is None else min(limit, self.part.limit)
        return replace(self, part=replace(self.part, limit=fewer))

    def batches(self, size: int = _BATCH) -> Iterator[Batch]:
        """All samples in order, ``size`` at a time; the last batch may have fewer.

        Raises DataError naming the sample: one that is not finite, images of several sizes, pixels without preprocessing.
        """
        for rows in self.source.read(self.part, size):
            first, *others = rows.inputs
            inputs = (self._prepared(first, rows), *(np.asarray(value, np.float32) for value in others))
            for value in inputs:
                finite = np.isfinite(value).reshape(len(value), -1).all(1)
                if not finite.all():
                    raise DataError(f"{self.where(rows.positions[finite.argmin()])} holds NaN or infinity ({self.description})")
            yield Batch(inputs, rows.labels, rows.positions)

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        """(inputs..., labels) batch by batch: what calibration takes, which ignores the labels."""
        for batch in self.batches():
            yield (*batch.inputs, batch.labels)

    def _prepared(self, raw: Raw, rows: Rows) -> np.ndarray:
        prepare = self.preprocessing
        values = self._stacked(raw, rows) if isinstance(raw, list) else raw
        if values.dtype == np.uint8 and values.ndim == 4:
            if prepare is None:
                raise DataError(
                    f"{self.description}: pixels are uint8; say how they become the network's inputs: "
                    "Preprocessing(divisor, mean, std), or --scale 255 --mean 0.5 --std 0.5 (--scale 1: as they are)"
                )
            if isinstance(prepare, Preprocessing) and not isinstance(raw, list) and (prepare.size or prepare.resize):
                values = self._stacked(list(values), rows)
            return np.ascontiguousarray(prepare(values), np.float32)
        values = np.ascontiguousarray(values, np.float32)
        return prepare.floats(values) if isinstance(prepare, Preprocessing) and values.ndim > 1 else values

    def _stacked(self, images: list[np.ndarray], rows: Rows) -> np.ndarray:
        """Images of one size, (n, H, W, C)."""
        fitted = []
        for image, position in zip(images, rows.positions, strict=True):
            try:
                fitted.append(self.preprocessing.fit(image) if isinstance(self.preprocessing, Preprocessing) else image)
            except DataError as error:
                raise DataError(f"{self.where(position)}: {error}") from None
            if fitted[-1].shape != fitted[0].shape:
                raise DataError(
                    f"{self.where(position)} is {fitted[-1].shape}, {self.where(rows.positions[0])} is {fitted[0].shape} "
                    "(height, width, channels); say the size all shall have (size=, --size)"
                )
        return np.stack(fitted)
