"""A call handed to its handler, whoever made it: a traced program, or a node of a file."""

from __future__ import annotations

from typing import Any

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call
from lowbit.frontend.handlers.table import COMPARISONS, CONDITIONS_MOVED, CONNECTIVES, HANDLERS, MOVED, POSITIONS

__all__ = ["handled", "is_held"]


def is_held(builder: Builder, call: Call) -> bool:
    """Whether a graph holds what the call gives: float32; positions; conditions, which are compared, joined and moved."""
    if call.dtype == torch.int64:
        return call.op in POSITIONS or any(map(builder.positions, call.args.peek()))  # which is refused where it must
    if call.dtype == torch.bool:
        moved = call.op in CONDITIONS_MOVED and all(map(builder.is_condition, call.args.peek()))
        return moved or call.op in COMPARISONS or call.op in CONNECTIVES
    return call.dtype == torch.float32


def handled(builder: Builder, call: Call) -> Any:
    """What the handler of ``call.op`` makes of it.  Raises UnsupportedOperation, also for an argument that it left unread."""
    if all(0 in shape for shape in call.shapes):  # no elements: nothing depends on the input
        return tuple(torch.zeros(shape) for shape in call.shapes)
    if any(map(builder.positions, call.args.peek())) and not (call.op in MOVED and call.dtype in (None, torch.int64)):
        call.refuse("it computes with positions (argmax); they can be reshaped and returned: do this outside the network")
    since = len(builder.constants)
    result = HANDLERS[call.op](builder, call)
    if call.dtype == torch.bool:
        builder.conditions.update(value for value in _values(result) if isinstance(value, str))
    elif isinstance(result, str) and result in builder.conditions:  # as numbers now
        result = builder.emit(call, "reshape", [result], call.shape, shape=call.shape)
    for name, value in call.args.ignored().items():
        call.refuse(f"its argument {name} = {value} is not supported")
    if len(builder.constants) > since:
        builder.keep_integers(call.args.peek(), since)
    return result


def _values(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)
