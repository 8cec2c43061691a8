"""Float graphs by hand: canonical form, shapes inferred from the table of operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit.graph import Graph, Node, TensorType
from lowbit.graph.ops import OPS, POSITIONS


class Build:
    """Adds nodes one after the other; ``graph(*outputs)`` at the end."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.inputs: list[str] = []
        self.nodes: list[Node] = []
        self.types: dict[str, TensorType] = {}
        self.constants: dict[str, np.ndarray] = {}

    def input(self, name: str, *shape: int) -> str:
        self.inputs.append(name)
        self.types[name] = TensorType(shape)
        return name

    def constant(self, name: str, values: Any) -> str:
        self.constants[name] = np.asarray(values, np.float32)
        self.types[name] = TensorType(self.constants[name].shape)
        return name

    def node(self, name: str, op: str, *inputs: str, shape_out: tuple[int, ...] = (), **attrs: Any) -> str:
        node = Node(name, op, inputs, attrs, "net.py:1")
        self.nodes.append(node)
        dtype = "int64" if op in POSITIONS else self.types[inputs[0]].dtype
        self.types[name] = TensorType(OPS[op].infer(node, [self.types[i].shape for i in inputs], shape_out), dtype)
        return name

    def conv(
        self,
        name: str,
        x: str,
        channels: int,
        kernel: int | tuple[int, int] = 3,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int, int, int] = (1, 1, 1, 1),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        lo: float | None = 0.0,
        hi: float | None = None,
        residual: str | None = None,
    ) -> str:
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        per_group = self.types[x].shape[1] // groups
        w = self.random.normal(size=(channels, per_group, kh, kw)) * (2 / (per_group * kh * kw)) ** 0.5
        inputs = [x, self.constant(f"{name}.weight", w), self.constant(f"{name}.bias", self.random.normal(size=channels) * 0.3)]
        attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "lo": lo, "hi": hi}
        if residual is not None:
            inputs.append(residual)
            attrs["residual"] = True
        return self.node(name, "conv2d", *inputs, **attrs)

    def linear(self, name: str, x: str, features: int, lo: float | None = None, hi: float | None = None) -> str:
        size = self.types[x].shape[-1]
        w = self.constant(f"{name}.weight", self.random.normal(size=(features, size)) * size**-0.5)
        bias = self.constant(f"{name}.bias", self.random.normal(size=features) * 0.3)
        return self.node(name, "linear", x, w, bias, lo=lo, hi=hi)

    def pool(self, name: str, x: str, op: str, kernel: int, stride: int, padding: int = 0) -> str:
        ranges = []
        for size in self.types[x].shape[2:]:
            starts = range(-padding, size + padding - kernel + 1, stride)
            ranges.append(tuple((max(s, 0), min(s + kernel, size)) for s in starts))
        attrs: dict[str, Any] = {"windows": ranges[0], "columns": ranges[1]}
        if op == "avg_pool2d":
            attrs["divisors"] = tuple((b - a) * (d - c) for a, b in ranges[0] for c, d in ranges[1])
        return self.node(name, op, x, **attrs)

    def global_mean(self, name: str, x: str) -> str:
        h, w = self.types[x].shape[2:]
        return self.node(name, "avg_pool2d", x, windows=((0, h),), columns=((0, w),), divisors=(h * w,))

    def graph(self, *outputs: str) -> Graph:
        return Graph("net", tuple(self.inputs), outputs, tuple(self.nodes), self.types, self.constants)


def residual_network(seed: int = 0, batch: int = 2) -> Graph:
    """Stem, a block with a fused residual, a strided block, mean, classifier."""
    b = Build(seed)
    x = b.input("x", batch, 3, 10, 9)
    a = b.conv("stem", x, 8)
    c = b.conv("block.conv1", a, 8)
    d = b.conv("block.conv2", c, 8, residual=a)
    e = b.conv("down", d, 12, stride=(2, 2))
    m = b.node("flat", "reshape", b.global_mean("mean", e), shape=(batch, 12))
    return b.graph(b.linear("fc", m, 5))


def everything(seed: int = 0, batch: int = 2) -> Graph:
    """Every operation at least once, layers of every kind."""
    b = Build(seed)
    x = b.input("x", batch, 4, 12, 10)
    stem = b.conv("stem", x, 8, hi=6.0)
    depthwise = b.conv("depthwise", stem, 16, groups=8, padding=(0, 1, 2, 0), dilation=(1, 2))
    grouped = b.conv("grouped", depthwise, 12, (1, 3), groups=2, stride=(2, 1), padding=(0, 1, 0, 1), lo=None)
    act = b.node("act", "unary", grouped, fn="silu")
    pool = b.pool("max", act, "max_pool2d", 3, 1, 1)
    branch = b.conv("branch", act, 6, 1, padding=(0, 0, 0, 0), lo=None)
    cat = b.node("cat", "concat", pool, branch, axis=1)
    scale = b.constant("scale.s", b.random.uniform(0.5, 2, 18))
    shift = b.constant("scale.b", b.random.normal(size=18))
    affine = b.node("affine", "affine", cat, scale, shift, lo=None, hi=4.0)
    squeeze = b.conv("squeeze", b.global_mean("mean", affine), 18, 1, padding=(0, 0, 0, 0), lo=None)
    gated = b.node("gated", "mul", affine, b.node("gate", "unary", squeeze, fn="sigmoid"), lo=None, hi=None)
    moved = b.node("moved", "add", gated, b.constant("offset", b.random.normal(size=(1, 18, 1, 1))), lo=None, hi=None)
    less = b.node("less", "sub", moved, affine, lo=-2.0, hi=None)
    clamped = b.node("clamped", "clamp", less, lo=-1.0, hi=1.5)
    padded = b.node("padded", "pad", clamped, before=(0, 0, 1, 0), after=(0, 2, 0, 1), value=0.5)
    n, c, h, w = b.types[padded].shape
    cut = b.node("cut", "slice", padded, starts=(0, 1, 0, 1), steps=(1, 2, 1, 1), shape_out=(n, (c - 1) // 2, h, w - 1))
    average = b.pool("average", cut, "avg_pool2d", 2, 2)
    mirrored = b.node("mirrored", "take", average, indices=(None, (3, 1, 0, 2, 2, 5, 4), (1, 0, 1, 2), None))
    phases = tuple((k % 2, k // 2) for k in range(1, 9))
    grown = b.node(
        "grown",
        "interleave",
        b.conv("phases", mirrored, 12, 2, padding=(1, 1, 1, 0), lo=None),
        rows=phases,
        columns=((0, 0), (0, 1)),
        phases=(2, 1),
        groups=1,
    )
    sized = b.node(
        "sized", "resize", grown, rows=((0, (0.25, 0.75)), (3, (0.6, 0.4))) * 2, columns=((0, (0.1, 0.9)), (0, (0.5, 0.5)))
    )
    turned = b.node("turned", "permute", sized, dims=(0, 2, 3, 1))
    n, h, w, c = b.types[turned].shape
    tokens = b.node("tokens", "reshape", turned, shape=(n, h * w, c))
    mixed = b.linear("mixed", tokens, 7)
    soft = b.node("soft", "softmax", mixed, axis=2)
    return b.graph(b.linear("fc", soft, 5), clamped)
