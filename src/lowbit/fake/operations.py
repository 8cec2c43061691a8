"""What each operation of an integer graph computes, in torch: docs/numerics.md again, with gradients.

Quantized values are float32 tensors that hold the integers (all types fit 24 bits); so every step has a derivative, with
rounding passed straight through.  Sums of products are exact: in float32 up to 2^24, else in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lowbit.fake.grid import Grid, Sum, Term, finish
from lowbit.fake.straight_through import instead, round_, sign_of
from lowbit.frontend import selecting, windows
from lowbit.frontend.evaluation import compute
from lowbit.frontend.pointwise import POINTWISE
from lowbit.graph import Node
from lowbit.graph.bounds import span
from lowbit.graph.fixed_point import fraction_bits, starts_of, whole_weights
from lowbit.graph.logarithm import FRACTION_BITS, logarithm
from lowbit.graph.powers import STEPS, factors_of_power
from lowbit.numerics import quantize

__all__ = ["OPERATIONS", "Operation", "Site"]


@dataclass(frozen=True, eq=False)
class Site:
    """Where an operation is carried out: its ``node``, the ``grids`` of its operands and of the result ``out`` (None: real
    numbers), and the result's ``shape``."""

    node: Node
    grids: tuple[Grid | None, ...]
    out: Grid | None
    shape: tuple[int, ...]


Operation = Callable[[Site, Sequence[Tensor]], "Tensor | Sum"]
"""(site, operands) -> the result, or the sum that is rounded to it."""

_FLOAT32, _FLOAT64 = 2.0**24, 2.0**53  # up to here integers are exact


def _grid(grid: Grid | None) -> Grid:
    if grid is None:
        raise TypeError("an operand of an integer operation is not quantized")
    return grid


def _exactly(largest: float, *tensors: Tensor) -> list[Tensor]:
    """The tensors in a dtype that holds every integer up to ``largest`` in magnitude, in whatever order they are summed.

    float32 convolutions are trusted on a CPU at full precision alone: elsewhere they may be rounded to fewer bits, or
    transformed (Winograd)."""
    plain = tensors[0].device.type == "cpu" and torch.get_float32_matmul_precision() == "highest"
    dtype = torch.float32 if largest < _FLOAT32 and plain else torch.float64
    return [tensor.to(dtype) for tensor in tensors]


def layer(site: Site, values: Sequence[Tensor]) -> Sum:
    """acc = sum (q_x - z_x) * w + bias, times s_x * s_w[c]; plus the residual."""
    x, weight = _grid(site.grids[0]), _grid(site.grids[1])
    w, bias = values[1], values[2]
    with torch.no_grad():
        rows = w.abs().reshape(len(w), -1).sum(1, dtype=torch.float64)
        largest = span(x.params) * float(rows.max()) + float(bias.abs().max())
    q, w, bias = _exactly(largest, x.offsets(values[0]), w, bias)
    if site.node.op == "conv2d":
        acc = _convolved(site, q, w, bias, x)
    else:
        acc = F.linear(q, w, bias)
    unit = x.scale.double() * weight.scale.double()
    terms = [Term(acc, unit.reshape(-1, 1, 1) if site.node.op == "conv2d" else unit)]
    if site.node.attrs.get("residual"):
        r = _grid(site.grids[-1])
        terms.append(Term(r.offsets(values[-1]), r.scale.double()))
    return Sum(tuple(terms))


def _convolved(site: Site, q: Tensor, w: Tensor, bias: Tensor, x: Grid) -> Tensor:
    """The padding holds the integer of 0, which is 0 after the zero point is taken off, but +1 for b1."""
    top, left, bottom, right = site.node.attrs["padding"]
    zero = int(quantize(np.float32(0), x.params)) - x.zero_point
    padding: tuple[int, int] = (top, left)
    if zero or (top, left) != (bottom, right):
        q, padding = F.pad(q, (left, right, top, bottom), value=zero), (0, 0)
    return F.conv2d(q, w, bias, site.node.attrs["stride"], padding, site.node.attrs["dilation"], site.node.attrs["groups"])


def _scaled(value: Tensor, grid: Grid | None) -> Term:
    held = _grid(grid)
    return Term(held.offsets(value), held.scale.double())


def rescale(site: Site, values: Sequence[Tensor]) -> Sum:
    return Sum((_scaled(values[0], site.grids[0]),))


