"""Every node of an integer graph against the float operation on the very values it read."""

from __future__ import annotations

import numpy as np
import torch

from lowbit.frontend import evaluate
from lowbit.graph import Graph, Node, TensorType, interpret
from lowbit.graph.fixed_point import fraction_bits
from lowbit.graph.ops import BINARY
from lowbit.numerics import dequantize


def real(graph: Graph, node: Node, name: str, value: np.ndarray) -> np.ndarray:
    """float64 meaning of a value or constant that ``node`` reads."""
    quant = graph.types[name].quant
    if quant is not None and quant.axis is None:  # exactly: a table is made from the real value, not from its float32
        return np.asarray(float(quant.scale) * (value.astype(np.float64) - quant.zero_point))
    if quant is not None:
        return np.asarray(dequantize(value, quant), np.float64)
    if name in graph.constants and node.op in ("conv2d", "linear"):
        x, w = (graph.types[n].quant for n in node.inputs[:2])
        return value.astype(np.float64) * (float(x.scale) * w.scale.astype(np.float64))
    if name in graph.constants and node.op == "normalize":
        return value.astype(np.float64) * float(graph.types[node.name].quant.scale)
    if name in graph.constants and node.op == "affine":
        out = float(graph.types[node.name].quant.scale)
        unit = out / float(graph.types[node.inputs[0]].quant.scale) if name == node.inputs[1] else out
        return value.astype(np.float64) * unit
    return value.astype(np.float64)


def reference(graph: Graph, node: Node, values: dict[str, np.ndarray]) -> np.ndarray:
    """The node's float operation in float64 on what its inputs mean."""
    attrs = {key: value for key, value in node.attrs.items() if key not in ("qlo", "qhi")}
    inputs = node.inputs[:1] if node.op in ("unary", "softmax") else node.inputs
    if node.op in ("quantize", "dequantize"):
        return real(graph, node, inputs[0], values[inputs[0]])
    names = tuple(f"{node.name}~{i}" for i in range(len(inputs)))
    operands = [real(graph, node, name, values[name]) for name in inputs]
    types = {name: TensorType(value.shape) for name, value in zip(names, operands, strict=True)}
    types[node.name] = TensorType(graph.types[node.name].shape, graph.types[node.name].dtype)
    single = Graph("one", names, (node.name,), (Node(node.name, node.op, names, attrs),), types)
    (result,) = evaluate(single, [torch.from_numpy(np.asarray(v)) for v in operands], dtype=torch.float64)
    return result.numpy()


def check_nodes(graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Each integer result is the nearest one to the float operation's, up to float32 rounding.

    Tolerance: half a step of the output, plus 2^-20 of the magnitudes that float32 (24 bits) holds, and for softmax what
    rounding its table does (table.max() = 2^k).  b1: the sign, except within that tolerance of 0.  Pads of b1 inputs are
    not zeros and are skipped.
    """
    values: dict[str, np.ndarray] = dict(zip(graph.inputs, inputs, strict=True)) | dict(graph.constants)
    outputs = interpret(graph, inputs, values.__setitem__)
    for node in graph.nodes:
        quant, x = graph.types[node.name].quant, graph.types[node.inputs[0]].quant
        if x is not None and x.qtype.bipolar and any(node.attrs.get("padding", ())):
            continue
        expected = reference(graph, node, values)
        slack = 2.0**-20 * max(np.abs(expected).max(), 1e-30)
        for name in node.inputs if node.op in ("conv2d", "linear", *BINARY, "concat", "affine") else ():
            slack += 2.0**-20 * np.abs(real(graph, node, name, values[name])).max()
        if node.op == "softmax":  # entries of the table are off by half of 2^-k, their sum by C such halves, of at least 1
            levels = graph.constants[node.inputs[1]].max()
            largest = (
                1 if node.attrs.get("log") else np.abs(expected).max()
            )  # a relative error is an absolute one of the logarithm
            slack += (1 + expected.shape[node.attrs["axis"]]) / (2.0 * levels) * largest + 2.0**-20 * bool(node.attrs.get("log"))
        if node.op == "resize":  # weights are off by 2^-bits, and sum up to 1, so only differences count
            held, bits = real(graph, node, node.inputs[0], values[node.inputs[0]]), fraction_bits(x.qtype)
            taps = sum(len(node.attrs[axis][0][1]) for axis in ("rows", "columns"))
            slack += 2 * taps * 2.0**-bits * float(np.ptp(held))
        if quant is None:
            np.testing.assert_allclose(values[node.name], expected, rtol=1e-5, atol=slack, err_msg=node.name)
            continue
        got = dequantize(values[node.name], quant).astype(np.float64)
        if quant.qtype.bipolar:
            wrong = (np.abs(expected) > slack) & (np.sign(got) != np.sign(expected))
            assert not wrong.any(), f"{node.name} {node.op}: {wrong.sum()} wrong signs"
            continue
        scale, zero = float(quant.scale), quant.zero_point
        lo, hi = (scale * (q - zero) for q in (node.attrs.get("qlo", quant.qtype.qmin), node.attrs.get("qhi", quant.qtype.qmax)))
        off = np.abs(got - np.clip(expected, lo, hi))
        assert off.max() <= 0.5 * scale + slack, f"{node.name} {node.op} {quant}: off by {off.max() / scale} steps"
    return outputs
