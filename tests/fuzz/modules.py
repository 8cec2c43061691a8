"""Random torch programs over the whole table of the frontend.

Nothing here names what the frontend supports: the operations are the keys of its table, their overloads (in-place ones
included) and arguments come from torch's own schemas, and an argument is drawn by its name and type.  torch decides what
is a valid call, by running it.  A new row of the table is drawn from the day it is there; a test says if no valid call of it
was found.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor

from lowbit.frontend.handlers.table import HANDLERS
from tests.fuzz.arguments import RULES, Unbound, by_type
from tests.fuzz.coverage import Coverage, axis_kind
from tests.fuzz.draws import Draws, Rejected, broadcasts
from tests.fuzz.program import Program, Ref, Statement
from tests.fuzz.tensors import Recipe, draw_inputs
from tests.fuzz.written import write_activation

__all__ = ["NOT_ON_CPU", "Generator", "draw_program", "overloads"]

_LIMIT = 4096  # elements of a value
_LARGEST = 1e6  # of a value: beyond, sums and products soon overflow
_WRITTEN = 8  # in 100 steps: an activation function by its formula
_TRIES = 8
_CONSTANT = ("zeros_", "ones_", "full_", "new_", "zero_", "fill_")  # results that do not depend on the operand

RANKS: dict[str, tuple[int, int]] = {
    "1d": (3, 3), "2d": (4, 4), "3d": (5, 5), "convolution": (3, 4), "norm": (2, 5), "bmm": (3, 3), "mm": (2, 2),
    "matmul": (1, 4),
    "attention": (3, 4),
    "einsum": (2, 4),
    "col2im": (2, 3), "im2col": (3, 4),
    "linear": (1, 4), "shuffle": (4, 5), "unshuffle": (4, 5), "prelu": (1, 5),
}  # fmt: skip
"""Part of an operation's name -> least and most axes of its first operand; anything else takes any rank."""


NOT_ON_CPU = ("cudnn_batch_norm",)
"""Rows that torch ends the process for when it has no GPU."""


@cache
def overloads() -> dict[str, tuple[str, ...]]:
    """Operation of the table -> "name.overload" of all its spellings that take tensors, in-place ones included.

    Those of TorchScript (``prim_``) are not called by anybody, and some end the process."""
    found: dict[str, tuple[str, ...]] = {}
    for name in HANDLERS:
        spellings = []
        for variant in (name, f"{name}_"):
            packet = getattr(torch.ops.aten, variant, None)
            for overload in packet.overloads() if packet is not None else ():
                arguments = getattr(packet, overload)._schema.arguments
                tensors = any("Tensor" in str(a.type) for a in arguments)
                if (
                    tensors
                    and "..." not in str(getattr(packet, overload)._schema)
                    and not any(a.is_out for a in arguments)
                    and not overload.startswith("prim_")
                ):
                    spellings.append(f"{variant}.{overload}")
        found[name] = () if name in NOT_ON_CPU else tuple(spellings)
    return found