def add(site: Site, values: Sequence[Tensor]) -> Sum:
    return Sum(tuple(_scaled(value, grid) for value, grid in zip(values, site.grids, strict=True)))


def sub(site: Site, values: Sequence[Tensor]) -> Sum:
    left, right = add(site, values).terms
    return Sum((left, right._replace(acc=-right.acc)))


def mul(site: Site, values: Sequence[Tensor]) -> Sum:
    x, y = _grid(site.grids[0]), _grid(site.grids[1])
    a, b = _exactly(span(x.params) * span(y.params), x.offsets(values[0]), y.offsets(values[1]))
    return Sum((Term(a * b, x.scale.double() * y.scale.double()),))


def affine(site: Site, values: Sequence[Tensor]) -> Sum:
    """The graph's constants hold the scales it was made with: f32(s_x * scale / s_out) and f32(shift / s_out)."""
    x, held = _grid(site.grids[0]), _grid(site.out)
    shape = [-1 if axis == 1 else 1 for axis in range(values[0].dim())]
    scale, shift = (value.reshape(shape).double() * held.made_with for value in values[1:])
    one = torch.ones((), device=values[0].device)
    return Sum((Term(x.offsets(values[0]), scale * (x.scale.double() / x.made_with)), Term(one, shift)))


def matmul(site: Site, values: Sequence[Tensor]) -> Sum:
    """acc = sum of products of offsets, times s_x * s_y * factor."""
    x, y = _grid(site.grids[0]), _grid(site.grids[1])
    largest = values[0].shape[2] * span(x.params) * span(y.params)
    left, right = _exactly(largest, x.offsets(values[0]), y.offsets(values[1]))
    acc = torch.matmul(left, right.transpose(1, 2) if site.node.attrs["transposed"] else right)
    return Sum((Term(acc, x.scale.double() * y.scale.double() * site.node.attrs["factor"]),))


def normalize(site: Site, values: Sequence[Tensor]) -> Sum:
    """Exact sums in int64, the variance in float64 from them, three float32 steps a value (graph/oracle/normalization.py).  The
    graph's constants hold the scale of the result it was made with."""
    x, held, attrs = _grid(site.grids[0]), _grid(site.out), site.node.attrs
    axis, groups, shape = attrs["axis"], attrs["groups"], values[0].shape
    per_channel = [-1 if d == axis else 1 for d in range(len(shape))]
    with torch.no_grad():
        v = x.offsets(values[0]).long().reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
        over = tuple(range(axis + 1, v.dim())) if attrs["spatial"] else (axis + 1,)
        n = math.prod(v.shape[d] for d in over)
        s1, s2 = v.sum(over, keepdim=True), (v * v).sum(over, keepdim=True)
        whole = s1.div(n, rounding_mode="floor") if attrs["centred"] else torch.zeros_like(s1)
        rest = s1 - n * whole if attrs["centred"] else torch.zeros_like(s1)
        real = rest.double()
        variance = (s2 - 2 * whole * s1 + n * whole * whole).double() - real * real / float(n)
        spread = torch.where(variance > 0, variance / float(n) if attrs["mean"] else variance, 1.0)
        scale = x.scale.double()
        root = torch.sqrt(spread + attrs["eps"] / (scale * scale))
        inverse = (1.0 / torch.maximum(root, attrs["floor"] / scale)).float() * (variance > 0)
        part = (real / float(n)).float()
        moved = ((v - whole).float() - part).reshape(shape)
        inverse = inverse.expand(v.shape).reshape(shape)
    if torch.is_grad_enabled() and values[0].requires_grad:
        ones, zeros = (torch.full((shape[axis],), number, device=moved.device) for number in (1.0, 0.0))
        smooth = compute(site.node, site.shape, x.offsets(values[0]) * x.scale, ones, zeros)
        moved = instead(torch.where(inverse > 0, smooth / torch.where(inverse > 0, inverse, 1.0), 0.0), moved)
    weight, bias = (value.reshape(per_channel) for value in values[1:])
    one = torch.ones((), device=moved.device)
    return Sum((Term(moved, (inverse * weight).double() * held.made_with), Term(one, bias.double() * held.made_with)))


