"""A graph as text: stable, so that two stages can be compared with diff."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from lowbit.graph.ir import Graph

__all__ = ["print_graph"]

_LONGEST = 8  # a longer tuple is abbreviated with its hash


def _attr(value: Any) -> str:
    if isinstance(value, tuple):
        if len(value) > _LONGEST:
            digest = hashlib.sha256(repr(value).encode()).hexdigest()[:8]
            return f"({_attr(value[0])}, .. {_attr(value[-1])} #{digest} n={len(value)})"
        return f"({', '.join(map(_attr, value))}{',' if len(value) == 1 else ''})"
    return f"{value:.9g}" if isinstance(value, float) else repr(value)


def _digest(*arrays: np.ndarray | None) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:8]


def print_graph(graph: Graph) -> str:
    """One line per input, constant, node and output list; nodes as
    ``%name: type = op(%inputs) attr=value  # file.py:line``.

    Constants are summarised by type and the first 8 hex digits of the SHA-256 of their bytes (and
    of their scales), so that a changed weight shows.  Tuples longer than 8 likewise.
    """
    lines = [f"graph {graph.name}" + ("" if graph.real == "float32" else f", values in {graph.real}")]
    lines += [f"  input %{name}: {graph.types[name]}" for name in graph.inputs]
    for name in sorted(graph.constants):
        tensor = graph.types[name]
        scales = (tensor.quant.scale, tensor.quant.group_scale) if tensor.quant else ()
        lines.append(f"  const %{name}: {tensor} #{_digest(graph.constants[name], *scales)}")
    for node in graph.nodes:
        arguments = ", ".join(f"%{name}" for name in node.inputs)
        attrs = "".join(f" {key}={_attr(value)}" for key, value in sorted(node.attrs.items()))
        source = f"  # {node.source}" if node.source else ""
        lines.append(f"  %{node.name}: {graph.types[node.name]} = {node.op}({arguments}){attrs}{source}")
    lines.append(f"  return {', '.join(f'%{name}' for name in graph.outputs)}")
    return "\n".join(lines) + "\n"
