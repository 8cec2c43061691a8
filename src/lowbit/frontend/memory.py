"""What the nodes of a traced program hold: values, and which of them share memory.

Values are immutable: an in-place operation makes a new one, and every node that looks at the written memory holds
something new from then on.  A copy is another memory, whatever operation made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import fx

__all__ = ["Memory", "shares_memory"]

_MAY_BE_OPERAND = frozenset({"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"})
"""Operations that return their operand itself in evaluation, though tracing pretends a copy."""

_ALWAYS_COPIES = frozenset({"lift_fresh_copy", "channel_shuffle"})
"""Operations that copy when they run, though tracing pretends a view."""


def _storage(node: fx.Node) -> Any:
    """Identity of the memory that tracing gave the result (of several: the first; they share or are all fresh)."""
    value = node.meta.get("val")
    value = value[0] if isinstance(value, (list, tuple)) and value else value
    plain = isinstance(value, torch.Tensor) and value.layout == torch.strided
    return value.untyped_storage()._cdata if plain else None


def shares_memory(node: fx.Node) -> fx.Node | None:
    """The operand whose memory the result shares: a view, or the operand itself; None for a fresh result.

    Decided by the storages of the traced tensors, so ``reshape``, ``contiguous`` or ``to`` is a copy exactly where it
    was one for the example's strides.
    """
    schema = getattr(node.target, "_schema", None)
    name = schema.name.split("::")[-1] if schema is not None else ""
    if name in _ALWAYS_COPIES:
        return None
    if name.rstrip("_") in _MAY_BE_OPERAND:
        return node.all_input_nodes[0]
    storage = _storage(node)
    return next((operand for operand in node.all_input_nodes if storage is not None and _storage(operand) == storage), None)


class _Later:
    """A value that is computed when it is first asked for."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make: Callable[[], Any] | None = make
        self._value: Any = None

    def __call__(self) -> Any:
        if self._make is not None:
            self._value, self._make = self._make(), None
        return self._value


def _now(value: Any) -> Any:
    return value() if isinstance(value, _Later) else value


Again = Callable[[fx.Node, fx.Node, Any], Any]
"""(view node, its base, value of the base) -> value of the view."""
Merge = Callable[[fx.Node, fx.Node, Any, Any], Any]
"""(view node, its base, old value of the base, new value of the view) -> new value of the base."""


class Memory:
    """``memory[node]`` is the node's value at this point of the program."""

    def __init__(self, again: Again) -> None:
        self._again = again
        self._values: dict[fx.Node, Any] = {}
        self._base: dict[fx.Node, fx.Node] = {}
        self._written: set[fx.Node] = set()
        self._members: dict[fx.Node, list[fx.Node]] = {}

    def __getitem__(self, node: fx.Node) -> Any:
        return _now(self._values[node])

    def define(self, node: fx.Node, value: Any, base: fx.Node | None = None, *, writes: bool = False) -> None:
        """``base``: what ``node`` shares its memory with; all of it in order where ``node`` is what wrote it."""
        self._values[node] = value
        if writes:
            self._written.add(node)
        if base is not None:
            self._base[node] = base
        self._members.setdefault(self.root(node), []).append(node)

    def root(self, node: fx.Node) -> fx.Node:
        """The node that made the memory."""
        return ([node, *self._bases(node)])[-1]

    def write(self, target: fx.Node, value: Any, merge: Merge) -> None:
        """``target``'s elements become ``value``: its bases get them merged in, other views of those are taken again,
        parts that do not touch them stay.  All but the written part is done when somebody asks for it."""
        new: dict[fx.Node, Any] = {target: value}
        child = target
        for base in self._bases(target):
            if _overlap(self._region(base), self._region(target)) is None:
                new[base] = value
            else:
                new[base] = _Later(partial(self._merged, merge, child, base, self._values[base], new[child]))
            child = base
        for member in self._members[child]:
            if member in new:
                continue
            overlap = _overlap(self._region(member), self._region(target))
            if overlap is None:
                new[member] = value
            elif overlap:
                base = self._base[member]
                new[member] = _Later(partial(self._taken, member, base, new.get(base, self._values[base])))
        self._values.update(new)

    def shows_twice(self, node: fx.Node) -> bool:
        """Whether two elements of a node are one place in memory, as in windows that overlap."""
        region = self._region(node)
        if region is None:
            return False
        reach = 0  # of the axes with smaller strides
        for stride, extent in sorted(zip(region[2], region[1], strict=True)):
            if extent > 1 and stride <= reach:
                elements = _elements(region)
                return len(np.unique(elements)) < len(elements)
            reach += (extent - 1) * stride
        return False

    def _taken(self, node: fx.Node, base: fx.Node, value: Any) -> Any:
        return _now(value) if node in self._written else self._again(node, base, _now(value))

    def _merged(self, merge: Merge, child: fx.Node, base: fx.Node, old: Any, new: Any) -> Any:
        return _now(new) if child in self._written else merge(child, base, _now(old), _now(new))

    def _bases(self, node: fx.Node) -> Iterator[fx.Node]:
        while node in self._base:
            node = self._base[node]
            yield node

    def _region(self, node: fx.Node) -> _Region | None:
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
            return None
        return _storage(node), tuple(value.shape), tuple(value.stride()), int(value.storage_offset())


_Region = tuple[Any, tuple[int, ...], tuple[int, ...], int]


def _overlap(a: _Region | None, b: _Region | None) -> bool | None:
    """None where both are the same elements in the same order; else whether they may have one in common."""
    if a is None or b is None or a[0] != b[0]:
        return True
    if a == b:
        return None
    first, second = _elements(a), _elements(b)
    return bool(np.intersect1d(first, second).size)


def _elements(region: _Region) -> np.ndarray:
    _, shape, strides, offset = region
    positions = np.asarray(offset)
    for extent, stride in zip(shape, strides, strict=True):
        positions = positions[..., None] + np.arange(extent) * stride
    return positions.reshape(-1)
