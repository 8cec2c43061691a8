"""One row an operation of the graph: what it is in ONNX, on real numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lowbit.errors import UnsupportedOperation
from lowbit.export.onnx.norms import length, normalize, product, response_norm
from lowbit.export.onnx.pools import average, largest, smallest
from lowbit.export.onnx.writer import Writer
from lowbit.graph import Node
from lowbit.numerics import quantize

__all__ = ["OPERATIONS"]

Row = Callable[[Writer, Node], None]


def _layer(w: Writer, node: Node) -> None:
    x, weight, bias = w.real(node.inputs[0]), w.real(node.inputs[1]), w.bias(node) if len(node.inputs) > 2 else None
    if node.op == "conv2d":
        y = _conv(w, node, x, weight, bias)
    elif len(w.graph.types[node.inputs[0]].shape) == 2:
        y = w.emit(node, "Gemm", [x, weight] if bias is None else [x, weight, bias], transB=1)
    else:
        y = w.emit(node, "MatMul", [x, w.emit(node, "Transpose", [weight], perm=[1, 0])])
        y = y if bias is None else w.emit(node, "Add", [y, bias])
    if node.attrs.get("residual"):
        y = w.emit(node, "Add", [y, w.real(node.inputs[-1])])
    w.finish(node, y)


def _conv(w: Writer, node: Node, x: str, weight: str, bias: str | None) -> str:
    a, quant = node.attrs, w.graph.types[node.inputs[0]].quant
    pads = list(a["padding"])
    if quant is not None and quant.qtype.bipolar and any(pads):  # 0 is no value of b1: its image surrounds the input
        fill = float(quantize(np.float32(0), quant)) * float(quant.scale)
        around = w.ints(f"{node.name}.pads", 0, 0, *pads[:2], 0, 0, *pads[2:])
        x, pads = w.emit(node, "Pad", [x, around, w.floats(f"{node.name}.fill", fill)]), [0, 0, 0, 0]
    given = {"strides": list(a["stride"]), "pads": pads, "dilations": list(a["dilation"]), "group": a["groups"]}
    return w.emit(node, "Conv", [x, weight] if bias is None else [x, weight, bias], **given)


def _binary(op: str) -> Row:
    return lambda w, node: w.finish(node, w.emit(node, op, [w.real(name) for name in node.inputs]))


def _affine(w: Writer, node: Node) -> None:
    """scale * x + shift; of integers both are in units of the output's scale."""
    x, out = (w.graph.types[name].quant for name in (node.inputs[0], node.name))
    scale, shift = (w.graph.constants[name].astype(np.float64) for name in node.inputs[1:])
    if x is not None and out is not None:
        scale, shift = scale * float(out.scale) / float(x.scale), shift * float(out.scale)
    rank = len(w.graph.types[node.name].shape)
    shape = [-1 if axis == 1 else 1 for axis in range(rank)]
    y = w.real(node.inputs[0])
    if not (scale == 1).all():
        y = w.emit(node, "Mul", [y, w.floats(f"{node.name}.scale", scale.reshape(shape))])
    w.finish(node, w.emit(node, "Add", [y, w.floats(f"{node.name}.shift", shift.reshape(shape))]))


def _same(w: Writer, node: Node) -> None:
    """clamp, quantize: the value itself, clamped or rounded as it is finished."""
    w.finish(node, w.real(node.inputs[0]))


def _dequantize(w: Writer, node: Node) -> None:
    w.values[node.name] = w.real(node.inputs[0])


def _plain(op: str, **attributes: float) -> Callable[[Writer, Node, str], str]:
    return lambda w, node, x: w.emit(node, op, [x], None, **attributes)


def _with(op: str, **names: str) -> Callable[[Writer, Node, str], str]:
    """``names``: attribute of ONNX -> of the node."""
    return lambda w, node, x: w.emit(
        node, op, [x], None, **{k: float(node.attrs[v]) for k, v in names.items() if v in node.attrs}
    )


