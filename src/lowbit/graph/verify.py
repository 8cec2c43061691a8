"""The graph's invariants, checked between passes."""

from __future__ import annotations

import numpy as np

from lowbit.errors import GraphError
from lowbit.graph.ir import Graph, Node, TensorType
from lowbit.graph.ops import BINARY, LAYERS, OPS, PASS_THROUGH, POSITIONS, UNARY
from lowbit.numerics import QType

__all__ = ["verify"]

_CLAMPING = (
    "conv2d",
    "linear",
    "affine",
    "clamp",
    *BINARY,
    "concat",
    "avg_pool2d",
    "norm_pool2d",
    "normalize",
    "matmul",
    "resize",
    "response_norm",
    "softmax",
)


def verify(graph: Graph) -> Graph:
    """Returns the graph, or raises GraphError naming the node (or value) and what is wrong with it.

    Checks: names defined once and before use; every value typed; operations, their inputs and attrs
    known (graph/ops.py); shapes as inferred; constants of the dtype, shape and range of their type;
    and for integer values the rules of quantization: weights symmetric and per channel, biases
    int32 or int64, tables complete, clamp bounds inside the type, values that are only selected
    (pools, reshapes) on the grid of their input.
    """
    defined = set(graph.inputs) | set(graph.constants)
    if len(graph.inputs) + len(graph.constants) != len(defined):
        raise GraphError(f"{graph.name}: a name is both an input and a constant, or an input twice")
    for name in graph.inputs:
        _type(graph, name)
    for name, value in graph.constants.items():
        _check_constant(name, value, _type(graph, name))
    for node in graph.nodes:
        if node.name in defined:
            raise GraphError(f"{node.name} ({node.op}): the name is already taken")
        try:
            _check_node(graph, node, defined)
        except GraphError as error:
            raise GraphError(f"{node.name} ({node.op}): {error}{f' [{node.source}]' if node.source else ''}") from None
        defined.add(node.name)
    for name in graph.outputs:
        if name not in defined:
            raise GraphError(f"output {name!r} is not a value of the graph")
    if not graph.outputs:
        raise GraphError(f"{graph.name}: no outputs")
    return graph


def _type(graph: Graph, name: str) -> TensorType:
    if name not in graph.types:
        raise GraphError(f"value {name!r} has no type")
    if any(size < 1 for size in graph.types[name].shape):
        raise GraphError(f"value {name!r} has shape {graph.types[name].shape}; every extent must be at least 1")
    return graph.types[name]


def _check_constant(name: str, value: np.ndarray, tensor: TensorType) -> None:
    if tuple(value.shape) != tuple(tensor.shape):
        raise GraphError(f"constant {name!r} has shape {value.shape}, its type says {tensor.shape}")
    params = tensor.quant
    if params is None:
        if value.dtype != np.dtype(tensor.dtype):
            raise GraphError(f"constant {name!r} is {value.dtype}, its type says {tensor.dtype}")
        return
    if value.dtype != params.qtype.dtype:
        raise GraphError(f"constant {name!r} is {value.dtype}, {params.qtype} is held in {params.qtype.dtype}")
    outside = (value < params.qtype.qmin) | (value > params.qtype.qmax) | (params.qtype.bipolar & (value == 0))
    if outside.any():
        raise GraphError(f"constant {name!r} holds {value[outside][0]}, which {params.qtype} cannot")


def _check_node(graph: Graph, node: Node, defined: set[str]) -> None:
    op = OPS.get(node.op)
    if op is None:
        raise GraphError(f"unknown operation; known: {', '.join(OPS)}")
    for name in node.inputs:
        if name not in defined:
            raise GraphError(f"reads {name!r}, which is not defined before it")
    if not op.least <= len(node.inputs) <= (op.most or len(node.inputs)):
        raise GraphError(f"{len(node.inputs)} inputs; takes {op.least} to {op.most or 'any number'}")
    missing, unknown = op.required - set(node.attrs), set(node.attrs) - op.required - op.optional
    if missing or unknown:
        raise GraphError(f"attrs missing: {sorted(missing)}, unknown: {sorted(unknown)}")
    if node.op == "unary" and node.attrs["fn"] not in UNARY:
        raise GraphError(f"unknown function {node.attrs['fn']!r}; known: {', '.join(UNARY)}")
    parameters = node.inputs[op.parameters :] if op.parameters else ()
    if node.attrs.get("residual"):
        parameters = parameters[:-1]
    for name in parameters:
        if name not in graph.constants:
            raise GraphError(f"parameter {name!r} is not a constant")
    out = _type(graph, node.name)
    inputs = [_type(graph, name) for name in node.inputs]
    try:
        shape = op.infer(node, [tuple(t.shape) for t in inputs], tuple(out.shape))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise GraphError(f"attrs {dict(node.attrs)} do not fit its inputs: {error}") from error
    if shape != tuple(out.shape):
        raise GraphError(f"makes shape {shape}, its type says {out.shape}")
    _check_precision(graph, node, inputs, out)


