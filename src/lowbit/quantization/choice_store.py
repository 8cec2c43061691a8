"""A choice as plain data: a JSON-able dictionary and named arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lowbit.numerics import QParams, QType
from lowbit.quantization.choice import Choice, LayerNumbers, Quantized

__all__ = ["choice_from_dict", "choice_to_dict"]


def choice_to_dict(choice: Choice) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(structure, arrays): ``choice_from_dict(*choice_to_dict(choice))`` holds the same numbers, bit for bit."""
    arrays: dict[str, np.ndarray] = {}

    def params(key: str, held: QParams | None) -> dict[str, Any] | None:
        if held is None:
            return None
        arrays[f"{key}#scale"] = np.atleast_1d(held.scale)
        if held.group_scale is not None:
            arrays[f"{key}#group_scale"] = held.group_scale
        entry = {"qtype": str(held.qtype), "zero_point": held.zero_point, "axis": held.axis, "container": held.container}
        return {**entry, "group_size": held.group_size}

    def quantized(key: str, numbers: Quantized) -> dict[str, Any] | None:
        arrays[key] = numbers.integers
        return params(key, numbers.params)

    values = {name: params(f"value {name}", held) for name, held in choice.values.items()}
    layers = {}
    for name, numbers in choice.layers.items():
        layers[name] = quantized(f"layer {name}", numbers.weights)
        arrays[f"bias {name}"] = np.asarray(numbers.bias)
    operands = [[name, i, quantized(f"operand {i} {name}", numbers)] for (name, i), numbers in choice.operands.items()]
    return {"values": values, "layers": layers, "operands": operands}, arrays


def choice_from_dict(structure: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Choice:
    """Inverse of :func:`choice_to_dict`.  Raises KeyError and subclasses of LowbitError for what it did not write."""

    def params(key: str, entry: Mapping[str, Any] | None) -> QParams | None:
        if entry is None:
            return None
        scale = arrays[f"{key}#scale"]
        fields = {**entry, "qtype": QType.parse(entry["qtype"])}
        return QParams(
            scale=scale if entry["axis"] is not None else scale[0], group_scale=arrays.get(f"{key}#group_scale"), **fields
        )

    def quantized(key: str, entry: Mapping[str, Any]) -> Quantized:
        held = params(key, entry)
        assert held is not None  # entries of integers are never None
        return Quantized(arrays[key], held)

    values = {name: params(f"value {name}", entry) for name, entry in structure["values"].items()}
    layers = {
        name: LayerNumbers(quantized(f"layer {name}", entry), arrays[f"bias {name}"])
        for name, entry in structure["layers"].items()
    }
    operands = {(name, i): quantized(f"operand {i} {name}", entry) for name, i, entry in structure["operands"]}
    return Choice(values, layers, operands)
