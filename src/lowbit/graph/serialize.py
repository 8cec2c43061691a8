"""A graph as plain data: a JSON-able dictionary and named arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit.graph.ir import Graph, Node, TensorType
from lowbit.graph.structure import read_structure
from lowbit.numerics import QParams, QType

__all__ = ["from_dict", "to_dict"]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, tuple) else value


def to_dict(graph: Graph) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(structure, arrays): ``from_dict(*to_dict(graph))`` is the same graph, bit for bit.

    Arrays are the constants under their own names, and under ``<value>#scale`` and
    ``<value>#group_scale`` the scales of quantized values.
    """
    arrays: dict[str, np.ndarray] = dict(graph.constants)
    types: dict[str, Any] = {}
    for name, tensor in graph.types.items():
        entry: dict[str, Any] = {"shape": list(tensor.shape), "dtype": tensor.dtype}
        params = tensor.quant
        if params is not None:
            entry["quant"] = {
                "qtype": str(params.qtype),
                "zero_point": params.zero_point,
                "axis": params.axis,
                "container": params.container,
                "group_size": params.group_size,
            }
            arrays[f"{name}#scale"] = params.scale
            if params.group_scale is not None:
                arrays[f"{name}#group_scale"] = params.group_scale
        types[name] = entry
    nodes = [
        {
            "name": node.name,
            "op": node.op,
            "inputs": list(node.inputs),
            "attrs": {key: _lists(value) for key, value in node.attrs.items()},
            "source": node.source,
        }
        for node in graph.nodes
    ]
    structure = {
        "name": graph.name,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "constants": list(graph.constants),
        "types": types,
        "nodes": nodes,
    }
    if graph.real != "float32":
        structure["real"] = graph.real
    if graph.structure is not None:
        structure["structure"] = graph.structure.tree
    return structure, arrays


def from_dict(structure: dict[str, Any], arrays: dict[str, np.ndarray]) -> Graph:
    """Inverse of :func:`to_dict`; lists become tuples again."""
    types: dict[str, TensorType] = {}
    for name, entry in structure["types"].items():
        quant = None
        if "quant" in entry:
            fields = {**entry["quant"], "qtype": QType.parse(entry["quant"]["qtype"])}
            quant = QParams(scale=arrays[f"{name}#scale"], group_scale=arrays.get(f"{name}#group_scale"), **fields)
        types[name] = TensorType(tuple(entry["shape"]), entry["dtype"], quant)
    nodes = tuple(
        Node(n["name"], n["op"], tuple(n["inputs"]), {key: _tuples(v) for key, v in n["attrs"].items()}, n["source"])
        for n in structure["nodes"]
    )
    constants = {name: arrays[name] for name in structure["constants"]}
    tree = structure.get("structure")
    held = None if tree is None else read_structure(tree, len(structure["outputs"]))
    return Graph(
        structure["name"],
        structure["inputs"],
        structure["outputs"],
        nodes,
        types,
        constants,
        structure=held,
        real=structure.get("real", "float32"),
    )
