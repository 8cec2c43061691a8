"""A captured graph as a module of its activations alone: Dynamo hands parameters in with every call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from torch import Tensor, fx, nn

__all__ = ["bake", "is_activation", "paths_of", "put", "state_of"]

_PART = re.compile(r"\['([^']*)'\]|\.([A-Za-z_]\w*)|\[(\d+)\]")
_HOLDERS = frozenset({"_modules", "_parameters", "_buffers"})


def is_activation(value: Any) -> bool:
    """Whether an input of a graph is something that the caller gave: neither a parameter or buffer of the module nor a number
    (with dynamic shapes Dynamo hands Python's numbers in as tensors without axes)."""
    return isinstance(value, Tensor) and not _is_state(value) and value.ndim > 0


def _is_state(value: Any) -> bool:
    return isinstance(value, nn.Parameter) or getattr(value, "_dynamo_static_input_type", None) == "unguarded"


def state_of(values: Sequence[Any]) -> tuple[Any, ...]:
    """Of inputs that are no activations: changes whenever a parameter or buffer is replaced or written to, or a number is
    another."""
    return tuple(
        (value.data_ptr(), value._version) if _is_state(value) else value.item() if isinstance(value, Tensor) else value
        for value in values
    )


class _Part(nn.Module):
    """Parameters of one module of the user's, and the one function that reads them."""

    function: Any = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def paths_of(graph: fx.GraphModule) -> list[list[str] | None]:
    """``layer1.0.conv1.weight`` in parts for every input of the graph, as far as the trace tells: Dynamo forgets it when it has
    compiled."""
    return [_path(node) for node in graph.graph.nodes if node.op == "placeholder"]


def _path(node: fx.Node) -> list[str] | None:
    source = getattr(node.meta.get("grapharg"), "source", None)
    name = getattr(source, "name", None)
    text = name() if callable(name) else name
    if not isinstance(text, str):
        return None
    parts = [next(filter(None, found)) for found in _PART.findall(text)]
    parts = [part for part in parts[1:] if part not in _HOLDERS]
    return parts if parts and all(part.isidentifier() or part.isdigit() for part in parts) else None


def bake(graph: fx.GraphModule, values: Sequence[Any], paths: Sequence[list[str] | None]) -> fx.GraphModule:
    """``graph`` with what is no activation of ``values`` in it: parameters and buffers as such, numbers as constants.

    An operation that alone reads the parameters of one module becomes a sub-module of that module's path: so layers have the
    names that the user's model gives them."""
    made = fx.GraphModule(nn.Module(), _copy(graph))
    for attribute, tensor in _attributes(graph).items():
        _hold(made, attribute.split("."), tensor)
    owners: dict[fx.Node, str] = {}
    placeholders = [node for node in made.graph.nodes if node.op == "placeholder"]
    for index, (node, value) in enumerate(zip(placeholders, values, strict=True)):
        if is_activation(value):
            continue
        if isinstance(value, Tensor):
            path = paths[index] or [f"constant{index}"]
            name = _hold(made, path, value)
            for user in list(node.users):
                with made.graph.inserting_before(user):
                    read = made.graph.get_attr(name)
                user.replace_input_with(node, read)
                owners[read] = name.rpartition(".")[0]
        else:
            put(node, value)
        made.graph.erase_node(node)
    _name_layers(made, owners)
    made.recompile()
    return made


def put(node: fx.Node, value: Any) -> None:
    """``value`` in the place of ``node`` wherever that is read."""
    for user in list(node.users):
        user.args, user.kwargs = fx.map_arg((user.args, user.kwargs), lambda each: value if each is node else each)


def _copy(module: fx.GraphModule) -> fx.Graph:
    graph = fx.Graph()
    known: dict[fx.Node, fx.Node] = {}
    graph.output(graph.graph_copy(module.graph, known))
    for old, new in known.items():
        new.meta = {"stack_trace": old.meta.get("stack_trace")}
    return graph


def _attributes(module: fx.GraphModule) -> dict[str, Tensor]:
    """Tensors that the graph reads as its own."""
    held = {**dict(module.named_parameters(remove_duplicate=False)), **dict(module.named_buffers(remove_duplicate=False))}
    for node in module.graph.nodes:
        if node.op == "get_attr" and node.target not in held:
            held[node.target] = attrgetter(node.target)(module)
    return held


def _hold(root: nn.Module, path: Sequence[str], value: Tensor) -> str:
    """Makes ``value`` an attribute of ``root`` at this path, or near it where something is there; returns where."""
    module = root
    for part in path[:-1]:
        if not isinstance(module._modules.get(part), nn.Module):
            module.add_module(part, _Part())
        module = module.get_submodule(part)
    name = path[-1]
    while name in module._parameters or name in module._buffers or name in module._modules or hasattr(nn.Module, name):
        name += "_"
    if isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)
    return ".".join((*path[:-1], name))


def _name_layers(module: fx.GraphModule, owners: dict[fx.Node, str]) -> None:
    readers: dict[str, dict[fx.Node, None]] = {}
    for read, owner in owners.items():
        readers.setdefault(owner, {}).update(dict.fromkeys(read.users))
    for owner, nodes in readers.items():
        node, *others = nodes
        part = module.get_submodule(owner)
        if not owner or others or node.op != "call_function" or not isinstance(part, _Part):
            continue
        part.function = node.target
        with module.graph.inserting_before(node):
            call = module.graph.call_module(owner, node.args, node.kwargs)
        call.meta = dict(node.meta)
        node.replace_all_uses_with(call)
        module.graph.erase_node(node)
