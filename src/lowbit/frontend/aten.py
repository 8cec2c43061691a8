"""Aten operations called by name on values of a graph that is being built, without a traced program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lowbit.frontend.arguments import Arguments
from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call
from lowbit.frontend.handlers.dispatch import handled, is_held
from lowbit.frontend.handlers.table import HANDLERS
from lowbit.frontend.refusals import instead

__all__ = ["Aten", "Place"]

_MOVES = frozenset(
    {"permute", "transpose", "t", "reshape", "view", "flatten", "squeeze", "unsqueeze", "slice", "select", "flip", "expand"}
    | {"index_select", "contiguous", "clone"}
)


@dataclass(frozen=True)
class Place:
    """Where a call stands, for names and messages: ``word`` what the user's file calls the operation, ``target`` the same in
    full, ``module``, ``layer`` and ``source`` as of a Call."""

    word: str
    target: str
    module: str
    source: str
    layer: bool = False


@dataclass(frozen=True)
class Aten:
    """``aten("conv2d", x, weight, padding=(1, 1))`` as if a traced program held that call.

    Operands are names of graph values, or tensors: constants.  Torch computes the shapes of the result on tensors without
    memory, or, where all operands are constants, the result itself, once.  ``real``: a condition is a
    number, 0 or 1, not bool.  Raises UnsupportedOperation.
    """

    builder: Builder
    place: Place
    real: bool = False

    def __call__(self, op: str, *args: Any, **kwargs: Any) -> Any:
        """``op``: name of an aten operation, ``name.overload`` where its default overload is not meant."""
        name, _, overload = op.partition(".")
        target = getattr(getattr(torch.ops.aten, name), overload or "default")
        schema = target._schema
        given = dict(zip((argument.name for argument in schema.arguments), args, strict=False)) | kwargs
        operands = {argument.name for argument in schema.arguments if "Tensor" in str(argument.type)}
        if not any(_has_activation(given.get(operand)) for operand in operands):
            return self._constant(target, op, given)
        empty = self._run(target, op, {key: self._empty(value) if key in operands else value for key, value in given.items()})
        results = [each for each in (empty if isinstance(empty, (list, tuple)) else [empty]) if isinstance(each, torch.Tensor)]
        defaults = {argument.name: argument.default_value for argument in schema.arguments if argument.has_default_value()}
        values = {argument.name: argument.default_value for argument in schema.arguments} | given
        call = self.call(name, [tuple(each.shape) for each in results], Arguments(values, defaults), results[0].dtype)
        if name not in HANDLERS:
            call.refuse(instead(call) or "lowbit cannot compile this operation")
        if not is_held(self.builder, call):
            call.refuse(f"it gives {results[0].dtype}; activations are float32 until lowbit quantizes them")
        result = handled(self.builder, call)
        return result[0] if isinstance(result, tuple) and not isinstance(empty, (list, tuple)) else result

    def call(
        self,
        op: str,
        shapes: list[tuple[int, ...]],
        args: Arguments | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Call:
        """The call that a builder function gets: for names and messages."""
        place = self.place
        return Call(
            op=op,
            target=place.target,
            args=args if args is not None else Arguments({}, {}),
            shapes=tuple(shapes),
            dtype=dtype,
            module=place.module,
            source=place.source,
            layer=place.layer,
            function=place.word,
        )

    def _constant(self, target: Callable[..., Any], op: str, given: dict[str, Any]) -> Any:
        """The result on constants; the integers of one that is only moved move along."""
        first, operand = next(iter(given.items()))
        made = self.builder.made_of(operand)
        if made is None or op.partition(".")[0] not in _MOVES:
            return self._run(target, op, given)

        def move(held: np.ndarray) -> np.ndarray:
            moved = self._run(target, op, {**given, first: torch.from_numpy(held.copy())})
            return np.asarray(moved.numpy(), order="C")

        return self.builder.from_integers(made.moved(move))

    def _run(self, target: Callable[..., Any], op: str, given: dict[str, Any]) -> Any:
        try:
            with torch.no_grad():
                return target(**given)
        except (RuntimeError, TypeError, IndexError, ValueError, NotImplementedError) as error:
            reason = str(error).strip().partition("\n")[0]
            self.call(op, [()]).refuse(f"its operands do not fit: {reason}")

    def _empty(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [self._empty(each) for each in value]
        if isinstance(value, str):
            condition = value in self.builder.conditions and not self.real
            dtype = torch.int64 if self.builder.positions(value) else torch.bool if condition else torch.float32
            return torch.empty(self.builder.shape(value), dtype=dtype, device="meta")
        return value.to("meta") if isinstance(value, torch.Tensor) else value


def _has_activation(value: Any) -> bool:
    return any(map(_has_activation, value)) if isinstance(value, (list, tuple)) else isinstance(value, str)
