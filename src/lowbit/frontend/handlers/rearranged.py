"""Elements read from and written to constant positions: torch itself says where each one comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.concat import join
from lowbit.frontend.handlers.operands import constant
from lowbit.frontend.handlers.selection import take
from lowbit.frontend.handlers.shape import expand_to

__all__ = ["REARRANGED", "rearranged"]

_MOST = 1 << 16  # positions of a list that no axis explains

REARRANGED: dict[str, tuple[str, ...]] = {
    "diagonal_scatter": ("self", "src"),
    "gather": ("self",),
    "index_copy": ("self", "source"),
    "index_fill": ("self", "value"),
    "index_put": ("self", "values"),
    "masked_scatter": ("self", "source"),
    "scatter": ("self", "src", "value"),
    "select_scatter": ("self", "src"),
    "slice_scatter": ("self", "src"),
    "take": ("self",),
    "take_along_dim": ("self",),
}
"""Operation -> which arguments hold what it moves; all others must be constants."""


def rearranged(op: str) -> Callable[[Builder, Call], Value]:
    """The handler of an operation of :data:`REARRANGED`.

    Torch carries it out on the numbers of the elements, of one operand after the other, in place of these.  Where that is the
    same list of positions along one axis of their concatenation, whatever the other coordinates, it is read along that axis;
    else of each row, or of everything, as one long list.  What is written twice has its last value, as in torch on a CPU."""

    operation = getattr(torch.ops.aten, op)

    def handle(b: Builder, call: Call) -> Value:
        given = dict(call.args)
        if given.get("accumulate") or given.get("reduce"):
            call.refuse("it adds to what is there, which is not supported; positions may only be overwritten")
        moved = {name: given[name] for name in REARRANGED[op] if given.get(name) is not None}
        if any(isinstance(value, str) and value in b.types for value in _flat(set(given) - set(moved), given)):
            call.refuse("it reads or writes at positions that are computed; compute them outside, or make them constants")
        operands = [value if isinstance(value, str) else constant(value) for value in moved.values()]
        numbers, start = [], 0
        for value in operands:
            size = prod(b.shape(value))
            numbers.append(torch.arange(start, start + size).reshape(b.shape(value)))
            start += size
        stand_ins = {
            name: number if isinstance(value, (str, Tensor)) else int(number)
            for (name, value), number in zip(moved.items(), numbers, strict=True)
        }
        origin = operation(**{**{k: v for k, v in given.items() if v is not None}, **stand_ins})
        return _gathered(b, call, operands, numbers, origin)

    handle.__wrapped__ = operation  # type: ignore[attr-defined]
    return handle


def _flat(names: set[str], given: dict[str, Any]) -> list[Any]:
    return [one for name in names for one in (given[name] if isinstance(given[name], (list, tuple)) else [given[name]])]


def _gathered(b: Builder, call: Call, operands: Sequence[Value], numbers: Sequence[Tensor], origin: Tensor) -> Value:
    """The elements of the operands whose ``numbers`` are those of ``origin``."""
    shape = tuple(origin.shape)
    for axis in range(len(shape)):
        if (found := _along(numbers, origin, axis)) is not None:
            return _taken(b, call, operands, shape, axis, found)
    if origin.numel() > _MOST:
        call.refuse(f"{origin.numel()} elements in an order that no axis explains; supported are {_MOST}")
    rows = shape[:1]  # of each, as far as each reads from its own
    if rows and all(number.shape[:1] == rows or number.numel() == 1 for number in numbers):
        flat = [number.reshape(*rows, -1) if number.shape[:1] == rows else number.reshape(1, 1) for number in numbers]
        if (found := _along(flat, origin.reshape(*rows, -1), 1)) is not None:
            parts = [_reshaped(b, call, value, number.shape) for value, number in zip(operands, flat, strict=True)]
            y = _taken(b, call, parts, (*rows, origin[0].numel()), 1, found)
            return _reshaped(b, call, y, shape)
    found = _along([number.reshape(-1) for number in numbers], origin.reshape(-1), 0)
    assert found is not None  # every element comes from somewhere
    parts = [_reshaped(b, call, value, (prod(b.shape(value)),)) for value in operands]
    return _reshaped(b, call, _taken(b, call, parts, (origin.numel(),), 0, found), shape)


def _reshaped(b: Builder, call: Call, value: Value, shape: Sequence[int]) -> Value:
    return b.reshape(call, value, tuple(shape)) if isinstance(value, str) else value.reshape(tuple(shape))


def _beside(shape: Sequence[int], wanted: Sequence[int], axis: int) -> tuple[int, ...] | None:
    """``wanted`` with an operand's own extent at ``axis``; None where it does not broadcast to that."""
    own = (1,) * (len(wanted) - len(shape)) + tuple(shape)
    if len(own) > len(wanted) or any(a not in (1, b) for k, (a, b) in enumerate(zip(own, wanted, strict=True)) if k != axis):
        return None
    return (*wanted[:axis], own[axis], *wanted[axis + 1 :])


def _along(numbers: Sequence[Tensor], origin: Tensor, axis: int) -> list[int] | None:
    """Positions along ``axis`` of the concatenated numbers that give ``origin``; None where there are none."""
    shapes = [_beside(number.shape, origin.shape, axis) for number in numbers]
    if any(shape is None for shape in shapes) or not origin.numel():
        return None
    joined = torch.cat([number.expand(shape) for number, shape in zip(numbers, shapes, strict=True) if shape is not None], axis)
    first = {int(number): k for k, number in enumerate(joined.movedim(axis, -1).reshape(-1, joined.shape[axis])[0])}
    wanted = [int(number) for number in origin.movedim(axis, -1).reshape(-1, origin.shape[axis])[0]]
    if not all(number in first for number in wanted):
        return None
    found = [first[number] for number in wanted]
    return found if torch.equal(joined.index_select(axis, torch.tensor(found)), origin) else None


def _taken(b: Builder, call: Call, operands: Sequence[Value], shape: tuple[int, ...], axis: int, found: list[int]) -> Value:
    """The positions ``found`` along ``axis`` of those operands that any of them reads."""
    used: list[Value] = []
    places: dict[int, int] = {}
    start = 0
    for value in operands:
        wide = _beside(b.shape(value), shape, axis)
        assert wide is not None  # _along has seen to that
        own = range(start, start + wide[axis])
        start = own.stop
        if any(k in own for k in set(found)):
            places.update(zip(own, range(len(places), len(places) + len(own)), strict=True))
            used.append(expand_to(b, call, value, wide) if isinstance(value, str) else value.expand(wide))
    joined = join(b, call, used, axis)
    positions = [places[k] for k in found]
    if isinstance(joined, Tensor):
        return joined.index_select(axis, torch.tensor(positions))
    return take(b, call, joined, {axis: positions})
