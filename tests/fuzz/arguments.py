"""One rule for each argument name of torch's schemas: what is drawn for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lowbit.frontend.handlers.conditions import CONNECTIVES
from lowbit.frontend.handlers.rearranged import REARRANGED
from tests.fuzz.draws import Draws, Rejected, broadcasts
from tests.fuzz.rearranged import plan
from tests.fuzz.tensors import Hiding, Mask, Positions, Recipe, Shown, draw_recipe

if TYPE_CHECKING:
    from tests.fuzz.modules import Generator

__all__ = ["RULES", "Unbound", "by_type"]

NUMBERS = (1.0, 2, 0.5, -1, 3.0, -0.25, 0, 6, 1e-3)


class Unbound:
    """A call while its arguments are drawn: what was drawn so far, by name."""

    def __init__(self, generator: Generator, operation: str) -> None:
        self.generator = generator
        self.in_place = operation.endswith("_") and not operation.startswith("__")
        self.operation = operation.rstrip("_") if self.in_place else operation
        self.values: dict[str, Any] = {}
        self.first: Tensor | None = None
        self.planned: dict[str, Any] = {}  # arguments that were drawn together with an earlier one
        self.axis = 0  # of operations whose axis comes behind what depends on it

    @property
    def draws(self) -> Draws:
        return self.generator.draws

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self.first is None else tuple(self.first.shape)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def spatial(self) -> int:
        """Axes that a window moves along."""
        return next((n for n in (1, 2, 3) if f"{n}d" in self.operation), max(self.rank - 2, 1))

    def draw_axis(self, extra: int = 0) -> int:
        rank = max(self.rank + extra, 1)
        return self.draws.integer(0, rank - 1) - (rank if self.draws.chance(40) else 0)

    def extent(self, axis: int) -> int:
        return self.shape[axis] if -self.rank <= axis < self.rank else 1


Rule = Callable[[Unbound, Any], Any]


def _operand(u: Unbound, argument: Any) -> Any:
    """The first tensor, a value; later ones by broadcasting; conditions for connectives."""
    if "Tensor" not in str(argument.type):
        return u.draws.choose(NUMBERS)
    if argument.name in u.planned:
        return u.planned[argument.name]
    if u.operation in CONNECTIVES and u.first is None:
        ref = u.generator.condition()
        u.first = u.generator.value(ref)
        return ref
    if u.operation == "addmm" and u.first is None:
        return _addmm(u)
    if u.operation == "baddbmm" and u.first is None:
        return _baddbmm(u)
    if u.first is None:
        ref = u.generator.operand(u.operation)
        u.first = u.generator.value(ref)
        if u.rank and not u.operation.startswith("view"):
            u.axis = u.draw_axis()
        if u.operation in REARRANGED:
            u.planned = plan(u)
        return ref
    return _other(u, argument)


def _addmm(u: Unbound) -> Any:
    """The bias comes first, but what it may be follows from the matrices; in place the bias is the value."""
    left = u.generator.operand(u.operation)
    u.first = u.generator.value(left)
    rows, inner = u.shape
    if u.in_place:
        width = u.draws.integer(1, 8)
        u.planned = {"mat1": draw_recipe(u.draws, (rows, width)), "mat2": draw_recipe(u.draws, (width, inner))}
        return left
    out = u.draws.integer(1, 20)
    u.planned = {"mat1": left, "mat2": draw_recipe(u.draws, (inner, out))}
    return draw_recipe(u.draws, u.draws.choose(((out,), (1, out), (rows, out), (1,))))


def _right_factor(u: Unbound) -> Any:
    """A matrix, or a stack of them: a constant or another value, whatever of it torch multiplies."""
    depth = u.shape[-1] if u.rank else 1
    if u.draws.chance(40):
        return u.generator.pick(lambda value: value.dim() > 1 and value.shape[-2] == depth and value.dim() == u.rank, live=False)
    lead = u.shape[:-2] if u.operation == "bmm" or (u.rank > 2 and u.draws.chance(50)) else ()
    return draw_recipe(u.draws, (*lead, depth, u.draws.integer(1, 20)))


def _baddbmm(u: Unbound) -> Any:
    """Two stacks, and what is added to their product; in place that is the value."""
    first = u.generator.operand("bmm")
    u.first = u.generator.value(first)
    batch, rows, columns = u.shape
    if u.in_place:
        depth = u.draws.integer(1, 8)
        u.planned = {
            "batch1": draw_recipe(u.draws, (batch, rows, depth)), "batch2": draw_recipe(u.draws, (batch, depth, columns))
        }  # fmt: skip
        return first
    out = u.draws.integer(1, 12)
    u.planned = {"batch1": first, "batch2": draw_recipe(u.draws, (batch, columns, out))}
    return draw_recipe(u.draws, u.draws.choose(((out,), (1, rows, out), (batch, rows, out), (1, 1, 1))))


def _scale(u: Unbound, argument: Any) -> Any:
    return u.draws.choose((None, 0.5, 1.0)) if "attention" in u.operation else u.draws.choose((1, 1, 1, 2))


def _planned(u: Unbound, argument: Any) -> Any:
    return u.planned[argument.name]


def _query(u: Unbound, argument: Any) -> Any:
    """Keys, values and a mask come with it: the same value, or constants of other lengths."""
    ref = u.generator.operand(u.operation)
    u.first = u.generator.value(ref)
    *lead, rows, depth = u.shape
    other = u.draws.integer(1, 9)
    alike = u.draws.chance(50)
    grouped = not alike and len(lead) == 2
    if grouped:
        lead[-1] = u.draws.choose([heads for heads in range(1, lead[-1] + 1) if lead[-1] % heads == 0])
    u.planned = {"key": ref, "value": ref} if alike else {
        "key": draw_recipe(u.draws, (*lead, other, depth)), "value": draw_recipe(u.draws, (*lead, other, u.draws.integer(1, 9)))
    }  # fmt: skip
    shape = (rows, rows if alike else other)
    kind = u.draws.choose(("none", "none", "causal", "real", "bool", "hiding"))
    u.planned["enable_gqa"], u.planned["is_causal"] = grouped, kind == "causal"
    u.planned["attn_mask"] = _ATTENTION_MASKS[kind](u.draws, shape) if kind in _ATTENTION_MASKS else None
    return ref


_ATTENTION_MASKS: dict[str, Callable[[Draws, tuple[int, int]], Recipe]] = {
    "real": lambda draws, shape: draw_recipe(draws, shape, ("normal", "steps")),
    "bool": lambda draws, shape: Shown("shown", shape, draws.integer(0, 31)),
    "hiding": lambda draws, shape: Hiding("hiding", shape, draws.integer(0, 31)),
}


def _bilinear(u: Unbound, argument: Any) -> Any:
    """The second input: a constant or the first itself; weights come with it."""
    ref = u.generator.operand("linear")
    u.first = u.generator.value(ref)
    *lead, width = u.shape or (1,)
    alike = u.draws.chance(50)
    other = width if alike else u.draws.integer(1, 9)
    u.planned = {
        "input2": ref if alike else draw_recipe(u.draws, (*lead, other)),
        "weight": draw_recipe(u.draws, (u.draws.integer(1, 6), width, other)),
    }
    return ref


def _folded(u: Unbound, argument: Any) -> Any:
    """The size of what windows come from; the other numbers come with it.  The windows stand in one column."""
    channels, places = u.shape[-2:]
    taps, stride, padding = u.draws.choose([n for n in (1, 2, 3) if channels % n == 0]), u.draws.integer(1, 3), 0
    dilation = u.draws.integer(1, 2)
    rows = (places - 1) * stride + dilation * (taps - 1) + 1 + u.draws.integer(0, stride - 1)
    if rows > 2 and u.draws.chance(40):
        padding = 1
    u.planned = {"kernel_size": [taps, 1], "stride": [stride, 1], "dilation": [dilation, 1], "padding": [padding, 0]}
    return [rows - 2 * padding, 1]


def _equation(u: Unbound, argument: Any) -> Any:
    """A value with itself or a constant, as a matrix product in some order of letters."""
    ref = u.generator.operand(u.operation)
    u.first = u.generator.value(ref)
    rows, depth, columns = u.draws.integer(0, u.rank - 1), u.draws.integer(0, u.rank - 1), "z"
    if rows == depth:
        raise Rejected("one axis cannot be both")
    left = "abcd"[: u.rank]
    right = [columns if axis == rows else letter for axis, letter in enumerate(left)]
    order = u.draws.permutation(u.rank)
    turned = "".join(right[axis] for axis in order)
    letters = [*(c for c in left if c != left[depth]), columns]
    out = "".join(letters[k] for k in u.draws.permutation(len(letters)))
    shape = [u.shape[axis] for axis in order]
    same = order == list(range(u.rank))
    u.planned = {"tensors": [ref, ref if same and u.draws.chance(60) else draw_recipe(u.draws, shape)]}
    return f"{left},{turned}->{out}"


def _other(u: Unbound, argument: Any) -> Any:
    """A second operand: a value or a constant that broadcasts with the first; a matrix for products."""
    if "Tensor" not in str(argument.type):
        return u.draws.choose(NUMBERS)
    if argument.name in u.planned:
        return u.planned[argument.name]
    if u.operation in CONNECTIVES:
        constant = Mask("mask", u.draws.broadcastable(u.shape, grows=not u.in_place), u.draws.integer(0, 31))
        return u.generator.condition(u.shape) if u.draws.chance(50) else constant
    if "Optional" in str(argument.type) and u.draws.chance(40):
        return None
    if u.operation in ("matmul", "mm", "bmm"):
        return _right_factor(u)
    if u.draws.chance(45):
        return u.generator.pick(lambda value: broadcasts(tuple(value.shape), u.shape), live=False)
    return draw_recipe(u.draws, u.draws.broadcastable(u.shape, grows=not u.in_place))


def _weight(u: Unbound, argument: Any) -> Any:
    """Of convolutions, matrix products, batch norms, prelu and what lies between two values."""
    draws, shape = u.draws, u.shape
    if argument.name in u.planned:
        return u.planned[argument.name]
    if u.operation == "lerp":
        return _other(u, argument) if "Tensor" in str(argument.type) else draws.choose((0.25, 0, 1, -0.5, 0.75))
    if "conv" in u.operation:
        channels = shape[1] if u.rank > 1 else 1
        groups = draws.choose([g for g in range(1, channels + 1) if channels % g == 0])
        u.values["groups"] = groups
        out = groups * draws.integer(1, max(1, 24 // groups))
        kernel = [min(draws.choose((1, 2, 3, 3, 5)), max(1, n)) for n in shape[2:]]
        u.planned["transposed"] = "transpose" in u.operation or (u.operation == "convolution" and draws.chance(40))
        if u.planned["transposed"]:
            kernel = [draws.choose((1, 2, 3, 4, 3, 5)) for _ in shape[2:]]
            return draw_recipe(draws, (channels, out // groups, *kernel), ("normal", "small", "normal", "outlier"))
        return draw_recipe(draws, (out, channels // groups, *kernel), ("normal", "small", "normal", "dead", "outlier"))
    if u.operation == "linear":
        features = shape[-1:] if u.rank else (1,)
        return draw_recipe(draws, (draws.integer(1, 20), *features))
    if "prelu" in u.operation:
        channels = (shape[1] if u.rank > 1 else 1,)
        full = (1, *channels, *([1] * (u.rank - 2))) if "kernel" in u.operation else channels
        return draw_recipe(draws, draws.choose((full, (1,) * len(full))), ("uniform", "normal"))
    return _of_channels(u, argument)


def _of_channels(u: Unbound, argument: Any) -> Any:
    """One number a channel, or None where that is allowed."""
    if "Optional" in str(argument.type) and u.draws.chance(30):
        return None
    if "normalized_shape" in u.values or u.operation == "native_layer_norm":
        return draw_recipe(u.draws, u.values["normalized_shape"], ("normal", "uniform", "steps"))
    return draw_recipe(u.draws, (u.shape[1] if u.rank > 1 else 1,), ("normal", "uniform", "steps"))


def _bias(u: Unbound, argument: Any) -> Any:
    weight = u.values.get("weight")
    if u.operation == "bilinear":
        return None if u.draws.chance(40) else draw_recipe(u.draws, u.planned["weight"].shape[:1])
    if u.planned.get("transposed") and isinstance(weight, Recipe):
        return None if u.draws.chance(40) else draw_recipe(u.draws, (weight.shape[1] * u.values["groups"],))
    if "norm" in u.operation or not isinstance(weight, Recipe):
        return _of_channels(u, argument)
    return None if u.draws.chance(40) else draw_recipe(u.draws, weight.shape[:1])


def _training(u: Unbound, argument: Any) -> Any:
    """False; a batch norm without statistics knows nothing else than to compute them."""
    return "norm" in u.operation and "running_mean" not in u.values


def _mean(u: Unbound, argument: Any) -> Any:
    """Never None: without statistics some spellings end the process."""
    return draw_recipe(u.draws, (u.shape[1] if u.rank > 1 else 1,), ("normal", "steps"))


def _variance(u: Unbound, argument: Any) -> Any:
    return Recipe("uniform", (u.shape[1] if u.rank > 1 else 1,), u.draws.integer(0, 31))


def _dim(u: Unbound, argument: Any) -> Any:
    """An axis, or several."""
    kind = str(argument.type)
    if "List" in kind:
        if "Optional" in kind and u.draws.chance(20):
            return None
        axes = u.draws.several(range(u.rank), 0 if u.draws.chance(10) else min(1, u.rank), max(u.rank, 1))
        return [axis - (u.rank if u.draws.chance(40) else 0) for axis in axes]
    if u.operation in ("unsqueeze", "stack"):
        return u.draw_axis(1)
    return u.axis


def _another_axis(u: Unbound, argument: Any) -> Any:
    return u.draw_axis()


def _permutation(u: Unbound, argument: Any) -> Any:
    if u.operation == "flip":
        return _some_axes(u, u.draws.integer(0, u.rank))
    if u.operation == "roll":
        return [] if len(u.values["shifts"]) == 1 and u.draws.chance(30) else [u.draw_axis() for _ in u.values["shifts"]]
    if u.operation == "rot90":
        return _some_axes(u, min(2, u.rank))
    return [axis - (u.rank if u.draws.chance(30) else 0) for axis in u.draws.permutation(u.rank)]


def _some_axes(u: Unbound, count: int) -> list[int]:
    return [axis - (u.rank if u.draws.chance(30) else 0) for axis in u.draws.permutation(u.rank)[:count]]


def _moved(u: Unbound, argument: Any) -> Any:
    """source and destination: as many of each."""
    if "List" not in str(argument.type):
        return u.draw_axis()
    known = u.values.get("source")
    count = len(known) if known is not None else u.draws.integer(0, u.rank)
    return u.draws.permutation(u.rank)[:count]


def _size(u: Unbound, argument: Any) -> Any:
    """A new shape: of the same elements, or expanded, or any; of unfold how long a window is."""
    if u.operation == "unfold":
        return u.draws.integer(1, max(u.extent(u.axis), 1))
    draws, count = u.draws, u.first.numel() if u.first is not None else 1
    if u.operation == "expand":
        grown = [draws.choose((2, 3)) if n == 1 and draws.chance(60) else draws.choose((n, n, -1)) for n in u.shape]
        return [*(draws.choose((1, 2, 3)) for _ in range(draws.choose((0, 0, 1, 2)))), *grown]
    if u.operation.startswith("new_"):
        return list(draws.shape(0, 3, 64))
    shape = list(draws.factors(count, draws.integer(0 if count == 1 else 1, 6))) if count else [0]
    if shape and draws.chance(25):
        shape[draws.integer(0, len(shape) - 1)] = -1
    return shape


def _sizes(u: Unbound, argument: Any) -> Any:
    """What one axis is unflattened into."""
    axis = u.values.get("dim", u.axis)
    shape = list(u.draws.factors(max(u.extent(axis), 1), u.draws.integer(1, 3)))
    if u.draws.chance(20):
        shape[0] = -1
    return shape


def _end_dim(u: Unbound, argument: Any) -> Any:
    start = u.values["start_dim"] % max(u.rank, 1)
    end = u.draws.integer(start, max(u.rank - 1, start))
    return end - (u.rank if u.draws.chance(40) and u.rank else 0)


def _window(options: tuple[int, ...], empty: bool = False) -> Rule:
    def draw(u: Unbound, argument: Any) -> Any:
        if argument.name in u.planned:
            return u.planned[argument.name]
        if empty and argument.has_default_value() and u.draws.chance(30):
            return []
        several = u.spatial if u.draws.chance(60) or "convolution" in u.operation else 1
        return [u.draws.choose(options) for _ in range(several)]

    return draw


def _padding(u: Unbound, argument: Any) -> Any:
    if argument.name in u.planned:
        return u.planned[argument.name]
    if "_pad" in u.operation:
        return [u.draws.choose((0, 1, 2, 0, -1)) for _ in range(2 * u.spatial)]
    if str(argument.type) == "str":
        return u.draws.choose(("valid", "same"))
    kernel = u.values.get("kernel_size")
    most = [k // 2 for k in kernel] if kernel else [2] * u.spatial
    return [u.draws.integer(0, most[axis % len(most)]) for axis in range(u.spatial)]


def _repeats(u: Unbound, argument: Any) -> Any:
    kind = str(argument.type)
    if "Tensor" in kind:
        raise Rejected("repeats that are computed")
    if "List" not in kind:
        return u.draws.choose((2, 1, 3))
    return [u.draws.choose((1, 2, 3, 1)) for _ in range(u.rank + u.draws.choose((0, 0, 1)))]


def _output_size(u: Unbound, argument: Any) -> Any:
    if u.operation == "col2im":
        return _folded(u, argument)
    if "upsample" in u.operation:
        if "Optional" in str(argument.type) and u.draws.chance(50):
            u.planned["scale_factors"] = [u.draws.choose((2.0, 3.0, 0.5, 1.0, 1.5, 0.7, 2.3)) for _ in range(u.spatial)]
            return None
        return [u.draws.choose((2 * n, n, 2 * n + 1, 3 * n - 1, 1, max(n - 1, 1), 5)) for n in u.shape[-u.spatial :]]
    if "List" not in str(argument.type):
        return None
    sizes = u.shape[-u.spatial :] if u.rank >= u.spatial else (1,)
    return [u.draws.choose((1, 1, 2, 3, n, n + 1)) for n in sizes]


def _mask(u: Unbound, argument: Any) -> Any:
    """A condition, constant or computed; of masked_fill behind what it is for, of where in front of it."""
    if u.draws.chance(40):
        if u.operation == "masked_fill":
            return u.generator.condition(u.shape)
        u.planned["condition"] = True
        return u.generator.condition()
    if u.operation == "masked_fill":
        return Mask("mask", u.draws.broadcastable(u.shape, grows=False), u.draws.integer(0, 31))
    u.planned["condition"] = True
    last = u.generator.value(u.generator.pick())
    return Mask("mask", u.draws.broadcastable(tuple(last.shape), grows=False), u.draws.integer(0, 31))


def _output_padding(u: Unbound, argument: Any) -> Any:
    return [u.draws.choose((0, 0, 1, 2)) if u.planned.get("transposed") else 0 for _ in range(u.spatial)]


def _dilation(u: Unbound, argument: Any) -> Any:
    if argument.name in u.planned:
        return u.planned[argument.name]
    return [u.draws.choose((1, 1, 1, 2)) for _ in range(u.spatial)]


def _groups(u: Unbound, argument: Any) -> Any:
    if "groups" in u.values:
        return u.values["groups"]
    channels = u.shape[1] if u.rank > 1 else 1
    return u.draws.choose([g for g in range(1, channels + 1) if channels % g == 0])


def _factor(u: Unbound, argument: Any) -> Any:
    return u.draws.choose((2, 1, 3, 2))


def _tensors(u: Unbound, argument: Any) -> Any:
    """Values that fit along one axis, constants and empty ones among them now and then."""
    if u.planned:
        return u.planned["tensors"]
    ref = u.generator.operand(u.operation)
    u.first = u.generator.value(ref)
    u.axis = u.draw_axis()
    parts: list[Any] = [ref]
    for _ in range(u.draws.integer(0, 3)):
        kind = u.draws.integer(0, 9)
        if kind < 7:
            parts.append(u.generator.pick(lambda value: _joins(u, value), live=False))
        elif u.rank:
            shape = list(u.shape)
            if u.operation != "stack":
                shape[u.axis] = 0 if kind == 9 else u.draws.integer(1, 3)
            parts.append(draw_recipe(u.draws, shape, ("constant", "zeros", "normal")))
    return parts if u.draws.chance(60) else parts[::-1]


def _joins(u: Unbound, value: Tensor) -> bool:
    axis = u.axis % max(u.rank, 1)
    return value.dim() == u.rank and all(
        a == b for d, (a, b) in enumerate(zip(value.shape, u.shape, strict=True)) if d != axis or u.operation == "stack"
    )


def _start(u: Unbound, argument: Any) -> Any:
    size = u.extent(u.axis)
    if "Tensor" in str(argument.type):
        raise Rejected("a start that is computed")
    if u.operation == "narrow":
        return u.draws.integer(0, max(size - 1, 0)) - (size if u.draws.chance(30) else 0)
    return None if u.draws.chance(30) else u.draws.integer(-size - 1, size)


def _end(u: Unbound, argument: Any) -> Any:
    if u.operation == "lerp":
        return _other(u, argument)
    size = u.extent(u.axis)
    return None if u.draws.chance(30) else u.draws.choose((size, -1, size // 2 + 1, 2**63 - 1, 1))


def _length(u: Unbound, argument: Any) -> Any:
    size = u.extent(u.axis)
    return u.draws.integer(0, size - u.values["start"] % size) if size else 0


def _positions(u: Unbound, axis: int, least: int, shape: tuple[int, ...] = ()) -> Positions:
    """Where to read along an axis: ``least`` 0 where negative ones are not allowed."""
    size = max(u.extent(axis), 1)
    shape = shape or (u.draws.integer(1, 5),)
    return Positions("positions", shape, 0, tuple(u.draws.integer(least * size, size - 1) for _ in range(math.prod(shape))))


def _index(u: Unbound, argument: Any) -> Any:
    size = max(u.extent(u.axis), 1)
    if u.operation == "index_select":
        return _positions(u, u.values["dim"], 0)
    return u.draws.integer(-size, size - 1)


def _split_size(u: Unbound, argument: Any) -> Any:
    size = u.extent(u.axis)
    if "List" not in str(argument.type):
        return u.draws.integer(1, max(size, 1))
    parts, left = [], size
    while left:
        parts.append(u.draws.integer(0 if u.draws.chance(10) else 1, left))
        left -= parts[-1]
    return parts


def _indices(u: Unbound, argument: Any) -> Any:
    if u.operation == "index":
        shape = u.draws.choose(((3,), (1,), (2, 2)))
        lists = [_positions(u, axis, -1, u.draws.choose((shape, shape, (1,)))) for axis in range(u.rank)]
        return [None if u.draws.chance(60) else positions for positions in lists]
    return sorted(u.draws.integer(0, u.extent(u.axis)) for _ in range(u.draws.integer(0, 3)))


def _scale_factors(u: Unbound, argument: Any) -> Any:
    """Of all axes, where sizes were not drawn; of one axis now and then beside its size, which it then overrules."""
    if "List" in str(argument.type):
        return u.planned.get("scale_factors")
    return u.draws.choose((None, None, 2.0, 1.5, 0.7))


def _mode(u: Unbound, argument: Any) -> Any:
    return u.draws.choose(("constant", "reflect", "replicate", "circular"))


def _fill(u: Unbound, argument: Any) -> Any:
    return u.draws.choose((0, 0.5, -1.25)) if u.values.get("mode", "constant") == "constant" else None


def _pad(u: Unbound, argument: Any) -> Any:
    if u.operation == "_pad_circular":
        return [u.draws.choose((0, 1, 2, 0, -1)) for _ in range(2 * u.spatial)]
    return [u.draws.choose((0, 1, 2, 0, -1)) for _ in range(2 * u.draws.integer(0, min(u.rank, 4)))]


def _memory_format(u: Unbound, argument: Any) -> Any:
    formats = [torch.contiguous_format, torch.contiguous_format, *([torch.channels_last] if u.rank == 4 else [])]
    return u.draws.choose(formats) if u.draws.chance(50) or "Optional" not in str(argument.type) else None


def _dtype(u: Unbound, argument: Any) -> Any:
    return torch.float32 if u.draws.chance(50) or "Optional" not in str(argument.type) else None


def _always(value: Any) -> Rule:
    return lambda u, argument: value


def _among(*options: Any) -> Rule:
    return lambda u, argument: u.draws.choose(options)


def _last_axes(u: Unbound, argument: Any) -> Any:
    """What a layer norm is taken over."""
    return list(u.shape[u.draws.choose((-1, -1, -2, 0, 1)) :] or u.shape)


def _group_count(u: Unbound, argument: Any) -> Any:
    channels = u.shape[1] if u.rank > 1 else 1
    return u.draws.choose([g for g in range(1, channels + 1) if channels % g == 0])


def _value(u: Unbound, argument: Any) -> Any:
    """What fills, or what attention mixes."""
    return u.planned["value"] if u.planned else _fill(u, argument)


def _k(u: Unbound, argument: Any) -> Any:
    """How many of the largest, or quarter turns."""
    return 1 if u.operation == "topk" else u.draws.choose((1, 2, 3, -1, 0))


def _p(u: Unbound, argument: Any) -> Any:
    """A probability, or the order of a norm."""
    lengths = "norm" in u.operation or "dist" in u.operation
    return u.draws.choose((2, 2.0, 1, float("inf"), float("-inf"))) if lengths else u.draws.choose((0.5, 0.0))


def _bound(u: Unbound, argument: Any) -> Any:
    """Of a clamp."""
    if "Tensor" in str(argument.type):
        return _other(u, argument)
    optional = "Optional" in str(argument.type)
    return u.draws.choose((0, -1.0, 0.5, 6, -0.25, 1e-3, *((None, None) if optional else ())))


RULES: dict[str, Rule] = {
    "self": _operand, "input": _operand, "mat1": _operand, "mat2": _other, "other": _other, "tensors": _tensors,
    "tensor1": _other, "tensor2": _other,
    "weight": _weight, "bias": _bias, "running_mean": _mean, "running_var": _variance,
    "dim": _dim, "dimension": _dim, "dim0": _another_axis, "dim1": _another_axis, "axis0": _another_axis, "axis1": _another_axis,
    "start_dim": _another_axis, "end_dim": _end_dim, "dims": _permutation, "source": _moved, "destination": _moved,
    "size": _size, "shape": _size, "sizes": _sizes, "pad": _pad, "value": _value,
    "query": _query, "key": _planned,
    "attn_mask": _planned, "dropout_p": _always(0.0), "is_causal": _planned, "enable_gqa": _planned,
    "batch1": _planned,
    "batch2": _planned, "equation": _equation, "input1": _bilinear, "input2": _planned, "path": _always(None),
    "kernel_size": _window((1, 2, 3, 2)), "stride": _window((1, 2, 3, 1), empty=True), "padding": _padding,
    "repeats": _repeats, "dilation": _dilation, "output_padding": _output_padding, "output_size": _output_size,
    "groups": _groups,
    "upscale_factor": _factor, "downscale_factor": _factor, "split_size": _split_size, "split_sizes": _split_size,
    "chunks": _among(2, 1, 3, 5), "sections": _among(2, 1, 3), "indices": _indices, "start": _start, "end": _end,
    "step": _among(1, 1, 2, 3), "length": _length, "index": _index, "memory_format": _memory_format, "dtype": _dtype,
    "min": _bound, "max": _bound, "min_val": _among(-1.0, 0, -0.25), "max_val": _among(1.0, 0.5, 6, -0.5),
    "negative_slope": _among(0.01, 0.5, -0.5, 0), "alpha": _among(1, 1, 2, 0.5, -1, 0), "beta": _among(1, 1, 2, 0.5),
    "threshold": _among(20, 20, 0.5, 2), "exponent": _among(2, 0.5, 1, 3, -1, 2.5), "fill_value": _among(0.5, 0, -1),
    "approximate": _among("none", "tanh"), "rounding_mode": _among(None, None, None, "floor"), "mode": _mode,
    "eps": _among(1e-5, 1e-3, 0.5), "epsilon": _among(1e-5), "momentum": _always(0.1), "training": _training,
    "exponential_average_factor": _always(0.1), "train": _always(False), "p": _p, "cudnn_enabled": _always(False),
    "transposed": lambda u, argument: u.planned.get("transposed", False), "half_to_float": _always(False),
    "implicit": _always(False), "scale": _scale,
    "input_scale": _among(1, 1, 1, 2), "divisor_override": _among(None, None, 1, 7), "layout": _always(None), "ord": _p, "k": _k,
    "normalized_shape": _last_axes, "num_groups": _group_count, "group": _group_count, "N": lambda u, argument: u.shape[0],
    "C": lambda u, argument: u.shape[1], "HxW": lambda u, argument: prod(u.shape[2:]),
    "use_input_stats": _among(True, True, False),
    "cudnn_enable": _always(False),
    "shifts": lambda u, argument: [u.draws.integer(-4, 4) for _ in range(u.draws.choose((1, 1, 2)))],
    "scale_factors": _scale_factors, "scales": _scale_factors, "scales_d": _scale_factors, "scales_h": _scale_factors,
    "scales_w": _scale_factors, "align_corners": _among(False, True), "condition": _mask, "mask": _mask,
    "device": _always(None), "pin_memory": _always(None), "non_blocking": _among(False, True), "copy": _among(False, True),
}  # fmt: skip
"""By the names that torch uses.  A rule may look at what was drawn before it (``Unbound.values``)."""


def by_type(u: Unbound, argument: Any) -> Any:
    """For a name without a rule."""
    kind = str(argument.type)
    if argument.has_default_value() and u.draws.chance(50):
        return argument.default_value
    if "Tensor" in kind:
        return _operand(u, argument)
    if kind == "bool":
        return u.draws.chance(50)
    if "List[int]" in kind:
        return [u.draws.integer(-1, 3) for _ in range(u.draws.integer(1, 3))]
    if "int" in kind:
        return u.draws.integer(-2, 3)
    if "float" in kind or "number" in kind:
        return u.draws.choose(NUMBERS)
    if "Optional" in kind:
        return None
    raise Rejected(f"nothing known of an argument {argument.name}: {kind}")
