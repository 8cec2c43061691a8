"""A straight-line torch program: what it says is what runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from tests.fuzz.draws import Rejected
from tests.fuzz.tensors import Recipe

__all__ = ["Program", "Ref", "Statement"]


@dataclass(frozen=True)
class Ref:
    """Value ``name``, or the ``item``-th of several that one statement gave."""

    name: str
    item: int | None = None

    def __repr__(self) -> str:
        return self.name if self.item is None else f"{self.name}[{self.item}]"


@dataclass(frozen=True)
class Statement:
    """``name`` = torch.ops.aten.<operation>(args); constants among the arguments are recipes."""

    name: str
    operation: str  # "relu.default"
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass
class Program:
    """Inputs, statements in order, outputs.  ``text`` is a module ``Net`` and ``inputs``, and nothing but that is executed."""

    inputs: list[Recipe] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    outputs: list[Ref] = field(default_factory=list)

    @property
    def text(self) -> str:
        constants: list[Recipe] = []

        def said(value: Any) -> str:
            if isinstance(value, Recipe):
                constants.append(value)
                return f"self.c{len(constants) - 1}"
            if isinstance(value, list | tuple):
                return f"[{', '.join(map(said, value))}]"
            return repr(value)

        body = []
        for s in self.statements:
            arguments = [*map(said, s.args), *(f"{key}={said(value)}" for key, value in s.kwargs.items())]
            body.append(f"        {s.name} = torch.ops.aten.{s.operation}({', '.join(arguments)})")
        parameters = ", ".join(["self", *(f"x{i}" for i in range(len(self.inputs)))])
        buffers = [f'        self.register_buffer("c{i}", {recipe.text})' for i, recipe in enumerate(constants)]
        outputs = ", ".join(map(repr, self.outputs))
        return "\n".join(
            [
                "import torch",
                "class Net(torch.nn.Module):",
                "    def __init__(self):",
                "        super().__init__()",
                *buffers,
                f"    def forward({parameters}):",
                *body,
                f"        return ({outputs},)",
                f"inputs = [{', '.join(recipe.text for recipe in self.inputs)}]",
            ]
        )

    def module(self) -> nn.Module:
        return _execute(self.text)

    def reference(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """torch's own result, everything in float64 (a conversion to float32 in the text is one to float64 here).  Raises
        Rejected for what torch computes in float32 alone."""
        model = _execute(self.text.replace("torch.float32", "torch.float64")).double()
        try:
            with torch.no_grad():
                outputs: tuple[torch.Tensor, ...] = model(*(x.double() for x in inputs))
        except RuntimeError as error:
            raise Rejected(f"torch, in float64: {error}") from None
        return outputs


def _execute(text: str) -> nn.Module:
    scope: dict[str, Any] = {}
    exec(compile(text, "case.py", "exec"), scope)
    model: nn.Module = scope["Net"]()
    return model.eval()
