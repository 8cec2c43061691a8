"""QuantizeLinear and DequantizeLinear, the QLinear operations, and QONNX's Quant, BipolarQuant and Trunc.

A quantized value is kept as the real number that it means, with its grid beside it in ``Builder.grids``: operations on integers
are those on reals, between two roundings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from lowbit.frontend.call import Value
from lowbit.frontend.onnx.node import Condition, OnnxNode
from lowbit.frontend.onnx.rows import layers, pointwise
from lowbit.frontend.quantized import Grid, round_activation, round_constant, weights

__all__ = [
    "at_least",
    "bipolar_quant",
    "choose",
    "dequantize_linear",
    "integer_layer",
    "qgemm",
    "qlinear",
    "qlinear_concat",
    "qlinear_layer",
    "qlinear_where",
    "quant",
    "quantize_linear",
    "trunc",
]  # fmt: skip

_TYPES = {f"{'' if signed else 'U'}INT{bits}": (bits, signed) for bits in (2, 4, 8, 16, 32) for signed in (True, False)}


def _element(n: OnnxNode, kind: str) -> tuple[int, bool]:
    if kind not in _TYPES:
        n.refuse(f"integers of type {kind}; read are {', '.join(_TYPES)}")
    return _TYPES[kind]


def _grid(n: OnnxNode, scale: int, zero: int, shape: Sequence[int], axis: int | None, kind: str | None = None) -> Grid:
    """The grid of inputs ``scale`` and ``zero``, shaped to broadcast along ``axis`` of a tensor of ``shape``."""
    s = n.constant(scale, "the scale").numpy().astype(np.float32)
    z = None if n.get(zero) is None else n.constant(zero, "the zero point")
    kind = kind or (n.kinds[zero] if z is not None and zero < len(n.kinds) and n.kinds[zero] else "UINT8")
    bits, signed = _element(n, kind)
    block = int(n.attribute("block_size", 0))
    points = np.zeros_like(s, np.int64) if z is None else z.numpy().astype(np.int64)
    arrays = [_broadcast(n, value, shape, axis, block) for value in (s, points)]
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    return Grid(arrays[0], arrays[1], low, high, bits, signed)


def _broadcast(n: OnnxNode, value: np.ndarray, shape: Sequence[int], axis: int | None, block: int) -> np.ndarray:
    if value.size == 1:
        return value.reshape(())
    if block and value.ndim == len(shape) and axis is not None:
        along = axis % len(shape)
        return np.repeat(value, block, along).take(range(shape[along]), along)
    if axis is None or value.ndim != 1 or len(value) != shape[axis % len(shape)]:
        n.refuse(f"scales or zero points of shape {value.shape} for a tensor of shape {tuple(shape)} along axis {axis}")
    return value.reshape([-1 if index == axis % len(shape) else 1 for index in range(len(shape))])


def _kind_of_result(n: OnnxNode) -> str | None:
    from lowbit.frontend.onnx.constants import element_type

    given = int(n.attribute("output_dtype", 0))
    return element_type(given) if given else None


def quantize_linear(n: OnnxNode) -> Value:
    """clamp(rint(x / scale) + zero_point): a constant becomes integers, an activation is rounded."""
    x, axis = n.value(0), int(n.attribute("axis", 1))
    grid = _grid(n, 1, 2, n.shape(), axis if len(n.shape()) else None, _kind_of_result(n))
    return _rounded(n, x, grid)


def at_least(n: OnnxNode) -> Value | Condition:
    """x >= y; of an activation and 0 a condition that :func:`choose` may round by."""
    x, y = n.value(0), n.value(1)
    if isinstance(x, str) and isinstance(y, torch.Tensor) and y.numel() == 1 and not y.any():
        return Condition(x)
    return n.aten("ge.Tensor", x, y)


def is_nan(n: OnnxNode) -> Value | Condition:
    """Whether x is NaN; of an activation a condition for :func:`choose`."""
    x = n.value(0)
    return Condition(x, nan=True) if isinstance(x, str) else n.aten("isnan", x)


def choose(n: OnnxNode) -> Value:
    """Where; x >= 0 ? c : -c is a rounding to two values, and x is NaN ? c : x is x: NaN stays NaN in :func:`lowbit.compile`."""
    condition = n.get(0)
    if not isinstance(condition, Condition):
        return pointwise.where(n)
    if condition.nan:
        if condition.value != n.value(2):
            n.refuse("whether x is NaN may only replace x itself, which is then left as it is")
        return condition.value
    high, low = n.get(1), n.get(2)
    if not (isinstance(high, torch.Tensor) and isinstance(low, torch.Tensor) and high.numel() == low.numel() == 1):
        return pointwise.where(n)
    if float(high) != -float(low) or not float(high) > 0:
        return pointwise.where(n)
    scale = np.asarray(float(high), np.float32)
    return _rounded(n, condition.value, Grid(scale, np.asarray(0), -1, 1, 1, True, bipolar=True))


def _rounded(n: OnnxNode, x: Value, grid: Grid, rounding: Callable[[np.ndarray], np.ndarray] = np.rint) -> Value:
    if isinstance(x, torch.Tensor):
        return round_constant(n.builder, x.numpy(), grid, rounding)
    if _on_grid(n, x, grid):
        return x
    return round_activation(n.builder, n.call(n.builder.shape(x)), x, grid)


def _on_grid(n: OnnxNode, x: str, grid: Grid) -> bool:
    """Whether every value of ``x`` is one of the grid already, so that rounding changes none."""
    held = n.builder.grids.get(x)
    if held is None or grid.bipolar or grid.scale.size != 1 or grid.zero_point.size != 1:
        return False
    inside = grid.low <= held.qtype.qmin and held.qtype.qmax <= grid.high
    return inside and np.float32(grid.scale.reshape(())) == held.scale and float(grid.zero_point.reshape(())) == held.zero_point


def dequantize_linear(n: OnnxNode) -> Value:
    """scale * (q - zero_point)."""
    x, axis = n.value(0), int(n.attribute("axis", 1))
    return _constant(n, 0, 1, 2, axis) if isinstance(x, torch.Tensor) else _checked(n, 0, 1, 2)


def _constant(n: OnnxNode, index: int, scale: int, zero: int, axis: int | None) -> torch.Tensor:
    """Integers of the file, or ones that QuantizeLinear made of a constant, as the real numbers they mean."""
    held = n.constant(index, "the integers")
    if n.builder.made_of(held) is not None:
        return held
    grid = _grid(n, scale, zero, tuple(held.shape), axis if held.dim() else None, n.kinds[index] or None)
    return weights(n.builder, held.numpy(), grid)


def _checked(n: OnnxNode, index: int, scale: int, zero: int) -> str:
    """An activation that is read as integers of this scale and zero point: it must have been made with these."""
    x = n.value(index)
    assert isinstance(x, str)
    held = n.builder.grids.get(x)
    if held is None:
        n.refuse(f"input {index} is no quantized value; supported are results of QuantizeLinear and of QLinear operations")
    grid = _grid(n, scale, zero, (), None, "INT8")
    point = float(grid.zero_point) - (1 << 15 if held.qtype.bits == 16 and float(grid.zero_point) > held.qtype.qmax else 0)
    shifted = held.qtype.bits == 16 and float(grid.zero_point) - (1 << 15) == held.zero_point
    if np.float32(grid.scale) != held.scale or not (shifted or point == held.zero_point):
        n.refuse(
            f"it reads integers of scale {float(held.scale):.6g} and zero point {held.zero_point} as if they had scale "
            f"{float(grid.scale):.6g} and zero point {int(grid.zero_point)}"
        )
    return x


def _result(n: OnnxNode, y: Value, scale: int, zero: int) -> Value:
    """The real result on the grid of inputs ``scale`` and ``zero``."""
    return _rounded(n, y, _grid(n, scale, zero, n.builder.shape(y), None))


def _operand(n: OnnxNode, index: int, scale: int, zero: int) -> Value:
    return _constant(n, index, scale, zero, None) if isinstance(n.value(index), torch.Tensor) else _checked(n, index, scale, zero)


def qlinear_layer(row: Callable[[OnnxNode], Value], axis: int) -> Callable[[OnnxNode], Value]:
    """QLinearConv, QLinearMatMul: (x, s_x, z_x, w, s_w, z_w, s_y, z_y, bias int32 at s_x * s_w); ``axis`` of the weights has the
    scales."""

    def layer(n: OnnxNode) -> Value:
        x, w, bias = _operand(n, 0, 1, 2), n.value(3), n.get(8)
        if isinstance(w, str):
            w = _checked(n, 3, 4, 5)
        else:
            w = _constant(n, 3, 4, 5, axis)
        given: list[Value | None] = [x, w]
        if bias is not None:
            unit = n.constant(1, "the scale").numpy().reshape(()) * n.constant(4, "the scale").numpy().reshape(-1)
            given.append(_bias(n, n.constant(8, "the bias").numpy(), unit))
        return _result(n, row(replace(n, inputs=tuple(given))), 6, 7)

    return layer


def _bias(n: OnnxNode, integers: np.ndarray, unit: np.ndarray) -> torch.Tensor:
    return weights(n.builder, integers, Grid(unit.astype(np.float32), np.asarray(0), 0, 0, 32, True))


def qgemm(n: OnnxNode) -> Value:
    """com.microsoft.QGemm: (a, s_a, z_a, b, s_b, z_b, c int32, s_y, z_y); without s_y the result is float32."""
    a, b = _operand(n, 0, 1, 2), _constant(n, 3, 4, 5, 0 if n.attribute("transB", 0) else 1)
    given: list[Value | None] = [a, b]
    if n.get(6) is not None:
        unit = n.constant(1, "the scale").numpy().reshape(()) * n.constant(4, "the scale").numpy().reshape(-1)
        given.append(_bias(n, n.constant(6, "the bias").numpy(), unit * float(n.attribute("alpha", 1.0))))
    y = layers.gemm(replace(n, inputs=tuple(given)))
    return _result(n, y, 7, 8) if n.get(7) is not None else y


def integer_layer(row: Callable[[OnnxNode], Value]) -> Callable[[OnnxNode], Value]:
    """ConvInteger, MatMulInteger: the sum of (x - z_x) (w - z_w) as a number, of a value on a grid with that zero point."""

    def layer(n: OnnxNode) -> Value:
        x = n.value(0)
        held = n.builder.grids.get(x) if isinstance(x, str) else None
        zero = 0 if n.get(2) is None else int(n.constant(2, "the zero point").reshape(()))
        if held is None or held.zero_point != zero:
            n.refuse("its first operand is no value of QuantizeLinear with the same zero point")
        w = n.constant(1, "the weights")
        points = np.zeros((), np.int64) if n.get(3) is None else n.constant(3, "the zero point").numpy()
        bits, signed = _element(n, n.kinds[1])
        one = Grid(np.ones((), np.float32), points.reshape(()) if points.size == 1 else points, 0, 0, bits, signed)
        y = row(replace(n, inputs=(x, weights(n.builder, w.numpy(), one))))
        return n.aten("mul.Tensor", y, torch.tensor(1.0 / float(held.scale), dtype=torch.float32))

    return layer


def qlinear(row: Callable[[OnnxNode], Value], operands: int) -> Callable[[OnnxNode], Value]:
    """com.microsoft.QLinearAdd and its like: (x, s, z) of every operand, then (s, z) of the result.

    ``opset``: of the operation that it stands for, where that has changed since."""

    def step(n: OnnxNode) -> Value:
        if n.attribute("channels_last", 0):
            n.refuse("it reads channels last; quantize the network with channels first")
        n = replace(n, opset=int(n.attribute("opset", n.opset)))
        values = tuple(_operand(n, 3 * index, 3 * index + 1, 3 * index + 2) for index in range(operands))
        return _result(n, row(replace(n, inputs=values)), 3 * operands, 3 * operands + 1)

    return step


def qlinear_where(n: OnnxNode) -> Value:
    """com.microsoft.QLinearWhere: the condition, (x, s, z) of both operands, then (s, z) of the result."""
    values = [_operand(n, index, index + 1, index + 2) for index in (1, 4)]
    return _result(n, n.aten("where.self", n.value(0), *values), 7, 8)


def qlinear_concat(n: OnnxNode) -> Value:
    """com.microsoft.QLinearConcat: (s, z) of the result, then (x, s, z) of every operand."""
    values = [_operand(n, index, index + 1, index + 2) for index in range(2, len(n.inputs), 3)]
    return _result(n, n.aten("cat", values, int(n.attribute("axis", 0))), 0, 1)


_ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "ROUND_TO_ZERO": np.trunc,
    "DOWN": np.trunc,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}


def quant(n: OnnxNode) -> Value:
    """QONNX's Quant: (round(x / scale + zero_point), clamped) - zero_point, times scale; any width, narrow or not."""
    x = n.value(0)
    names = ("the scale", "the zero point", "the width")
    scale, zero, width = (n.constant(index, what).numpy() for index, what in enumerate(names, 1))
    bits, signed, narrow = float(width.reshape(-1)[0]), bool(n.attribute("signed", 1)), bool(n.attribute("narrow", 0))
    if width.size != 1 or bits != int(bits) or bits < 1:
        n.refuse(f"widths {width.reshape(-1)[:4]}; supported is one whole number of bits")
    bits = int(bits)
    low = -(1 << (bits - 1)) + narrow if signed else 0
    high = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1 - narrow
    if bits == 1 and signed and narrow:  # only 0 is left
        n.refuse("1 bit, signed and narrow, holds only 0; BipolarQuant gives -1 and 1")
    mode = str(n.attribute("rounding_mode", "ROUND")).upper()
    if mode not in _ROUNDINGS or (isinstance(x, str) and _ROUNDINGS[mode] is not np.rint):
        n.refuse(f"rounding mode {mode} of an activation; lowbit rounds to nearest, halves to even (ROUND)")
    grid = Grid(scale.astype(np.float32), zero.astype(np.float32), low, high, bits, signed)
    return _rounded(n, x, grid, _ROUNDINGS[mode])


