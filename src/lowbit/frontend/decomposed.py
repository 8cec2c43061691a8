"""``quantized_decomposed`` operations: the roundings in programs that PT2E (torchao's convert_pt2e) made."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.quantized import Grid, round_activation, round_constant, weights

__all__ = ["NAMESPACE", "rounding"]

NAMESPACE = "quantized_decomposed"


def rounding(b: Builder, call: Call) -> Value:
    """The real value behind quantize_per_tensor, dequantize_per_tensor and those per channel; integers keep their grid beside
    them.  Raises UnsupportedOperation for other operations of the namespace, and for integers that are read as something else
    than they were made as."""
    op, x = call.op, call.args["input"]
    if op not in ("quantize_per_tensor", "dequantize_per_tensor", "quantize_per_channel", "dequantize_per_channel"):
        call.refuse("lowbit cannot compile it; supported are roundings with constant scales, per tensor and per channel")
    grid = _grid(b, call)
    if op.startswith("quantize"):
        if isinstance(x, torch.Tensor):
            return round_constant(b, x.detach().numpy(), grid)
        return round_activation(b, call, x, grid)
    if isinstance(x, torch.Tensor):
        return x if b.made_of(x) is not None else weights(b, x.detach().numpy(), grid)
    held = b.grids.get(x)
    if held is None or grid.scale.size != 1 or np.float32(grid.scale.reshape(())) != held.scale:
        call.refuse("it reads integers that no rounding of the same scale made")
    shift = (1 << 15) if held.qtype.bits == 16 and grid.low >= 0 else 0  # u16 is held as i16
    if int(grid.zero_point.reshape(())) - shift != held.zero_point:
        call.refuse(f"it reads integers of zero point {held.zero_point} as if they had {int(grid.zero_point.reshape(()))}")
    return x


def _grid(b: Builder, call: Call) -> Grid:
    args = call.args
    args.without_effect("dtype", "out_dtype")
    scale = _constant(call, args["scales"] if "scales" in args else args["scale"])
    points = args["zero_points"] if "zero_points" in args else args["zero_point"]
    zero = np.zeros_like(scale) if points is None else _constant(call, points)
    low, high = int(_constant(call, args["quant_min"])), int(_constant(call, args["quant_max"]))
    if "axis" in args:
        shape, axis = b.shape(args["input"]), int(args["axis"]) % max(len(b.shape(args["input"])), 1)
        scale, zero = (value.reshape([-1 if d == axis else 1 for d in range(len(shape))]) for value in (scale, zero))
    signed = low < 0
    bits = max(-low - 1, high).bit_length() + signed
    return Grid(scale.astype(np.float32), zero.astype(np.int64), low, high, max(bits, 1), signed)


def _constant(call: Call, value: Any) -> np.ndarray:
    if isinstance(value, str):
        call.refuse("its scale or zero point is computed from the input (dynamic quantization); they must be constants")
    return np.asarray(value.detach().numpy() if isinstance(value, torch.Tensor) else value)
