"""Conditions that are computed: 1 for true and 0 for false, as torch takes bool for a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call
from lowbit.frontend.handlers.composed import composed

__all__ = ["COMPARISONS", "CONNECTIVES", "connective"]


def _over(x: Any, y: Any) -> Tensor:
    """x > y."""
    difference = x if _is_zero(y) else -y if _is_zero(x) else x - y
    return difference.sign().relu()


def _apart(x: Any, y: Any) -> Tensor:
    """x != y."""
    return (x if _is_zero(y) else x - y).sign().abs()


def _is_zero(x: Any) -> bool:
    return isinstance(x, (int, float)) and x == 0


def _number(x: Any) -> Any:
    """A condition, computed or constant, as a number."""
    return x.float() if isinstance(x, Tensor) else float(x)


def _reduced(extreme: Callable[..., Tensor], x: Any, dim: Any, keepdim: bool) -> Tensor:
    """Over all axes without ``dim``; over none by an empty list."""
    return _number(x) if dim == [] else extreme(_number(x), () if dim is None else dim, keepdim)


COMPARISONS: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys(("gt", "greater"), lambda self, other: _over(self, other)),
    **dict.fromkeys(("lt", "less"), lambda self, other: _over(other, self)),
    **dict.fromkeys(("ge", "greater_equal"), lambda self, other: 1 - _over(other, self)),
    **dict.fromkeys(("le", "less_equal"), lambda self, other: 1 - _over(self, other)),
    "eq": lambda self, other: 1 - _apart(self, other),
    **dict.fromkeys(("ne", "not_equal"), lambda self, other: _apart(self, other)),
}
"""Of numbers, in float32: exact, since a difference of two numbers is 0 only where they are equal.  A quantized network compares
what its values are rounded to."""

CONNECTIVES: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys(("logical_and", "bitwise_and", "__and__"), lambda self, other: _number(self) * _number(other)),
    **dict.fromkeys(("logical_or", "bitwise_or", "__or__"), lambda self, other: torch.maximum(_number(self), _number(other))),
    **dict.fromkeys(("logical_xor", "bitwise_xor", "__xor__"), lambda self, other: (_number(self) - _number(other)).abs()),
    **dict.fromkeys(("logical_not", "bitwise_not"), lambda self: 1 - _number(self)),
    "any": lambda self, dim=None, keepdim=False: _reduced(torch.amax, self, dim, keepdim),
    "all": lambda self, dim=None, keepdim=False: _reduced(torch.amin, self, dim, keepdim),
}
"""Of conditions."""


def connective(function: Callable[..., Tensor]) -> Callable[[Builder, Call], Any]:
    """The handler of a connective, whose operands are bool."""
    handle = composed(function)

    def checked(b: Builder, call: Call) -> Any:
        for value in call.args.peek():
            if not b.is_condition(value) or (isinstance(value, Tensor) and value.dtype != torch.bool):
                call.refuse("its operands must be conditions, such as x > 0; of numbers write x != 0")
        return handle(b, call)

    checked.__wrapped__ = function  # type: ignore[attr-defined]
    return checked
