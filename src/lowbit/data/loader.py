"""Samples from Python: loaders that yield (inputs, labels), and data sets that are indexed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from lowbit.data.arrays import layout_of
from lowbit.data.source import Indexed, Raw, Stream, as_labels
from lowbit.errors import DataError

__all__ = ["from_iterable", "from_map_style", "is_map_style"]


def _array(value: Any, where: str) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value  # numpy has no bfloat16
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{where}: a value of type {type(value).__name__}; inputs are tensors, arrays or images")
    return array


def _pair(item: Any, where: str) -> tuple[tuple[Any, ...], Any]:
    """((inputs...), labels) of (x, label), ((x, y), label), [x, label]."""
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(f"{where} is a {type(item).__name__}; a loader yields (inputs, labels)")
    x, labels = item
    return (tuple(x) if isinstance(x, tuple | list) else (x,)), labels


def from_iterable(open_again: Callable[[], Iterable[Any]], description: str) -> Stream:
    """A source of what ``open_again()`` yields: (x, labels), x an array or tensor (n, ...) or a tuple of one for
    each input; or one sample and its label.  Raises DataError when it is read."""

    def rows_of(item: Any, index: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        where = f"{description}, item {index}"
        given, label = _pair(item, where)
        labels = _array(label, where)
        arrays = [_array(x, where) for x in given]
        if labels.ndim == 0:
            labels, arrays = labels[None], [_pixels(x)[None] for x in arrays]
        classes = as_labels(labels, where)
        if any(x.ndim < 1 or len(x) != len(classes) for x in arrays):
            raise DataError(f"{where}: inputs of shapes {[x.shape for x in arrays]} for {len(classes)} labels")
        return tuple(layout_of(x).rows(x) for x in arrays), classes

    return Stream(description, open_again, rows_of)


def _pixels(x: np.ndarray) -> np.ndarray:
    return x[..., None] if x.dtype == np.uint8 and x.ndim == 2 else x


def is_map_style(given: Any) -> bool:
    """Whether it is indexed and each item is one sample with one label, as a torch.utils.data.Dataset."""
    if not (hasattr(given, "__getitem__") and hasattr(given, "__len__")) or not len(given):
        return False
    try:
        item = given[0]
    except (KeyError, TypeError):
        return False
    return isinstance(item, tuple | list) and len(item) == 2 and np.ndim(item[1]) == 0


def from_map_style(given: Any, description: str) -> Indexed:
    """A source of something indexed: item i is (x, label), x a PIL image, array or tensor.

    Labels are read from its ``targets`` or ``labels`` where it has them, else from all its items, once.  Raises DataError.
    """
    known = next((getattr(given, name) for name in ("targets", "labels") if hasattr(given, name)), None)
    if known is None or len(known) != len(given):
        known = [_pair(given[i], f"{description}, item {i}")[1] for i in range(len(given))]
    labels = as_labels(np.asarray(known), description)
    order = np.arange(len(labels))
    if len(labels) > 2 and labels[0] != labels[-1] and np.all(np.diff(labels) >= 0):
        order = np.random.default_rng(0).permutation(len(labels))

    def fetch(positions: np.ndarray) -> tuple[Raw, ...]:
        items = [_pair(given[int(order[p])], f"{description}, item {order[p]}")[0] for p in positions]
        inputs: list[Raw] = []
        for column, values in enumerate(zip(*items, strict=True)):
            arrays = [_array(value, f"{description}, item {order[p]}") for value, p in zip(values, positions, strict=True)]
            if not column and all(a.dtype == np.uint8 and a.ndim in (2, 3) for a in arrays):
                inputs.append([_last(_pixels(a)) for a in arrays])
                continue
            if len({a.shape for a in arrays}) > 1:
                raise DataError(f"{description}: items of several shapes, {sorted({a.shape for a in arrays})}")
            inputs.append(np.stack(arrays))
        return tuple(inputs)

    names = tuple(str(name) for name in getattr(given, "classes", ()))
    text = f"{description}: {len(labels):,} samples, labels {labels.min()}..{labels.max()}"
    return Indexed(text, labels[order], fetch, lambda position: f"item {order[position]}", names)


def _last(image: np.ndarray) -> np.ndarray:
    """uint8 (C, H, W) tensors as (H, W, C)."""
    return layout_of(image[None]).rows(image[None])[0]
