"""A network that somebody else quantized -> its integer graph: their scales, zero points and integer weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lowbit.errors import UnsupportedPrecision
from lowbit.graph import Graph, Integers, Node, TensorType
from lowbit.graph.ops import LAYERS, PASS_THROUGH, POSITIONS
from lowbit.numerics import QParams, QType, dequantize, quantize
from lowbit.numerics.qtype import WIDTHS
from lowbit.quantization.apply import RULES, apply
from lowbit.quantization.choice import Choice, LayerNumbers, Quantized, bias_type, constant_operands

__all__ = ["integer_form", "is_quantized"]


def is_quantized(graph: Graph) -> bool:
    """Whether it is float arithmetic between roundings to grids: what importing a quantized network gives."""
    return any(node.op == "quantize" and graph.types[node.name].quant is not None for node in graph.nodes) or bool(graph.integers)


def integer_form(graph: Graph) -> Graph:
    """A canonical graph with ``quantize`` and ``dequantize`` between its float operations -> the integer graph.

    An operation between values on grids becomes the integer operation of the same meaning, a layer of integer weights keeps
    them, and nothing that the file rounded is rounded anew.  What has no integer form, or reads values that nobody rounded, is
    computed in float32, with a rounding or its reverse in between.  A float bias b becomes rint(b / (s_x s_w)) where that is b
    up to its float32 rounding, or half a step of the sum is at most 1/64 of a step of the result; for b1 results floor instead
    of rint is exact; else the sum is made float32 and b added there.

    Raises what :func:`apply` raises; UnsupportedPrecision for integer weights that no type holds.
    """
    writer = _Writer(graph)
    for node in graph.nodes:
        writer.step(node)
    outputs = tuple(writer.now(name) for name in graph.outputs)
    plain = Graph(graph.name, graph.inputs, outputs, tuple(writer.nodes), writer.types, writer.used_constants())
    return apply(plain, Choice(writer.values, writer.layers, writer.operands))


@dataclass
class _Bias:
    """Integer bias, or what is left to add in float32."""

    steps: np.ndarray
    exact: bool


@dataclass
class _Writer:
    """The float graph without its roundings, and the numbers they were, while the nodes are walked."""

    graph: Graph
    nodes: list[Node] = field(default_factory=list)
    types: dict[str, TensorType] = field(default_factory=dict)
    values: dict[str, QParams | None] = field(default_factory=dict)
    layers: dict[str, LayerNumbers] = field(default_factory=dict)
    operands: dict[tuple[str, int], Quantized] = field(default_factory=dict)
    alias: dict[str, str] = field(default_factory=dict)
    reals: dict[str, str] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.users = self.graph.users()
        self.types = {name: self.graph.types[name] for name in (*self.graph.inputs, *self.graph.constants)}
        self.constants = dict(self.graph.constants)
        self.values = dict.fromkeys(self.graph.inputs)

    def now(self, name: str) -> str:
        while name in self.alias:
            name = self.alias[name]
        return name

    def grid(self, name: str) -> QParams | None:
        return self.values.get(self.now(name))

    def used_constants(self) -> dict[str, np.ndarray]:
        read = {name for node in self.nodes for name in node.inputs}
        unread = [name for name in self.constants if name not in read]
        for name in unread:
            del self.types[name]
        return {name: value for name, value in self.constants.items() if name in read}

    def target(self, name: str) -> QParams | None:
        """The grid to which all readers of a value round it; None where they do not, or to several."""
        grids = self._roundings(name)
        first = grids[0] if grids else None
        return first if first is not None and all(grid is not None and grid.same_grid(first) for grid in grids) else None

    def _roundings(self, name: str) -> list[QParams | None]:
        """The grids that a value is rounded to, also behind what only moves it; None among them for any other reader."""
        found: list[QParams | None] = [None] if name in self.graph.outputs else []
        for reader in self.users[name]:
            if reader.op == "quantize":
                found.append(self.graph.types[reader.name].quant)
            elif reader.op in PASS_THROUGH and (reader.op != "pad" or reader.attrs["value"] == 0):
                found += self._roundings(reader.name) or [None]
            else:
                found.append(None)
        return found

    def emit(self, node: Node, grid: QParams | None, inputs: Sequence[str] | None = None, shape_of: str | None = None) -> None:
        names = tuple(self.now(name) for name in (node.inputs if inputs is None else inputs))
        if grid is None and node.name not in self.layers and node.op != "dequantize" and not self._makes_float(node, names):
            names = tuple(map(self.real, names))
        self.nodes.append(replace(node, inputs=names))
        model = shape_of or node.name
        like = (self.types if model in self.types else self.graph.types)[model]
        self.types[node.name] = TensorType(like.shape, "float32" if like.quant is not None else like.dtype)
        self.values[node.name] = grid

    def _makes_float(self, node: Node, names: Sequence[str]) -> bool:
        """Whether it computes on integers with a float32 result."""
        return node.op in ("softmax", "unary", *POSITIONS) and self.values.get(names[0]) is not None

    def real(self, name: str) -> str:
        """A value as float32: itself, or what one ``dequantize`` makes of its integers for all readers."""
        if self.values.get(name) is None:
            return name
        if name not in self.reals:
            self.reals[name] = made = f"{name}.real"
            while made in self.types or made in self.graph.types:
                self.reals[name] = made = f"{made}'"
            self.emit(Node(made, "dequantize", (name,)), None, shape_of=name)
        return self.reals[name]

    def constant(self, name: str, value: np.ndarray) -> str:
        while name in self.types or name in self.graph.types:
            name += "'"
        self.constants[name] = np.asarray(value, np.float32)
        self.types[name] = TensorType(self.constants[name].shape)
        return name

    def step(self, node: Node) -> None:
        if node.name in self.alias or node.name in self.written:  # a part of something that was written already
            return
        handler = _HANDLERS.get(node.op, _other)
        handler(self, node)

    def gridded(self, node: Node) -> bool:
        """Whether all that it reads are integers: values on grids, and constants that were made of integers on one scale."""
        constants = constant_operands(self.graph, node)
        parameters = {name for i, name in enumerate(node.inputs) if name in self.graph.constants and i not in constants}
        reals = [name for i, name in enumerate(node.inputs) if i not in constants and name not in parameters]
        return all(self.grid(name) is not None for name in reals) and all(
            self.constant_operand(node, i) is not None for i in constants
        )

    def constant_operand(self, node: Node, index: int) -> Quantized | None:
        made = self.graph.integers.get(node.inputs[index])
        if made is None or np.ptp(made.scale) or made.scale.flat[0] <= 0:
            return None
        held = QParams(_holding(made.integers, made.bits, made.bipolar, node.name), np.asarray(made.scale.flat[0]))
        return Quantized(made.integers, held)


def _holding(integers: np.ndarray, bits: int, bipolar: bool, where: str) -> QType:
    """The signed type of at least ``bits`` bits that holds all of these integers."""
    if bipolar and bool(np.isin(integers, (-1, 1)).all()):
        return QType(1, True, True)
    low, high = int(integers.min(initial=0)), int(integers.max(initial=0))
    for width in WIDTHS:
        if width >= max(bits, 2) and QType(width, True).qmin <= low and high <= QType(width, True).qmax:
            return QType(width, True)
    raise UnsupportedPrecision(f"{where}: integers from {low} to {high}, zero point taken off, fit no type of up to 16 bits")


def _quantize(w: _Writer, node: Node) -> None:
    grid, x = w.graph.types[node.name].quant, node.inputs[0]
    assert grid is not None
    held = w.grid(x)
    if held is not None and held.same_grid(grid):
        w.alias[node.name] = w.now(x)
    elif held is not None:  # from one grid to another
        w.emit(Node(node.name, "clamp", node.inputs, {"lo": None, "hi": None}, node.source), grid)
    else:
        w.emit(node, grid)


def _dequantize(w: _Writer, node: Node) -> None:
    w.alias[node.name] = w.now(node.inputs[0])


def _passed_on(w: _Writer, node: Node) -> None:
    """Only moves values: integers stay what they are."""
    grid = w.grid(node.inputs[0])
    if grid is not None and node.op == "pad" and not _holds(grid, node.attrs["value"]):
        grid = None
    w.emit(node, grid)


def _holds(grid: QParams, value: float | None) -> bool:
    """Whether a real number is on the grid (None: no bound)."""
    return value is None or float(dequantize(quantize(np.float32(value), grid), grid)) == np.float32(value)


def _clamp(w: _Writer, node: Node) -> None:
    held, wanted = w.grid(node.inputs[0]), w.target(node.name)
    if held is not None and wanted is None and all(_bound(held, node.attrs[side]) for side in ("lo", "hi")):
        wanted = held
    w.emit(node, wanted if held is not None else None)


def _bound(grid: QParams, value: float | None) -> bool:
    """Whether clamping at a bound keeps values on the grid: it is on the grid, or beyond its ends."""
    ends = [float(dequantize(np.asarray(q), grid)) for q in (grid.qtype.qmin, grid.qtype.qmax)]
    return _holds(grid, value) or not min(ends) < float(value or 0.0) < max(ends)


def _concat(w: _Writer, node: Node) -> None:
    grids = [w.grid(name) for name in node.inputs if name not in w.graph.constants]
    first, wanted = grids[0] if grids else None, w.target(node.name)
    if wanted is None and first is not None and len(grids) == len(node.inputs):
        wanted = first if all(grid is not None and grid.same_grid(first) for grid in grids) else None
    _integer_or_float(w, node, wanted)


def _other(w: _Writer, node: Node) -> None:
    wanted = w.target(node.name)
    _integer_or_float(w, node, wanted)


def _makes_float(w: _Writer, node: Node) -> None:
    """unary, softmax: of integers, with a result on a grid or in float32."""
    w.emit(node, w.target(node.name) if w.gridded(node) else None)


def _integer_or_float(w: _Writer, node: Node, wanted: QParams | None) -> None:
    integer = wanted is not None and node.op in RULES and w.gridded(node)
    if integer:
        for index in constant_operands(w.graph, node):
            held = w.constant_operand(node, index)
            assert held is not None
            w.operands[node.name, index] = held
    w.emit(node, wanted if integer else None)


def _layer(w: _Writer, node: Node) -> None:
    x, made = w.grid(node.inputs[0]), w.graph.integers.get(node.inputs[1])
    numbers = None if x is None or made is None else _weights(made, node.name)
    if x is None or numbers is None:
        w.emit(node, None)
        return
    bias = w.graph.constants[node.inputs[2]].astype(np.float64)
    residual = node.inputs[-1] if node.attrs.get("residual") else None
    last = node
    follower = _follower(w, node)
    if follower is not None:
        after, scale, shift = follower
        if (scaled := _scaled(numbers, scale)) is not None:
            found = _bias(bias * scale + shift, x, scaled.params, w.target(after.name))
            if found.exact:
                numbers, bias, last = scaled, bias * scale + shift, after
    wanted = w.target(last.name)
    found = (_held_bias(w.graph.integers.get(node.inputs[2]), x, numbers.params) if last is node else None) or _bias(
        bias, x, numbers.params, wanted
    )
    whole = found.exact and (residual is None or w.grid(residual) is not None)
    bounds = {side: last.attrs.get(side) for side in ("lo", "hi")}
    plain = {key: value for key, value in node.attrs.items() if key not in ("residual", "lo", "hi")}
    if whole:
        attrs = {**plain, **bounds, **({"residual": True} if residual is not None else {})}
        w.layers[node.name] = LayerNumbers(numbers, found.steps)
        w.emit(replace(node, attrs=attrs), wanted)
        if last is not node:
            w.alias[last.name] = node.name
        return
    # the exact sum as float32, and the rest of the operation there
    w.layers[node.name] = LayerNumbers(numbers, found.steps if found.exact else np.zeros_like(found.steps))
    zero = w.constant(f"{node.name}.none", np.zeros(len(bias)))
    w.emit(replace(node, attrs={**plain, "lo": None, "hi": None}), None, (*node.inputs[:2], zero))
    value, open_end = node.name, {"lo": None, "hi": None}
    if not found.exact and follower is not None and node.op == "linear" and len(w.graph.types[node.name].shape) != 2:
        follower = None
    if not found.exact and follower is not None:  # one multiplication and one addition do both
        after, scale, shift = follower
        parameters = w.constant(f"{after.name}.scale'", scale), w.constant(f"{after.name}.shift'", bias * scale + shift)
        bounds = {side: after.attrs.get(side) for side in ("lo", "hi")}
        w.emit(Node(after.name, "affine", (value, *parameters), bounds, after.source), None)
        w.written.add(after.name)
        return
    if not found.exact:
        rank = len(w.graph.types[node.name].shape)
        if node.op == "linear" and rank != 2:
            parts = w.constant(f"{node.name}.bias", bias.reshape((1,) * (rank - 1) + (-1,)))
            step = Node(f"{node.name}.add", "add", (value, parts), open_end if residual is not None else bounds, node.source)
        else:
            parameters = w.constant(f"{node.name}.ones", np.ones(len(bias))), w.constant(f"{node.name}.bias", bias)
            attrs = open_end if residual is not None else bounds
            step = Node(f"{node.name}.add", "affine", (value, *parameters), attrs, node.source)
        w.emit(step, None, step.inputs, node.name)
        value = step.name
    if residual is not None:
        total = Node(f"{node.name}.sum", "add", (value, residual), bounds, node.source)
        w.emit(total, None, total.inputs, node.name)
        value = total.name
    w.alias[node.name] = value


def _weights(made: Integers, where: str) -> Quantized | None:
    """The integers of a layer, one scale for each output channel (axis 0); None where the scale varies along other axes."""
    rows = made.scale.reshape(len(made.scale), -1)
    if rows.size == 0 or np.ptp(rows, axis=1).any() or not np.isfinite(rows).all() or not rows.all():
        return None
    scale, integers = rows[:, 0], made.integers
    if (scale < 0).any():
        integers = integers * np.where(scale < 0, -1, 1).reshape((-1,) + (1,) * (integers.ndim - 1))
    qtype = _holding(integers, made.bits, made.bipolar, where)
    return Quantized(integers, QParams(qtype, np.abs(scale), axis=0))


def _scaled(numbers: Quantized, scale: np.ndarray) -> Quantized | None:
    """The weights times one number for each output channel; None where one is 0 or a sign cannot be turned."""
    if not scale.all():
        return None
    integers = numbers.integers.astype(np.int64)
    integers = integers * np.where(scale < 0, -1, 1).reshape((-1,) + (1,) * (integers.ndim - 1))
    qtype = numbers.params.qtype
    if not qtype.bipolar and (integers > qtype.qmax).any():
        return None
    with np.errstate(over="ignore", under="ignore"):
        wanted = (numbers.params.scale.astype(np.float64) * np.abs(scale)).astype(np.float32)
    if not (np.isfinite(wanted) & (wanted > 0)).all():
        return None
    return Quantized(integers, replace(numbers.params, scale=wanted))


def _follower(w: _Writer, node: Node) -> tuple[Node, np.ndarray, np.ndarray] | None:
    """The per-channel arithmetic that alone reads a layer without clamp and residual: (node, scale, shift)."""
    readers = w.users[node.name]
    if len(readers) != 1 or node.name in w.graph.outputs or node.attrs.get("residual"):
        return None
    if any(node.attrs.get(side) is not None for side in ("lo", "hi")):
        return None
    (after,), shape = readers, w.graph.types[node.name].shape
    axis = len(shape) - 1 if node.op == "linear" else 1
    constants = w.graph.constants
    if after.op == "affine" and axis == 1:
        scale, shift = (constants[name].astype(np.float64) for name in after.inputs[1:])
        return after, scale, shift
    if after.op not in ("add", "sub", "mul") or after.inputs[1] not in constants or w.graph.types[after.name].shape != shape:
        return None
    value = constants[after.inputs[1]].astype(np.float64)
    value = value.reshape((1,) * (len(shape) - value.ndim) + value.shape)
    if any(size != 1 for index, size in enumerate(value.shape) if index != axis):
        return None
    vector = np.broadcast_to(value.reshape(-1), (shape[axis],))
    if after.op == "mul":
        return after, vector, np.zeros(len(vector))
    return after, np.ones(len(vector)), vector if after.op == "add" else -vector


_FINE = 1 / 64  # of a step of the result


def _held_bias(made: Integers | None, x: QParams, weights: QParams) -> _Bias | None:
    """Integers of the file at the scale of the sums."""
    unit = x.scale.astype(np.float64) * weights.scale.astype(np.float64)
    if made is None or made.integers.shape != unit.shape or not np.allclose(made.scale, unit, rtol=1e-6, atol=0):
        return None
    return _Bias(made.integers.astype(bias_type(x, weights)), True)


def _bias(bias: np.ndarray, x: QParams, weights: QParams, out: QParams | None) -> _Bias:
    """``bias`` in steps of the sum; whether it may take the place of the real one (see integer_form)."""
    unit = x.scale.astype(np.float64) * weights.scale.astype(np.float64)
    dtype = bias_type(x, weights)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        real = np.broadcast_to(bias, unit.shape) / unit
    limit = float(np.iinfo(dtype).max // 2)
    nearest = np.rint(real)
    if out is not None and out.qtype.bipolar:  # f >= 0 where sum + real >= 0, and sums are whole
        return _Bias(np.clip(np.floor(real + 1e-9 * np.abs(real)), -limit, limit).astype(dtype), True)
    if not (np.isfinite(real) & (np.abs(nearest) <= limit)).all():
        return _Bias(np.zeros(unit.shape, dtype), False)
    error = np.abs(real - nearest)
    exact = bool((error <= np.maximum(np.abs(real) * 2.0**-22, 1e-4)).all())
    fine = out is not None and bool((0.5 * unit <= _FINE * float(out.scale)).all())
    return _Bias(nearest.astype(dtype), exact or fine)


_HANDLERS: dict[str, Callable[[_Writer, Node], None]] = {
    "quantize": _quantize,
    "dequantize": _dequantize,
    "clamp": _clamp,
    "concat": _concat,
    "unary": _makes_float,
    "softmax": _makes_float,
    **dict.fromkeys(PASS_THROUGH, _passed_on),
    **dict.fromkeys(LAYERS, _layer),
}
"""Operation -> how it is written; all others are integer where what they read and what they give is on grids."""
