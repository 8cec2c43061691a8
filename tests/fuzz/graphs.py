"""Random float graphs over the whole table of operations, straight into the passes, without torch's tracing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from lowbit.errors import GraphError
from lowbit.graph import Graph
from lowbit.graph.ops import UNARY
from tests.fuzz.draws import Draws, Rejected, broadcasts
from tests.fuzz.tensors import Recipe, draw_recipe
from tests.graph.build import Build

__all__ = ["DRAWERS", "POLES", "QUANTIZED_ONLY", "Sketch", "draw_graph"]

QUANTIZED_ONLY = ("quantize", "dequantize")
"""Operations that only quantization makes."""

_LIMIT = 6000  # elements of a value
_WORK = 1 << 21  # products of a layer
POLES = ("log", "log1p", "pow", "sqrt", "rsqrt", "reciprocal")
"""Functions that need a positive operand to stay finite."""

_STEEP = ("exp",)
_BOUNDS = (None, -3.0, -1.0, -0.25, 0.0, 0.5, 1.0, 6.0)


class Sketch:
    """A graph while it is drawn, and the text that builds it again."""

    def __init__(self, draws: Draws) -> None:
        self.draws = draws
        self.build = Build()
        self.recipes: dict[str, Recipe] = {}
        self.live: list[str] = []  # activations, oldest first
        self.lines: list[str] = []

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.build.types[name].shape)

    def input(self, shape: Sequence[int]) -> None:
        name = f"x{len(self.build.inputs)}"
        self.live.append(self.build.input(name, *shape))
        self.lines.append(f"b.input({', '.join([repr(name), *map(str, shape)])})")

    def constant(self, recipe: Recipe) -> str:
        name = f"c{len(self.recipes)}"
        self.recipes[name] = recipe
        self.lines.append(f'b.constant("{name}", ({recipe.text}).numpy())')
        return self.build.constant(name, recipe.make().numpy())

    def tensor(self, shape: Sequence[int], *kinds: str) -> str:
        return self.constant(draw_recipe(self.draws, shape, *((kinds,) if kinds else ())))

    def node(self, op: str, *inputs: str, shape_out: tuple[int, ...] = (), **attrs: Any) -> str:
        """Appends a node.  Raises Rejected for one whose shapes do not fit or whose result is too large."""
        name = f"v{len(self.build.nodes)}"
        try:
            self.build.node(name, op, *inputs, shape_out=shape_out, **attrs)
        except GraphError as error:
            raise Rejected(str(error)) from None
        if not 0 < math.prod(self.shape(name)) <= _LIMIT or len(self.shape(name)) > 6:
            self.build.nodes.pop()
            del self.build.types[name]
            raise Rejected(f"{op} gives {self.shape(inputs[0])}")
        out = f", shape_out={shape_out}" if shape_out else ""
        extra = "".join(f", {key}={value!r}" for key, value in attrs.items())
        self.lines.append(f"b.node({', '.join(map(repr, [name, op, *inputs]))}{out}{extra})")
        if self.build.types[name].dtype != "int64":  # positions are for nobody to read
            self.live.append(name)
        return name

    def pick(self, fits: Callable[[tuple[int, ...]], bool] = lambda shape: True) -> str:
        """An activation whose shape fits, mostly a late one."""
        fitting = [name for name in reversed(self.live) if fits(self.shape(name))]
        if not fitting:
            raise Rejected("no operand fits")
        return fitting[0] if not self.draws.chance(40) else self.draws.choose(fitting)

    def image(self) -> str:
        """An activation of rank 4, reshaped if need be."""
        if any(len(self.shape(name)) == 4 for name in self.live) and not self.draws.chance(10):
            return self.pick(lambda shape: len(shape) == 4)
        x = self.pick()
        shape = self.draws.factors(math.prod(self.shape(x)), 4)
        return self.node("reshape", x, shape=shape)

    def finish(self, name: str = "net") -> Graph:
        """The last value and perhaps others as outputs."""
        nodes = [node.name for node in self.build.nodes]
        if not nodes:
            raise Rejected("no operation fitted")
        others = self.draws.several(self.live, 0, 2) if self.draws.chance(30) else []
        outputs = list(dict.fromkeys([nodes[-1], *others]))
        self.lines.append(f"graph = b.graph({', '.join(map(repr, outputs))})")
        return self.build.graph(*outputs)

    @property
    def text(self) -> str:
        return "\n".join(["import torch", "from tests.graph.build import Build", "b = Build()", *self.lines])


def draw_graph(draws: Draws, most: int = 7, only: str | None = None) -> tuple[Graph, Sketch]:
    """A graph of 1..``most`` drawn operations; ``only``: one that must be among them."""
    sketch = Sketch(draws)
    for _ in range(draws.integer(1, 2)):
        sketch.input(draws.shape(1, 5) if draws.chance(40) else draws.shape(4, 4))
    steps = draws.integer(1, most)
    wanted = draws.integer(0, steps - 1)
    for step in range(steps):
        op = only if only is not None and step == wanted else draws.choose(_WEIGHTED)
        before = len(sketch.lines)
        try:
            DRAWERS[op](sketch)
        except Rejected:
            if op == only and len(sketch.lines) == before:
                raise
    return sketch.finish(), sketch


def _conv2d(s: Sketch) -> None:
    draws, x = s.draws, s.image()
    n, c, h, w = s.shape(x)
    divisors = [g for g in range(1, c + 1) if c % g == 0]
    groups = draws.choose((1, 1, 1, c, draws.choose(divisors)))
    room = max(1, min(70 // groups, 4096 // (n * h * w * groups) or 1))
    out = groups * draws.integer(1, room) if not (groups == c > 1 and draws.chance(60)) else groups
    padding, kernel = [draws.integer(0, 2) for _ in range(4)], []
    if draws.chance(50):
        padding = [padding[0]] * 4
    stride = tuple(draws.choose((1, 1, 2, 3)) for _ in range(2))
    dilation = [draws.choose((1, 1, 1, 2, 3)) for _ in range(2)]
    for axis, size in enumerate((h + padding[0] + padding[2], w + padding[1] + padding[3])):
        k = draws.choose((3, 1, 1, 2, 3, 5, 7))
        while k > 1 and dilation[axis] * (k - 1) + 1 > size:
            k -= 1
        kernel.append(k)
    if out * (c // groups) * kernel[0] * kernel[1] * n * h * w > _WORK:
        raise Rejected("too much work")
    weight = s.tensor((out, c // groups, *kernel))
    bias = [s.tensor((out,))] if draws.chance(60) else []
    s.node("conv2d", x, weight, *bias, stride=stride, padding=tuple(padding), dilation=tuple(dilation), groups=groups)


def _linear(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) >= 2)
    features = s.draws.integer(1, 70)
    weight = s.tensor((features, s.shape(x)[-1]))
    bias = [s.tensor((features,))] if s.draws.chance(60) else []
    s.node("linear", x, weight, *bias)


def _batch_norm(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) >= 2)
    c = (s.shape(x)[1],)
    variance = s.constant(Recipe("uniform", c, s.draws.integer(0, 31)))
    s.node("batch_norm", x, s.tensor(c), s.tensor(c), s.tensor(c, "normal", "zeros"), variance, eps=s.draws.choose((1e-5, 0.5)))


def _affine(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) >= 2)
    c = (s.shape(x)[1],)
    s.node("affine", x, s.tensor(c), s.tensor(c))


def _clamp(s: Sketch) -> None:
    s.node("clamp", s.pick(), lo=s.draws.choose((0.0, *_BOUNDS)), hi=s.draws.choose(_BOUNDS))


def _unary(s: Sketch) -> None:
    fn = s.draws.choose(sorted(UNARY))
    x = s.pick()
    if fn in POLES:
        x = s.node("unary", x, fn="abs")
        shift = s.constant(Recipe("constant", (), s.draws.choose((9, 12, 31))))
        x = s.node("add", x, shift)
    if fn in _STEEP:
        x = s.node("clamp", x, lo=None, hi=3.0)
    s.node("unary", x, fn=fn, **{name: s.draws.choose(values) for name, values in PARAMETERS.get(fn, {}).items()})


PARAMETERS: dict[str, dict[str, tuple[float, ...]]] = {
    "elu": {"alpha": (1.0, 0.25, 2.0)},
    "leaky_relu": {"alpha": (0.01, 0.5, -0.5, 2.0, 0.0)},
    "pow": {"exponent": (2.0, 3.0, 0.5, -1.0, 2.5)},
    "softplus": {"beta": (1.0, 2.0, 0.25), "threshold": (20.0, 0.5, 2.0)},
}


def _softmax(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) >= 1)
    extra = {"log": True} if s.draws.choose((False, True)) else {}
    s.node("softmax", x, axis=s.draws.integer(0, len(s.shape(x)) - 1), **extra)


def _response_norm(s: Sketch) -> None:
    beta, k = s.draws.choose((0.75, 0.5, 1.0, 0.62)), s.draws.choose((1.0, 2.0, 0.25))
    s.node("response_norm", s.image(), size=s.draws.integer(1, 7), alpha=s.draws.choose((1e-4, 1.0, 0.1)), beta=beta, k=k)


def _matmul(s: Sketch) -> None:
    x = s.pick()
    if len(s.shape(x)) != 3:
        x = s.node("reshape", x, shape=s.draws.factors(math.prod(s.shape(x)), 3))
    batch, rows, depth = s.shape(x)
    if batch * rows * rows * depth > _WORK:
        raise Rejected("too much work")
    attrs = {"transposed": s.draws.chance(50), "factor": s.draws.choose((1.0, 1.0, 0.125, -0.5))}
    kind = s.draws.integer(0, 3)
    if kind == 0 and rows > 1:  # the scores of self attention
        s.node("matmul", x, x, **{**attrs, "transposed": True})
        return
    columns = s.draws.integer(1, 40)
    shape = (batch, columns, depth) if attrs["transposed"] else (batch, depth, columns)
    if kind == 1:
        s.node("matmul", x, s.tensor(shape), **attrs)
        return
    fitting = [
        n
        for n in s.live
        if len(s.shape(n)) == 3 and s.shape(n)[0] == batch and s.shape(n)[2 if attrs["transposed"] else 1] == depth
    ]
    if fitting:
        y = s.draws.choose(fitting)
    else:
        y = s.node("permute", x, dims=(0, 2, 1))
        attrs["transposed"] = False
    s.node("matmul", x, y, **attrs)


def _normalize(s: Sketch) -> None:
    if s.draws.chance(50):
        x, axis, spatial = s.image(), 1, True
        groups = s.draws.choose([g for g in range(1, s.shape(x)[1] + 1) if s.shape(x)[1] % g == 0])
    else:
        x, spatial, groups = s.pick(lambda shape: len(shape) >= 1), False, 1
        axis = s.draws.integer(0, len(s.shape(x)) - 1)
    c = (s.shape(x)[axis],)
    ways = (("centred", "mean"), ("centred", "mean"), ("mean",), ())
    way = s.draws.choose(ways)
    attrs = {"axis": axis, "groups": groups, "spatial": spatial, "centred": "centred" in way, "mean": "mean" in way}
    small = (
        {"eps": s.draws.choose((1e-5, 1e-3, 0.5)), "floor": 0.0} if way else {"eps": 0.0, "floor": s.draws.choose((1e-12, 0.5))}
    )
    s.node("normalize", x, s.tensor(c), s.tensor(c), **attrs, **small)


def _binary(op: str) -> Callable[[Sketch], None]:
    def draw(s: Sketch) -> None:
        x = s.pick()
        if s.draws.chance(45):
            y = s.pick(lambda shape: broadcasts(shape, s.shape(x)))
        else:
            y = s.tensor(s.draws.broadcastable(s.shape(x)))
        pair = (y, x) if y in s.live and s.draws.chance(50) else (x, y)
        s.node(op, *pair)

    return draw


def _concat(s: Sketch) -> None:
    first = s.pick(lambda shape: len(shape) >= 1)
    shape = s.shape(first)
    axis = s.draws.integer(0, len(shape) - 1)

    def fits(other: tuple[int, ...]) -> bool:
        return len(other) == len(shape) and all(a == b for d, (a, b) in enumerate(zip(other, shape, strict=True)) if d != axis)

    parts = [first, *(s.pick(fits) for _ in range(s.draws.integer(0, 3)))]
    s.node("concat", *(parts if s.draws.chance(50) else parts[::-1]), axis=axis)


def _ranges(s: Sketch, size: int) -> tuple[tuple[int, int], ...]:
    """Windows of a regular pool, of an adaptive one, or any."""
    draws = s.draws
    kind = draws.choose(("regular", "regular", "adaptive", "global", "any"))
    if kind == "regular":
        kernel = draws.integer(1, min(4, size))
        stride, padding = draws.integer(1, 3), draws.integer(0, kernel // 2)
        starts = range(-padding, size + padding - kernel + 1, stride)
        return tuple((max(a, 0), min(a + kernel, size)) for a in starts)
    if kind == "adaptive":
        out = draws.integer(1, min(size + 2, 9))
        return tuple((k * size // out, -((-(k + 1) * size) // out)) for k in range(out))
    if kind == "global":
        return ((0, size),)
    starts = [draws.integer(0, size - 1) for _ in range(draws.integer(1, 4))]
    return tuple((a, draws.integer(a + 1, size)) for a in starts)


def _pool(op: str) -> Callable[[Sketch], None]:
    def draw(s: Sketch) -> None:
        x = s.image()
        rows, columns = (_ranges(s, size) for size in s.shape(x)[2:])
        attrs: dict[str, Any] = {"windows": rows, "columns": columns}
        if op == "avg_pool2d":
            areas = tuple((b - a) * (d - c) for a, b in rows for c, d in columns)
            same = (s.draws.integer(1, 40),) * len(areas)
            attrs["divisors"] = same if s.draws.chance(30) else areas
        s.node(op, x, **attrs)

    return draw


def _argmax(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) >= 1)
    found = s.node("argmax", x, axis=s.draws.integer(0, len(s.shape(x)) - 1), least=s.draws.chance(30))
    if s.draws.chance(30):
        s.node("reshape", found, shape=s.draws.factors(math.prod(s.shape(found)), s.draws.integer(1, 4)))


def _reshape(s: Sketch) -> None:
    x = s.pick()
    count = math.prod(s.shape(x))
    shape = s.draws.factors(count, s.draws.integer(0 if count == 1 else 1, 6))
    s.node("reshape", x, shape=shape)


def _expand(s: Sketch) -> None:
    x = s.pick()
    grown = [s.draws.choose((2, 3, 5)) if n == 1 and s.draws.chance(60) else n for n in s.shape(x)]
    s.node("expand", x, shape=tuple(grown))


def _permute(s: Sketch) -> None:
    x = s.pick()
    s.node("permute", x, dims=tuple(s.draws.permutation(len(s.shape(x)))))


def _slice(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) >= 1)
    starts, steps, out = [], [], []
    for size in s.shape(x):
        start = s.draws.integer(0, size - 1) if s.draws.chance(40) else 0
        step = s.draws.choose((1, 1, 2, 3))
        most = (size - start - 1) // step + 1
        out.append(s.draws.integer(1, most) if s.draws.chance(40) else most)
        starts.append(start)
        steps.append(step)
    s.node("slice", x, shape_out=tuple(out), starts=tuple(starts), steps=tuple(steps))


def _positions(s: Sketch, size: int) -> tuple[int, ...] | None:
    """Some list of positions: enlarged, mirrored, reversed, rolled, or any; mostly none."""
    draws = s.draws
    kind = draws.choose(("all", "all", "enlarged", "mirrored", "reversed", "rolled", "any"))
    if kind == "all":
        return None
    if kind == "enlarged":
        out = draws.integer(1, 2 * size + 1)
        return tuple(k * size // out for k in range(out))
    if kind == "mirrored":
        before, after = (draws.integer(0, size - 1) for _ in range(2))
        return (*range(before, 0, -1), *range(size), *range(size - 2, size - 2 - after, -1))
    if kind == "reversed":
        return tuple(range(size))[::-1]
    if kind == "rolled":
        by = draws.integer(0, size - 1)
        return tuple((k + by) % size for k in range(size))
    return tuple(draws.integer(0, size - 1) for _ in range(draws.integer(1, 6)))


def _take(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) >= 1)
    s.node("take", x, indices=tuple(_positions(s, size) for size in s.shape(x)))


def _resize(s: Sketch) -> None:
    """Linear interpolation, cubic with negative weights, or averages of many."""
    x, draws = s.image(), s.draws

    def taps(size: int) -> tuple[tuple[int, tuple[float, ...]], ...]:
        count = min(draws.choose((2, 2, 1, 3, 4)), size)
        least = -1 if count == 4 else 0
        found = []
        for _ in range(draws.integer(1, min(2 * size + 1, 9))):
            parts = [draws.integer(least, 8) for _ in range(count)]
            total = sum(parts)
            weights = tuple(part / total for part in parts) if total > 4 else (*(0.0,) * (count - 1), 1.0)
            found.append((draws.integer(0, size - count), weights))
        return tuple(found)

    s.node("resize", x, rows=taps(s.shape(x)[2]), columns=taps(s.shape(x)[3]))


def _interleave(s: Sketch) -> None:
    """Phases of a transposed convolution, of a pixel shuffle, or any."""
    x, draws = s.image(), s.draws
    _, c, h, w = s.shape(x)
    phases = draws.choose([(a, b) for a in range(1, 4) for b in range(1, 4) if c % (a * b) == 0])
    groups = draws.choose([g for g in range(1, c + 1) if c // (phases[0] * phases[1]) % g == 0])

    def places(count: int, size: int) -> tuple[tuple[int, int], ...]:
        if draws.chance(60):
            first, last = draws.integer(0, min(2, count * size - 1)), draws.integer(0, min(2, count * size - 1))
            return tuple((f % count, f // count) for f in range(first, max(count * size - last, first + 1)))
        return tuple((draws.integer(0, count - 1), draws.integer(0, size - 1)) for _ in range(draws.integer(1, 6)))

    s.node("interleave", x, rows=places(phases[0], h), columns=places(phases[1], w), phases=phases, groups=groups)


def _pad(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) >= 1)
    before, after = ([s.draws.choose((0, 0, 1, 2)) for _ in s.shape(x)] for _ in range(2))
    value = s.draws.choose((0.0, 0.0, 0.5, -1.25, 40.0))
    s.node("pad", x, before=tuple(before), after=tuple(after), value=value)


DRAWERS: dict[str, Callable[[Sketch], None]] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "affine": _affine,
    "clamp": _clamp,
    "unary": _unary,
    "softmax": _softmax,
    "normalize": _normalize,
    "response_norm": _response_norm,
    "matmul": _matmul,
    "add": _binary("add"),
    "sub": _binary("sub"),
    "mul": _binary("mul"),
    "maximum": _binary("maximum"),
    "minimum": _binary("minimum"),
    "concat": _concat,
    "max_pool2d": _pool("max_pool2d"),
    "min_pool2d": _pool("min_pool2d"),
    "avg_pool2d": _pool("avg_pool2d"),
    "norm_pool2d": _pool("norm_pool2d"),
    "argmax": _argmax,
    "expand": _expand,
    "reshape": _reshape,
    "permute": _permute,
    "slice": _slice,
    "resize": _resize,
    "interleave": _interleave,
    "take": _take,
    "pad": _pad,
}
"""One drawer for each operation of graph/ops.py; a test holds them together."""

_WEIGHTED = ("conv2d", "conv2d", "linear", "unary", *DRAWERS)