def _softplus(w: Writer, node: Node, x: str) -> str:
    """log(1 + exp(beta x)) / beta, and x where beta x is above the threshold; one of 15 is not to be seen in float32."""
    beta, threshold = float(node.attrs.get("beta", 1.0)), float(node.attrs.get("threshold", 20.0))
    scaled = x if beta == 1 else w.emit(node, "Mul", [x, w.floats(f"{node.name}.beta", beta)])
    y = w.emit(node, "Softplus", [scaled])
    y = y if beta == 1 else w.emit(node, "Div", [y, w.floats(f"{node.name}.divisor", beta)])
    if threshold >= 15:
        return y
    return w.emit(node, "Where", [w.emit(node, "Greater", [scaled, w.floats(f"{node.name}.threshold", threshold)]), x, y])


_FUNCTIONS: dict[str, Callable[[Writer, Node, str], str]] = {
    "abs": _plain("Abs"),
    "cos": _plain("Cos"),
    "elu": _with("Elu", alpha="alpha"),
    "erf": _plain("Erf"),
    "exp": _plain("Exp"),
    "gelu": _plain("Gelu"),
    "gelu_tanh": lambda w, node, x: w.emit(node, "Gelu", [x], approximate="tanh"),
    "hardsigmoid": _plain("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hardswish": _plain("HardSwish"),
    "leaky_relu": _with("LeakyRelu", alpha="alpha"),
    "log": _plain("Log"),
    "log1p": lambda w, node, x: w.emit(node, "Log", [w.emit(node, "Add", [x, w.floats(f"{node.name}.one", 1.0)])]),
    "logsigmoid": lambda w, node, x: w.emit(node, "Neg", [w.emit(node, "Softplus", [w.emit(node, "Neg", [x])])]),
    "mish": _plain("Mish"),
    "neg": _plain("Neg"),
    "pow": lambda w, node, x: w.emit(node, "Pow", [x, w.floats(f"{node.name}.exponent", node.attrs.get("exponent", 1.0))]),
    "reciprocal": _plain("Reciprocal"),
    "rsqrt": lambda w, node, x: w.emit(node, "Reciprocal", [w.emit(node, "Sqrt", [x])]),
    "selu": _plain("Selu"),
    "sigmoid": _plain("Sigmoid"),
    "sign": _plain("Sign"),
    "silu": lambda w, node, x: w.emit(node, "Mul", [x, w.emit(node, "Sigmoid", [x])]),
    "sin": _plain("Sin"),
    "softplus": _softplus,
    "softsign": _plain("Softsign"),
    "sqrt": _plain("Sqrt"),
    "square": lambda w, node, x: w.emit(node, "Mul", [x, x]),
    "tanh": _plain("Tanh"),
}
"""Function -> its ONNX nodes."""


def _unary(w: Writer, node: Node) -> None:
    fn = node.attrs["fn"]
    if fn not in _FUNCTIONS:
        raise UnsupportedOperation(f"{node.name} (unary): {fn} cannot be written as ONNX; known are {', '.join(_FUNCTIONS)}")
    w.finish(node, _FUNCTIONS[fn](w, node, w.real(node.inputs[0])))


def _softmax(w: Writer, node: Node) -> None:
    op = "LogSoftmax" if node.attrs.get("log") else "Softmax"
    w.finish(node, w.emit(node, op, [w.real(node.inputs[0])], axis=int(node.attrs["axis"])))


def _concat(w: Writer, node: Node) -> None:
    w.finish(node, w.emit(node, "Concat", [w.real(name) for name in node.inputs], axis=int(node.attrs["axis"])))


def _shaped(op: str) -> Row:
    def row(w: Writer, node: Node) -> None:
        w.finish(node, w.emit(node, op, [w.real(node.inputs[0]), w.ints(f"{node.name}.shape", *node.attrs["shape"])]))

    return row


def _permute(w: Writer, node: Node) -> None:
    w.finish(node, w.emit(node, "Transpose", [w.real(node.inputs[0])], perm=list(node.attrs["dims"])))


def _slice(w: Writer, node: Node) -> None:
    starts, steps, shape = node.attrs["starts"], node.attrs["steps"], w.graph.types[node.name].shape
    ends = [start + (size - 1) * step + 1 for start, step, size in zip(starts, steps, shape, strict=True)]
    given = {"starts": starts, "ends": ends, "axes": range(len(shape)), "steps": steps}
    w.finish(node, w.emit(node, "Slice", [w.real(node.inputs[0]), *(w.ints(f"{node.name}.{k}", *v) for k, v in given.items())]))


def _take(w: Writer, node: Node) -> None:
    y = w.real(node.inputs[0])
    for axis, chosen in enumerate(node.attrs["indices"]):
        if chosen is not None:
            y = w.emit(node, "Gather", [y, w.ints(f"{node.name}.indices", *chosen)], axis=axis)
    w.finish(node, y)


def _interleave(w: Writer, node: Node) -> None:
    """Phases beside each other along rows and columns, from which the rows and columns of the result are read."""
    n, channels, h, wd = w.graph.types[node.inputs[0]].shape
    (ph, pw), g = node.attrs["phases"], node.attrs["groups"]
    o = channels // (g * ph * pw)
    y = w.emit(node, "Reshape", [w.real(node.inputs[0]), w.ints(f"{node.name}.parts", n, g, ph, pw, o, h, wd)])
    y = w.emit(node, "Transpose", [y], perm=[0, 1, 4, 2, 5, 3, 6])
    y = w.emit(node, "Reshape", [y, w.ints(f"{node.name}.whole", n, g * o, ph * h, pw * wd)])
    for axis, (name, size) in enumerate((("rows", h), ("columns", wd)), 2):
        chosen = [phase * size + at for phase, at in node.attrs[name]]
        y = w.emit(node, "Gather", [y, w.ints(f"{node.name}.{name}", *chosen)], axis=axis)
    w.finish(node, y)


def _pad(w: Writer, node: Node) -> None:
    amounts = w.ints(f"{node.name}.pads", *node.attrs["before"], *node.attrs["after"])
    quant, value = w.graph.types[node.inputs[0]].quant, np.float32(node.attrs["value"])
    if quant is not None:
        value = np.float32((int(quantize(value, quant)) - quant.zero_point) * float(quant.scale))
    w.finish(node, w.emit(node, "Pad", [w.real(node.inputs[0]), amounts, w.floats(f"{node.name}.value", value)]))


def _argmax(w: Writer, node: Node) -> None:
    op = "ArgMin" if node.attrs["least"] else "ArgMax"
    w.values[node.name] = w.emit(node, op, [w.real(node.inputs[0])], axis=int(node.attrs["axis"]), keepdims=0)


OPERATIONS: dict[str, Row] = {
    "add": _binary("Add"),
    "affine": _affine,
    "argmax": _argmax,
    "avg_pool2d": lambda w, node: w.finish(node, average(w, node)),
    "clamp": _same,
    "concat": _concat,
    "conv2d": _layer,
    "dequantize": _dequantize,
    "expand": _shaped("Expand"),
    "interleave": _interleave,
    "linear": _layer,
    "matmul": product,
    "max_pool2d": lambda w, node: w.finish(node, largest(w, node, w.real(node.inputs[0]))),
    "maximum": _binary("Max"),
    "min_pool2d": lambda w, node: w.finish(node, smallest(w, node)),
    "minimum": _binary("Min"),
    "mul": _binary("Mul"),
    "norm_pool2d": length,
    "normalize": normalize,
    "pad": _pad,
    "permute": _permute,
    "quantize": _same,
    "reshape": _shaped("Reshape"),
    "response_norm": response_norm,
    "slice": _slice,
    "softmax": _softmax,
    "sub": _binary("Sub"),
    "take": _take,
    "unary": _unary,
}
"""Operation of the graph -> how it is written."""
