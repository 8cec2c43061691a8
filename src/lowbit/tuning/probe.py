"""A network that computes one convolution in several ways: what is timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowbit.graph import Graph, Node, TensorType
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem
from lowbit.kernels.data_movement.spec import InputSpec, OutputSpec
from lowbit.kernels.layout import Layout
from lowbit.lowering.context import Lowering
from lowbit.lowering.convolution import emit_choice
from lowbit.lowering.program import NULL, Program, Ref
from lowbit.targets import Target

__all__ = ["Probe", "make_probe"]

_REACH = {"u8": 60.0, "i16": 12000.0, "f32": 1.0}  # deviation of the results
_RESIDUAL = 0.125  # what one step of the residual adds
_BOUNDS = {"u8": (-128.0, 127.0, 128.0), "i16": (-32768.0, 32767.0, 0.0), "f32": (-3e38, 3e38, 0.0)}  # lo, hi, zero


@dataclass(frozen=True, eq=False)
class Probe:
    """``inputs``: what the program takes.  Its output i is the result of choice i.
    ``operations``: of each choice, the indices of the calls that compute it."""

    program: Program
    inputs: list[np.ndarray]
    operations: list[list[int]]


def make_probe(problem: ConvProblem, choices: Sequence[Choice], weights: np.ndarray, target: Target) -> Probe:
    """The program of ``problem`` with random inputs, all of ``choices`` one after the other.

    Each choice finds its input as in a network: just written by the kernel before it.  Its weights were last read
    a whole round earlier, with the work of all other choices in between.
    """
    outputs = tuple(f"y{index}" for index in range(len(choices)))
    sources = {"x": problem.src, **({} if problem.residual is None else {"r": problem.residual})}
    types = {name: TensorType((at.pixels, at.c)) for name, at in sources.items()}
    types |= {name: TensorType((problem.dst.pixels, problem.dst.c)) for name in outputs}
    ctx = Lowering(Graph("probe", tuple(sources), outputs, (), types), target)
    rng = np.random.default_rng(0)
    if problem.residual is not None:
        _read(ctx, 1, "residual", problem.residual, 255)
    bias, spread = _statistics(problem, weights)
    for index, choice in enumerate(choices):
        source, result = f"source{index}", ctx.temporary(f"result{index}", problem.dst)
        _read(ctx, 0, source, problem.src, problem.act_max)
        _convolve(ctx, _node(index), problem, choice, weights, source, result, bias, spread)
        s = ctx.constants.floats(1.0, 0.0, 1.0)
        ctx.emit(
            Node(outputs[index], "output", ()),
            OutputSpec(src=problem.dst, strides=_strides(problem.dst)),
            x=result,
            o=Ref("output", index),
            s=s,
        )
    program = ctx.finish()
    names = [call.layer for call in program.calls]
    operations = [[at for at, name in enumerate(names) if name == _node(index).name] for index in range(len(choices))]
    largest = {"x": problem.act_max, "r": 255}
    return Probe(program, [_values(at, largest[name], rng) for name, at in sources.items()], operations)


def _node(index: int) -> Node:
    return Node(f"choice{index}", "conv2d", ())


def _strides(at: Layout) -> tuple[int, int, int, int]:
    """Of (n, h, w, c) in a dense tensor of the pixels of ``at``."""
    return at.h * at.w * at.c, at.w * at.c, at.c, 1


def _range(at: Layout, largest: int) -> tuple[int, int]:
    """Stored elements of an operand; bytes are at most ``largest``."""
    return (-32768, 32767) if at.dtype == "i16" else (0, largest)


def _values(at: Layout, largest: int, rng: np.random.Generator) -> np.ndarray:
    size = (at.pixels, at.c)
    if at.dtype == "f32":
        return rng.standard_normal(size, np.float32)
    lo, hi = _range(at, largest)
    return rng.integers(lo, hi + 1, size).astype(np.float32)


def _read(ctx: Lowering, index: int, name: str, at: Layout, largest: int) -> None:
    """The user's tensor ``index`` -> a buffer, every number as it is; the halo of bytes is the middle of their range."""
    ctx.temporary(name, at)
    fill = largest // 2 if at.dtype == "u8" else 0
    s = ctx.constants.floats(1.0, *_range(at, largest), 0.0)
    ctx.emit(
        Node(f"{name}.input", "input", ()), InputSpec(dst=at, strides=_strides(at)), x=Ref("input", index), o=name, s=s, fill=fill
    )


def _statistics(problem: ConvProblem, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """(bias that centres the sums, their deviation) for inputs that are spread evenly."""
    values = weights.astype(np.float64)
    middle = 0.0 if problem.src.dtype != "u8" else problem.act_max / 2
    size = 1.0 if problem.src.dtype == "f32" else problem.act_max / np.sqrt(12)
    deviation = max(size * float(np.sqrt((values**2).sum((1, 2, 3)).mean())), 1e-6)
    scale = 2.0**problem.acc_shift
    return -np.rint(middle * values.sum((1, 2, 3)) * scale), deviation * scale


def _convolve(
    ctx: Lowering, node: Node, problem: ConvProblem, choice: Choice, weights: np.ndarray, source: str, result: str,
    bias: np.ndarray, spread: float,
) -> None:  # fmt: skip
    spec, n = choice.spec, weights.shape[0]
    lanes = spec.blocks * spec.nr
    lo, hi, zero = _BOUNDS[problem.dst.dtype]
    if problem.weight == "f32":
        b, s = np.zeros(lanes, np.float32), [lo, hi]
        qtype, container = "f32", 32
    else:
        rows = (bias + choice.bias_offset, *choice.bias_rows)
        b = np.zeros((len(rows), lanes), np.float64 if problem.wide else np.int32)
        b[:, :n] = rows
        s = [*np.full(lanes, _REACH[problem.dst.dtype] / spread), lo, hi, zero, 1.0, 0.0, _RESIDUAL]
        qtype = "b1" if problem.weight == "b1" else "i8" if _fits_byte(weights) else "i16"
        container = {"b1": 1, "i8": 8, "i16": 16}[qtype]
    w = ctx.add_weights(node.name, weights, qtype, container, choice.packing)
    emit_choice(
        ctx, node, choice, x=source, r=NULL if problem.residual is None else "residual", w=w, b=ctx.constants.add(b),
        s=ctx.constants.floats(*s), o=result, macs=0, fill=0,
    )  # fmt: skip


def _fits_byte(weights: np.ndarray) -> bool:
    return bool(weights.min(initial=0) >= -128 and weights.max(initial=0) <= 127)
