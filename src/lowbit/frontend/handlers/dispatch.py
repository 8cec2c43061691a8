"""A call handed to its handler, whoever made it: a traced program, or a node of a file."""

from __future__ import annotations

from typing import Any

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call
from lowbit.frontend.handlers.table import HANDLERS, MOVED

__all__ = ["handled"]


def handled(builder: Builder, call: Call) -> Any:
    """What the handler of ``call.op`` makes of it.  Raises UnsupportedOperation, also for an argument that it left unread."""
    if all(0 in shape for shape in call.shapes):  # no elements: nothing depends on the input
        return tuple(torch.zeros(shape) for shape in call.shapes)
    if any(map(builder.positions, call.args.peek())) and not (call.op in MOVED and call.dtype in (None, torch.int64)):
        call.refuse("it computes with positions (argmax); they can be reshaped and returned: do this outside the network")
    since = len(builder.constants)
    result = HANDLERS[call.op](builder, call)
    for name, value in call.args.ignored().items():
        call.refuse(f"its argument {name} = {value} is not supported")
    if len(builder.constants) > since:
        builder.keep_integers(call.args.peek(), since)
    return result
