"""The inverse of a view: the base after the elements that a view of it shows were written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value, schema_of
from lowbit.frontend.handlers.concat import join
from lowbit.frontend.handlers.slicing import part

__all__ = ["merge"]

_PIECES = frozenset({"split", "split_with_sizes", "chunk", "tensor_split"})


def merge(b: Builder, call: Call, view: fx.Node, arguments: dict[str, Any], old: Value, new: Any) -> Any:
    """The new value of what ``view`` (with these arguments) shows a part of; ``call`` is the write, for its place.

    Views that show every element once (reshapes, permutations) are undone; a part is put between what is left of the
    base.  Raises UnsupportedOperation for other views.
    """
    if schema_of(view) is None:  # one of several results
        index = view.args[1]
        return tuple(new if k == index else value for k, value in enumerate(old))
    op = schema_of(view).name.split("::")[-1]
    rank = len(b.shape(old))
    axis = int(arguments["dim"]) % max(rank, 1) if isinstance(arguments.get("dim"), int) else 0
    if op in _PIECES and isinstance(new, tuple):
        return join(b, call, list(new), axis)
    if op == "unbind" and isinstance(new, tuple):
        return join(b, call, [_reshaped(b, call, value, _with_axis(b.shape(value), axis, 1)) for value in new], axis)
    shown = _shown(view, arguments, b.shape(old))
    if shown is None or not isinstance(new, (str, torch.Tensor)):
        call.refuse(f"it writes into memory that is also read through {view.target}, which is not supported")
    order = sorted(range(shown.dim()), key=lambda d: -shown.stride(d))
    if torch.equal(shown.permute(order).reshape(-1), torch.arange(_count(b.shape(old)))):
        return _reshaped(b, call, _permuted(b, call, new, order), b.shape(old))
    if op not in ("slice", "narrow", "select"):
        call.refuse(f"it writes into memory that is also read through {view.target}, which is not supported")
    if op == "select":
        new = _reshaped(b, call, new, _with_axis(b.shape(new), axis, 1))
    step = int(arguments["step"]) if op == "slice" else 1
    unit = _count(b.shape(old)[axis + 1 :])
    return _replaced(b, call, old, new, axis, int(shown.storage_offset()) // unit, step)


def _replaced(b: Builder, call: Call, old: Value, new: Value, axis: int, start: int, step: int) -> Value:
    """old[start : : step] = new along ``axis``."""
    size, count = b.shape(old)[axis], b.shape(new)[axis]
    if not count:
        return old
    if step > 1 and count > 1 and start + step * count > size:  # the last one has no whole step behind it
        last = start + step * (count - 1)
        old = _replaced(b, call, old, part(b, call, new, axis, 0, count - 1), axis, start, step)
        return _replaced(b, call, old, part(b, call, new, axis, count - 1, 1), axis, last, 1)
    stop = start + (step * count if count > 1 else 1)
    middle = new
    if step > 1 and count > 1:
        rows = part(b, call, old, axis, start, step * count)
        shape = list(b.shape(rows))
        rows = part(b, call, _reshaped(b, call, rows, [*shape[:axis], count, step, *shape[axis + 1 :]]), axis + 1, 1, step - 1)
        written = _reshaped(b, call, new, _with_axis(b.shape(new), axis + 1, 1))
        middle = _reshaped(b, call, join(b, call, [written, rows], axis + 1), shape)
    before, after = part(b, call, old, axis, 0, start), part(b, call, old, axis, stop, size - stop)
    return join(b, call, [before, middle, after], axis)


def _shown(view: fx.Node, arguments: dict[str, Any], shape: tuple[int, ...]) -> torch.Tensor | None:
    """For every element of the view its index in the base, as a strided view of 0, 1, 2, ...; None if it is none."""
    base = torch.arange(_count(shape)).reshape(shape)
    names = [argument.name for argument in schema_of(view).arguments]
    plain = {name: value for name, value in arguments.items() if name != names[0]}
    if any(isinstance(value, (str, torch.Tensor)) for value in plain.values()) or plain.get("dtype") is not None:
        target = tuple(view.meta["val"].shape)
        return base.reshape(target) if _count(target) == base.numel() else None
    shown = view.target(base, **plain)
    return shown if isinstance(shown, torch.Tensor) and shown.untyped_storage()._cdata == base.untyped_storage()._cdata else None


def _count(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _with_axis(shape: Sequence[int], axis: int, size: int) -> list[int]:
    return [*shape[:axis], size, *shape[axis:]]


def _reshaped(b: Builder, call: Call, value: Value, shape: Sequence[int]) -> Value:
    return b.reshape(call, value, shape) if isinstance(value, str) else value.reshape(tuple(shape))


def _permuted(b: Builder, call: Call, value: Value, order: Sequence[int]) -> Value:
    return b.permute(call, value, order) if isinstance(value, str) else value.permute(tuple(order))
