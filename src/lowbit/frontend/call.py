"""One traced operation: its arguments by name, and where in the user's model it stands."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import torch
from torch import fx

from lowbit.errors import UnsupportedOperation
from lowbit.frontend.arguments import Arguments

__all__ = ["Call", "Value", "bind", "operation", "schema_of", "source_line"]

Value: TypeAlias = "str | torch.Tensor"
"""An activation, by its name in the graph, or a constant, as a tensor."""

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_WORDS = {"__getitem__": "indexing", "__setitem__": "assignment to a part", "__get__": ""}
_NOT_THE_USERS = (
    os.path.dirname(os.path.abspath(torch.__file__)) + os.sep,
    os.path.dirname(os.path.abspath(__file__)) + os.sep,
    "<string>",  # torch's decorators
    "<eval_with_key>",
)


@dataclass(frozen=True)
class Call:
    """``op``: the aten name without namespace, overload or the underscore of in-place forms.

    ``target``: the full name, for messages.  ``args``: every argument of the schema by name, defaults
    filled in, tensors replaced by :data:`Value`.  ``shape``: of the (first) result, like ``dtype``.
    ``shapes``: of every result.  ``layer``: whether ``module`` is a layer of ``torch.nn`` or holds this one call
    alone, so that its path is a good name for the node.  ``layers``: classes of the ``torch.nn`` layers around it,
    outermost first; ``function``: the torch function that the user called, which may be made of several operations.
    """

    op: str
    target: str
    args: Arguments
    shapes: tuple[tuple[int, ...], ...]
    dtype: torch.dtype | None = None
    module: str = ""
    source: str = ""
    layer: bool = False
    layers: tuple[str, ...] = ()
    function: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shapes[0]

    @property
    def where(self) -> str:
        """``features.3 (model.py:41)``, whatever of it is known."""
        return " ".join(part for part in (self.module or "the model", self.source and f"({self.source})") if part)

    @property
    def word(self) -> str:
        """What the user wrote, as far as the trace tells: ``nn.LSTM``, ``normalize``, ``indexing``."""
        return f"nn.{self.layers[0]}" if self.layers else _WORDS.get(self.function, self.function.strip("_")) or self.op

    def refuse(self, why: str) -> NoReturn:
        """Raises UnsupportedOperation: the operation, where it stands, what is allowed."""
        raise UnsupportedOperation(f"{self.word} ({self.target}) in {self.where}: {why}")


def source_line(trace: str | None) -> str:
    """``file.py:line`` of the innermost frame of the user's, neither torch's nor this package's; "" if there is none."""
    frames = [(file, line) for file, line in _FRAME.findall(trace or "") if not file.startswith(_NOT_THE_USERS)]
    return f"{os.path.basename(frames[-1][0])}:{frames[-1][1]}" if frames else ""


def schema_of(node: fx.Node) -> Any:
    """The operator's schema; None for what is not an operator (``operator.getitem``)."""
    return getattr(node.target, "_schema", None)


def operation(node: fx.Node) -> str:
    """The aten name without namespace and overload; "" for what is not an operator."""
    schema = schema_of(node)
    return "" if schema is None else str(schema.name.split("::")[-1])


def bind(node: fx.Node, read: Callable[[fx.Node], Any]) -> Arguments:
    """Arguments by schema name with defaults; ``read`` gives the value of a node."""
    schema = schema_of(node)
    names = [argument.name for argument in schema.arguments]
    args = {argument.name: argument.default_value for argument in schema.arguments}
    args.update(zip(names, fx.map_arg(node.args, read), strict=False))
    args.update(fx.map_arg(node.kwargs, read))
    return Arguments(args, {each.name: each.default_value for each in schema.arguments if each.has_default_value()})
