"""The handler of an operation that is made of others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from lowbit.frontend.arguments import HARMLESS
from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call

__all__ = ["composed"]


def composed(function: Callable[..., Any]) -> Callable[[Builder, Call], Any]:
    """What ``function`` computes with torch's operations, each as its own handler builds it.

    ``function`` takes the arguments by their names in the schema, those that change no value left out.  It is traced for every
    call, on zeros in place of activations; a ValueError of it refuses the call."""

    def handle(b: Builder, call: Call) -> Any:
        from torch.fx.experimental.proxy_tensor import make_fx  # heavy

        given = {name: value for name, value in dict(call.args).items() if name not in HARMLESS}
        names = [value for value in _flat(given.values()) if isinstance(value, str) and value in b.types]

        def run(*tensors: Tensor) -> Any:
            left = iter(tensors)
            return function(**{name: _filled(value, b, left) for name, value in given.items()})

        try:
            traced = make_fx(run)(*(torch.zeros(b.shape(name)) for name in names))
        except ValueError as error:
            call.refuse(str(error))
        return _rebuilt(b, call, traced, names)

    handle.__wrapped__ = function  # type: ignore[attr-defined]
    return handle


def _rebuilt(b: Builder, call: Call, traced: torch.fx.GraphModule, names: Iterable[str]) -> Any:
    from lowbit.frontend.aten import Aten, Place  # which reads the table that these handlers are in

    aten = Aten(b, Place(call.word, call.target, call.module, call.source, call.layer), real=True)
    inputs, result = iter(names), None
    memory: dict[torch.fx.Node, Any] = {}
    for node in traced.graph.nodes:
        args, options = torch.fx.map_arg((node.args, node.kwargs), memory.__getitem__)
        if node.op == "placeholder":
            memory[node] = next(inputs)
        elif node.op == "get_attr":
            memory[node] = getattr(traced, str(node.target))
        elif node.op == "output":
            result = tuple(args[0]) if isinstance(args[0], (list, tuple)) else args[0]
        elif isinstance(node.target, torch._ops.OpOverload):
            memory[node] = aten(str(node.target).removeprefix("aten."), *args, **options)
        else:  # one of several results
            memory[node] = args[0][args[1]]
    return result


def _flat(values: Iterable[Any]) -> list[Any]:
    return [one for value in values for one in (value if isinstance(value, (list, tuple)) else [value])]


def _filled(value: Any, b: Builder, tensors: Iterator[Tensor]) -> Any:
    """``value`` with the next tensors in place of names."""
    if isinstance(value, (list, tuple)):
        return [_filled(one, b, tensors) for one in value]
    return next(tensors) if isinstance(value, str) and value in b.types else value