def bipolar_quant(n: OnnxNode) -> Value:
    """QONNX's BipolarQuant: scale where x >= 0, else -scale."""
    scale = n.constant(1, "the scale").numpy().astype(np.float32)
    return _rounded(n, n.value(0), Grid(scale, np.asarray(0), -1, 1, 1, True, bipolar=True))


def trunc(n: OnnxNode) -> Value:
    """QONNX's Trunc, rounding down: floor(q / 2^(in - out)) of the integers q of x, on the same scale.

    floor(q / T) = rint((q - (T - 1) / 2) / T) for whole q, which is arithmetic and a rounding to nearest."""
    x = n.value(0)
    given = [float(n.constant(index, "a parameter").reshape(())) for index in range(1, 5)]
    scale, zero, wide, narrow = given
    mode = str(n.attribute("rounding_mode", "FLOOR")).upper()
    if mode != "FLOOR" or zero or narrow > wide or wide != int(wide) or narrow != int(narrow):
        n.refuse(f"rounding {mode}, zero point {zero}, {wide} to {narrow} bits; supported are FLOOR and zero point 0")
    if not isinstance(x, str):
        return torch.floor(torch.round(x / scale) / 2 ** (wide - narrow)) * scale
    step, bits, signed = 2 ** int(wide - narrow), int(narrow), bool(n.attribute("signed", 1))
    y = n.aten("mul.Tensor", x, torch.tensor(1.0 / step))
    y = n.aten("add.Tensor", y, torch.tensor(-scale * (step - 1) / (2 * step), dtype=torch.float32))
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    return _rounded(n, y, Grid(np.asarray(scale, np.float32), np.asarray(0), low, high, bits, signed))