class Generator:
    """A program while it is drawn: every statement is executed as soon as it is drawn."""

    def __init__(self, draws: Draws) -> None:
        self.draws = draws
        self.program = Program()
        self.values: dict[str, Any] = {}
        self.live: set[str] = set()  # what depends on the inputs
        self.read: set[str] = set()
        self.reached: list[tuple[str, int, str]] = []

    def begin(self) -> None:
        shapes = [
            self.draws.shape(1, 5, 2048) if self.draws.chance(45) else self.draws.shape(4, 4, 2048)
            for _ in range(self.draws.choose((1, 1, 2)))
        ]
        self.program.inputs = draw_inputs(self.draws, shapes)
        for index, recipe in enumerate(self.program.inputs):
            self.values[f"x{index}"] = recipe.make()
            self.live.add(f"x{index}")

    def refs(self) -> list[Ref]:
        """Tensors that may be operands, late ones first."""
        found = []
        for name, value in reversed(self.values.items()):
            found += [ref for ref in _parts(name, value) if self.value(ref).dtype == torch.float32]
        return found

    def value(self, ref: Ref) -> Tensor:
        value = self.values[ref.name]
        tensor: Tensor = value if ref.item is None else value[ref.item]
        return tensor

    def pick(self, fits: Callable[[Tensor], bool] = lambda value: True, live: bool = True) -> Ref:
        fitting = [ref for ref in self.refs() if (not live or ref.name in self.live) and fits(self.value(ref))]
        if not fitting:
            raise Rejected("no operand fits")
        return fitting[0] if not self.draws.chance(40) else self.draws.choose(fitting)

    def condition(self, shape: tuple[int, ...] | None = None) -> Ref:
        """A computed bool value, that broadcasts with ``shape`` where it is given."""
        found = [ref for name, value in self.values.items() for ref in _parts(name, value) if ref.name in self.live]
        found = [ref for ref in found if self.value(ref).dtype == torch.bool]
        if shape is not None:
            found = [ref for ref in found if broadcasts(tuple(self.value(ref).shape), shape)]
        if found and self.draws.chance(60):
            return self.draws.choose(found)
        value = self.pick(lambda value: shape is None or broadcasts(tuple(value.shape), shape))
        return self.append(
            f"{self.draws.choose(('gt', 'lt', 'ge', 'le'))}.Scalar", (value, self.draws.choose((0, 0.25, -0.5))), {}
        )

    def operand(self, name: str) -> Ref:
        """The first operand of an operation: of a rank it may take, reshaped if need be."""
        wanted = next((ranks for part, ranks in RANKS.items() if part in name), (0, 6))
        try:
            return self.pick(lambda value: wanted[0] <= value.dim() <= wanted[1])
        except Rejected:
            ref = self.pick(lambda value: value.numel() > 0)
        axes = self.draws.integer(*wanted)
        return self.append("reshape.default", (ref, list(self.draws.factors(self.value(ref).numel(), axes))), {})

    def append(self, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ref:
        """Runs the statement and keeps it.  Raises Rejected where torch refuses it or its values are no numbers."""
        packet, _, overload = operation.partition(".")
        target = getattr(getattr(torch.ops.aten, packet), overload)
        used = _refs((args, kwargs))
        alive = any(ref.name in self.live for ref in used) and not packet.startswith(_CONSTANT)
        try:  # on copies first: an in-place operation must not spoil its operand before it is known to be valid
            trial = target(*self._evaluated(args, True), **self._evaluated(kwargs, True))
        except Exception as error:
            raise Rejected(f"{operation}: torch refuses: {str(error)[:60]}") from None
        for tensor in trial if isinstance(trial, list | tuple) else [trial]:
            if not isinstance(tensor, Tensor) or tensor.numel() > _LIMIT or tensor.dim() > 6:
                raise Rejected(f"{operation}: no tensor, or a large one")
            if tensor.is_floating_point() and tensor.numel() and not float(tensor.abs().max()) < _LARGEST:
                raise Rejected(f"{operation}: values that are large or no numbers")
        name = f"v{len(self.program.statements)}"
        try:
            self.values[name] = target(*self._evaluated(args, False), **self._evaluated(kwargs, False))
        except RuntimeError as error:  # of writing into a view that a copy is not; nothing is written then
            raise Rejected(f"{operation}: torch refuses: {str(error)[:60]}") from None
        self.program.statements.append(Statement(name, operation, args, kwargs))
        self.read |= {ref.name for ref in used}
        if (
            packet.endswith("_") and not packet.startswith("__") and used
        ):  # what shares the memory has a new value, which nobody has read
            self.read -= self._sharing(self.value(used[0]))
        if alive:
            self.live.add(name)
        result = self.values[name]
        return Ref(name, 0) if isinstance(result, list | tuple) else Ref(name)

    def _sharing(self, written: Tensor) -> set[str]:
        """Names of the values in the memory of ``written``."""
        place = written.untyped_storage().data_ptr()
        return {ref.name for ref in self.refs() if self.value(ref).untyped_storage().data_ptr() == place}

    def _evaluated(self, value: Any, copies: bool) -> Any:
        if isinstance(value, dict):
            return {key: self._evaluated(each, copies) for key, each in value.items()}
        if isinstance(value, tuple | list):
            return type(value)(self._evaluated(each, copies) for each in value)
        if isinstance(value, Recipe):
            return value.make()
        if isinstance(value, Ref):
            tensor = self.value(value)
            return tensor.clone() if copies else tensor
        return value

    def call(self, operation: str) -> None:
        """One call of ``operation`` ("relu_.default"), its arguments drawn."""
        packet, _, overload = operation.partition(".")
        schema = getattr(getattr(torch.ops.aten, packet), overload)._schema
        bound = Unbound(self, packet)
        args, kwargs = [], {}
        for argument in schema.arguments:
            rule = RULES.get(argument.name, by_type)
            value = bound.planned[argument.name] if argument.name in bound.planned else rule(bound, argument)
            bound.values[argument.name] = value
            if argument.kwarg_only:
                kwargs[argument.name] = value
            else:
                args.append(value)
        optional = {argument.name for argument in schema.arguments if argument.has_default_value()}
        kwargs = {name: value for name, value in kwargs.items() if value is not None or name not in optional}
        made = self.append(operation, tuple(args), kwargs)
        if self.value(made).dtype == torch.bool and made.name in self.live:  # an output is a number
            self.append("_to_copy.default", (made,), {"dtype": torch.float32})
        axes = [
            v for k, v in bound.values.items() if k in ("dim", "dims", "axis0", "axis1", "dim0", "dim1", "source", "start_dim")
        ]
        self.reached.append((operation, bound.rank, axis_kind(v for v in axes if v is not None)))

    def count(self, coverage: Coverage) -> None:
        for operation, rank, axis in self.reached:
            coverage.reach("module", operation, rank, axis)

    def finish(self) -> Program:
        """Every value that nobody read is an output, so that no statement is dead; shrinks to few."""
        leaves = [name for name in self.values if name in self.live and name not in self.read and name.startswith("v")]
        for name in leaves[-6:]:
            refs = [ref for ref in _parts(name, self.values[name]) if self.value(ref).dtype == torch.float32]
            self.program.outputs += [ref for ref in refs if self.value(ref).numel()]
        if not self.program.outputs:
            raise Rejected("no output")
        return self.program


def _parts(name: str, value: Any) -> list[Ref]:
    """All of several parts; of several different results (a maximum and its index) the first."""
    return (
        [Ref(name, i) for i in range(len(value))]
        if isinstance(value, list)
        else [Ref(name, 0 if isinstance(value, tuple) else None)]
    )


def _refs(value: Any) -> list[Ref]:
    if isinstance(value, Ref):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [ref for each in value for ref in _refs(each)] if isinstance(value, list | tuple) else []


def draw_program(draws: Draws, most: int = 6, only: str | None = None) -> tuple[Program, Generator]:
    """A program of 1..``most`` drawn statements; ``only``: an operation of the table that must be among them."""
    generator = Generator(draws)
    generator.begin()
    names = [name for name, spellings in overloads().items() if spellings]
    steps = draws.integer(1, most)
    wanted = draws.integer(0, steps - 1)
    for step in range(steps):
        must = only is not None and step == wanted
        if not must and draws.chance(_WRITTEN):
            with suppress(Rejected):  # what was written until then stays
                write_activation(generator)
            continue
        for attempt in range(_TRIES * (6 if must else 1)):
            name = only if must and only is not None else draws.choose(names)
            try:
                generator.call(draws.choose(overloads()[name]))
                break
            except Rejected:
                if must and attempt == _TRIES * 6 - 1:
                    raise
    return generator.finish(), generator