def response_norm(site: Site, values: Sequence[Tensor]) -> Sum:
    """v * inv, inv = f32(1 / base^beta), times s_x; see graph/oracle/normalization.py."""
    x, attrs = _grid(site.grids[0]), site.node.attrs
    size, v = attrs["size"], x.offsets(values[0])
    scale = x.scale.double()
    squares = F.pad(v.double() ** 2, (0, 0, 0, 0, size // 2, (size - 1) // 2))
    acc = torch.stack([squares[:, place : place + v.shape[1]] for place in range(size)]).sum(0)
    base = float(attrs["k"]) + (attrs["alpha"] / size) * (scale * scale) * acc
    whole, halves = factors_of_power(round(attrs["beta"] * STEPS))
    power, root = torch.ones_like(base), base
    for _ in range(whole):
        power = power * base
    for taken in halves:
        root = torch.sqrt(root)
        power = power * root if taken else power
    return Sum((Term(v.float() * (1.0 / power).float(), scale),))


def norm_pool2d(site: Site, values: Sequence[Tensor]) -> Sum:
    """sqrt(sum of squares over the window), rounded to float32, times s_x."""
    x, attrs = _grid(site.grids[0]), site.node.attrs
    q = x.offsets(values[0]).double()
    acc = windows.avg_pool(q * q, attrs["windows"], attrs["columns"], (1,) * math.prod(site.shape[2:]))
    root = torch.sqrt(torch.where(acc > 0, acc, 1.0)) * (acc > 0)  # whose derivative at 0 is 0
    return Sum((Term(root.float(), x.scale.double()),))


def argmax(site: Site, values: Sequence[Tensor]) -> Tensor:
    """The first position of the largest or smallest value: whole numbers, without a derivative."""
    find = torch.argmin if site.node.attrs["least"] else torch.argmax
    return find(values[0].detach(), site.node.attrs["axis"])


def avg_pool2d(site: Site, values: Sequence[Tensor]) -> Sum:
    """acc = sum over the window, times s_x / divisor."""
    x, attrs = _grid(site.grids[0]), site.node.attrs
    rows, columns = (max(b - a for a, b in attrs[axis]) for axis in ("windows", "columns"))
    (q,) = _exactly(rows * columns * span(x.params), x.offsets(values[0]))
    acc = windows.avg_pool(q, attrs["windows"], attrs["columns"], (1,) * len(attrs["divisors"]))
    divisors = torch.tensor(attrs["divisors"], dtype=torch.float64, device=q.device).reshape(acc.shape[2:])
    return Sum((Term(acc, x.scale.double(), divisors),))


def concat(site: Site, values: Sequence[Tensor]) -> Tensor:
    held, parts = _grid(site.out), []
    for value, grid in zip(values, site.grids, strict=True):
        same = _grid(grid).params.same_grid(held.params)
        parts.append(value if same else finish(Sum((_scaled(value, grid),)), site.node, held))
    return torch.cat(parts, site.node.attrs["axis"])


def unary(site: Site, values: Sequence[Tensor]) -> Tensor:
    """table[q - qmin]; the gradient is the function's own."""
    x, table = _grid(site.grids[0]), values[1]
    qtype = x.params.qtype
    with torch.no_grad():
        index = values[0].long()
        index = (index + 1) >> 1 if qtype.bipolar else index - qtype.qmin
        exact = table.float()[index]
    moved = x.moved or (site.out is not None and site.out.moved)  # the table is that of other scales
    if not moved and not (torch.is_grad_enabled() and values[0].requires_grad):
        return exact
    extra = {key: value for key, value in site.node.attrs.items() if key not in ("fn", "qlo", "qhi")}
    y = POINTWISE[site.node.attrs["fn"]](x.offsets(values[0]) * x.scale, **extra)
    if site.out is not None:
        y = _rounded(torch.nan_to_num(y, nan=-torch.inf), site.out)
    return y if moved else instead(y, exact)


def softmax(site: Site, values: Sequence[Tensor]) -> Sum | Tensor:
    """p = f32(table[max q - q]) / f32(sum of them); with ``log``: -(f32(max q - q) s + f32(ln sum - ln table[0]) 2^-24)."""
    x, axis, log = _grid(site.grids[0]), site.node.attrs["axis"], site.node.attrs.get("log")
    with torch.no_grad():
        q = values[0].long()
        distance = q.amax(axis, keepdim=True) - q
        e = values[1].long()[distance]
        total = e.sum(axis, keepdim=True)
        if log:
            behind = (_logarithm(total) - _logarithm(values[1].long()[:1])).float() * 2.0**-FRACTION_BITS
            p = -(distance.float() * float(x.params.scale) + behind)
        else:
            p = e.float() / total.float()
    if x.moved or (torch.is_grad_enabled() and values[0].requires_grad):
        smooth = (torch.log_softmax if log else torch.softmax)(values[0] * x.scale, axis)
        p = smooth if x.moved else instead(smooth, p)
    return p if site.out is None else Sum((Term(p, torch.ones((), dtype=torch.float64, device=p.device)),))


def _logarithm(n: Tensor) -> Tensor:
    """2^24 ln n of whole numbers, graph.logarithm's own."""
    return torch.from_numpy(logarithm(n.cpu().numpy())).to(n.device)


def _rounded(x: Tensor, out: Grid) -> Tensor:
    """clamp(rint(x / scale) + zero_point, qmin, qmax) in float32, NaN gives qmin; b1: the sign."""
    qtype, zero = out.params.qtype, out.zero_point
    if qtype.bipolar:
        return sign_of(x, out.scale)
    steps = round_(x / out.scale)
    steps = torch.where(torch.isnan(steps), float(qtype.qmin - zero), steps)
    return steps.clamp(qtype.qmin - zero, qtype.qmax - zero) + zero


def to_quantized(site: Site, values: Sequence[Tensor]) -> Tensor:
    return _rounded(values[0].float(), _grid(site.out))


def from_integers(site: Site, values: Sequence[Tensor]) -> Tensor:
    held = _grid(site.grids[0])
    return held.offsets(values[0]) * held.scale


def _slice(site: Site, values: Sequence[Tensor]) -> Tensor:
    starts, steps = site.node.attrs["starts"], site.node.attrs["steps"]
    ranges = zip(starts, steps, site.shape, strict=True)
    return values[0][tuple(slice(start, start + (count - 1) * step + 1, step) for start, step, count in ranges)]


def resize(site: Site, values: Sequence[Tensor]) -> Sum:
    """acc with weights that are whole numbers of 2^-B, times s_x / 2^2B; exact in float64."""
    x, attrs = _grid(site.grids[0]), site.node.attrs
    bits = fraction_bits(x.params.qtype)
    q = x.offsets(values[0]).double()
    rows, columns = (
        (starts_of(attrs[axis]), torch.from_numpy(whole_weights(attrs[axis], bits)).to(q)) for axis in ("rows", "columns")
    )
    return Sum((Term(selecting.resize(q, rows, columns), x.scale.double(), 2.0 ** (2 * bits)),))


def _pad(site: Site, values: Sequence[Tensor]) -> Tensor:
    value = np.float32(site.node.attrs["value"])
    fill = float(value if site.out is None else quantize(value, site.out.params))
    pairs = zip(reversed(site.node.attrs["before"]), reversed(site.node.attrs["after"]), strict=True)
    return F.pad(values[0], [amount for pair in pairs for amount in pair], value=fill)


OPERATIONS: dict[str, Operation] = {
    "add": add,
    "affine": affine,
    "argmax": argmax,
    "avg_pool2d": avg_pool2d,
    "clamp": rescale,
    "concat": concat,
    "conv2d": layer,
    "dequantize": from_integers,
    "expand": lambda site, values: values[0].expand(site.shape),
    "interleave": lambda site, values: selecting.interleave(values[0], site.node.attrs),
    "linear": layer,
    "max_pool2d": lambda site, values: windows.max_pool(values[0], site.node.attrs["windows"], site.node.attrs["columns"]),
    "matmul": matmul,
    "maximum": lambda site, values: Sum(add(site, values).terms, torch.maximum),
    "min_pool2d": lambda site, values: windows.min_pool(values[0], site.node.attrs["windows"], site.node.attrs["columns"]),
    "minimum": lambda site, values: Sum(add(site, values).terms, torch.minimum),
    "mul": mul,
    "norm_pool2d": norm_pool2d,
    "normalize": normalize,
    "pad": _pad,
    "permute": lambda site, values: values[0].permute(site.node.attrs["dims"]),
    "quantize": to_quantized,
    "reshape": lambda site, values: values[0].reshape(site.shape),
    "resize": resize,
    "response_norm": response_norm,
    "slice": _slice,
    "softmax": softmax,
    "sub": sub,
    "take": lambda site, values: selecting.take(values[0], site.node.attrs),
    "unary": unary,
}
"""Operation -> what it computes on integers; those that only move values, and quantize, also take real numbers."""