def _check_precision(graph: Graph, node: Node, inputs: list[TensorType], out: TensorType) -> None:
    x = inputs[0]
    if node.op in POSITIONS:
        if out.dtype != "int64" or out.quant is not None or x.dtype == "int64":
            raise GraphError(f"gives positions, int64, of values; goes from {x} to {out}")
        return
    if "int64" in (x.dtype, out.dtype) and (node.op not in ("permute", "reshape") or x.dtype != out.dtype):
        raise GraphError(f"computes with positions: goes from {x} to {out}; they can be reshaped, permuted and returned")
    if node.op in ("quantize", "dequantize"):
        integer, real = (out, x) if node.op == "quantize" else (x, out)
        if integer.quant is None or real.quant is not None:
            raise GraphError(f"goes from {x} to {out}")
        return
    if node.op in PASS_THROUGH:
        if (x.quant is None) != (out.quant is None) or (x.quant and out.quant and not x.quant.same_grid(out.quant)):
            raise GraphError(f"only selects values, but goes from {x.quant or x.dtype} to {out.quant or out.dtype}")
        return
    if x.quant is None:
        if out.quant is not None:
            raise GraphError(f"makes integers ({out.quant}) out of float32; only quantize does that")
        return
    if out.quant is None and node.op not in (*LAYERS, "unary", "softmax"):
        raise GraphError("makes float32 out of integers; only dequantize and last layers do that")
    if node.op in LAYERS:
        _check_weights(graph, node, inputs)
    elif node.op in ("unary", "softmax"):
        _check_table(graph, node, x.quant.qtype, out)
    elif node.op in (*BINARY, "concat", "matmul") and any(t.quant is None for t in inputs):
        raise GraphError("mixes integer and float32 inputs")
    if out.quant is not None and node.op in _CLAMPING:
        lo, hi, qtype = node.attrs.get("qlo"), node.attrs.get("qhi"), out.quant.qtype
        if not (isinstance(lo, int) and isinstance(hi, int) and qtype.qmin <= lo <= hi <= qtype.qmax):
            raise GraphError(f"qlo {lo}, qhi {hi} must be integers with {qtype.qmin} <= qlo <= qhi <= {qtype.qmax}")


def _check_weights(graph: Graph, node: Node, inputs: list[TensorType]) -> None:
    weight = inputs[1].quant
    if weight is None:
        raise GraphError("integer activations need integer weights")
    if weight.zero_point:
        raise GraphError(f"weights are symmetric, but the zero point is {weight.zero_point}")
    if weight.axis != 0 or weight.scale.shape != (inputs[1].shape[0],):
        raise GraphError(f"weights need one scale per output channel, got shape {weight.scale.shape} along axis {weight.axis}")
    if len(node.inputs) < 3 + bool(node.attrs.get("residual")):
        raise GraphError("an integer layer needs a bias constant (zeros if there is none)")
    if inputs[2].dtype not in ("int32", "int64"):
        raise GraphError(f"bias is {inputs[2].dtype}, must be int32 (int64 for operands wider than 8 bits)")
    if weight.group_size is not None:
        groups = (inputs[1].shape[0], -(-inputs[1].shape[1] // weight.group_size))
        largest = np.abs(graph.constants[node.inputs[1]].astype(np.int64)).max(initial=1)
        scale = weight.group_scale
        if scale is None or scale.shape != groups or scale.min() < 1 or scale.max() * largest > 127:
            raise GraphError(f"group scales must be integers of shape {groups} in 1..{127 // largest}")


def _check_table(graph: Graph, node: Node, qtype: QType, out: TensorType) -> None:
    levels = 2 if qtype.bipolar else qtype.qmax - qtype.qmin + 1
    if len(node.inputs) != 2 or graph.constants[node.inputs[1]].shape != (levels,):
        raise GraphError(f"needs a table of {levels} entries, one for each value of {qtype}")
    held = graph.constants[node.inputs[1]].dtype
    expected = np.dtype(np.int32) if node.op == "softmax" else out.quant.qtype.dtype if out.quant else np.dtype(np.float32)
    if held != expected:
        raise GraphError(f"table is {held}, must be {expected}")
