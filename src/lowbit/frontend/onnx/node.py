"""One node of an ONNX graph, as the rows of the table see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

import torch

from lowbit.frontend.aten import Aten
from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value

__all__ = ["Condition", "OnnxNode"]


IMPLIED = frozenset({"kernel_shape", "momentum", "ratio", "seed"})
"""Attributes that change nothing: weights and pools have their shape, batch norms do not learn, and Dropout drops nothing."""


@dataclass(frozen=True)
class Condition:
    """Of an activation x: whether x >= 0; with ``nan`` whether x is NaN."""

    value: str
    nan: bool = False


@dataclass(frozen=True)
class OnnxNode:
    """``op``: its type, with the domain in front where that is not ONNX's own.  ``opset``: version of that domain.

    ``inputs``: values in order, None where one is left out; ``kinds``: ONNX element type of each that is a constant of the file,
    else "".  ``outputs``: how many results somebody may read.  ``read``: names of the attributes that its row has looked at.
    """

    op: str
    opset: int
    inputs: tuple[Value | Condition | None, ...]
    attributes: Mapping[str, Any]
    outputs: int
    aten: Aten
    kinds: tuple[str, ...] = ()
    read: set[str] = field(default_factory=set)

    @property
    def builder(self) -> Builder:
        return self.aten.builder

    def value(self, index: int) -> Value:
        """An input that must be there."""
        value = self.get(index)
        if isinstance(value, Condition):
            if value.nan:
                self.refuse("whether x is NaN is supported only where Where chooses by it: x is NaN ? c : x")
            return cast("Value", self.aten("ge.Scalar", value.value, 0.0))
        if value is None:
            self.refuse(f"input {index} is missing")
        return value

    def get(self, index: int) -> Any:
        """An input, or None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def shape(self, index: int = 0) -> tuple[int, ...]:
        return self.builder.shape(self.value(index))

    def attribute(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return self.attributes.get(name, default)

    def ignore(self, *names: str) -> None:
        """Attributes that mean nothing where they stand, whatever they say."""
        self.read.update(names)

    def unread(self, defaults: Mapping[str, Any]) -> list[str]:
        """Attributes that nobody looked at, and that do not just say what ``defaults`` would."""
        unseen = self.attributes.keys() - self.read - IMPLIED
        return sorted(name for name in unseen if name not in defaults or self.attributes[name] != defaults[name])

    def constant(self, index: int, what: str) -> torch.Tensor:
        """An input that must be known when the network is compiled."""
        value = self.value(index)
        if isinstance(value, str):
            self.refuse(f"{what} (input {index}) is computed from the network's input; it must be a constant")
        return value

    def given(self, name: str, index: int) -> Any:
        """What older opsets have as an attribute and newer ones as an input: a list of numbers, one number, or None."""
        if (value := self.attribute(name)) is not None:
            return value
        if self.get(index) is None:
            return None
        return self.constant(index, name).tolist()

    def axis(self, name: str = "axis", default: int = 0, rank: int | None = None) -> int:
        """An attribute that counts axes of the first input, from behind if negative."""
        rank = len(self.shape()) if rank is None else rank
        axis = int(self.attribute(name, default))
        if not -rank <= axis < max(rank, 1):
            self.refuse(f"{name} {axis} of a value of shape {self.shape()}")
        return axis % max(rank, 1)

    def call(self, *shapes: tuple[int, ...]) -> Call:
        """For builder functions that are called without an aten operation."""
        return self.aten.call(self.op, list(shapes))

    def refuse(self, why: str) -> NoReturn:
        """Raises UnsupportedOperation: the operation, the node and the file, what is allowed."""
        self.call(()).refuse(why)
