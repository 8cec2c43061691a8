"""Methods that change the float network, or the integers of any layer: the float network computes the same afterwards, and torch
gives the oracle's integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from lowbit.errors import GraphError, LowbitError
from lowbit.frontend import evaluate
from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.methods import ChannelSplitting, CoordinateDescent, Equalization, Method, begin
from lowbit.quantization import apply
from tests.fuzz.checks import Checked, allowances, check_torch, close, observed
from tests.fuzz.configs import draw_config
from tests.fuzz.draws import Draws, Rejected
from tests.fuzz.graphs import DRAWERS, Sketch

__all__ = ["check_float_methods", "draw_row"]

_METHODS: tuple[Callable[[], Method], ...] = (Equalization, ChannelSplitting, CoordinateDescent)


def check_float_methods(graph: Graph, inputs: Sequence[Tensor], draws: Draws, checked: Checked) -> None:
    """On a canonical graph of which some channels are made dead."""
    graph = _with_dead_channels(graph, draws)
    calibration, outputs = observed(graph, inputs), evaluate(graph, inputs, dtype=torch.float64)
    allowed = allowances(graph, inputs, outputs)
    for method in _METHODS:
        try:
            done = method()(begin(graph, calibration, draw_config(draws, graph), progress=False))
        except GraphError:
            raise
        except LowbitError as error:
            checked.refuse(error)
            continue
        close(evaluate(done.graph, inputs, dtype=torch.float64), outputs, allowed, f"{method.__name__} and float graph")
        check_torch(apply(done.graph, done.choice), [value.numpy() for value in inputs])


def _with_dead_channels(graph: Graph, draws: Draws) -> Graph:
    """Some layers get output channels that read nothing; their bias, where they have one, is drawn."""
    changed = {}
    for node in graph.nodes:
        if node.op not in LAYERS or not draws.chance(60):
            continue
        weight = graph.constants[node.inputs[1]].copy()
        dead = np.array([draws.chance(40) for _ in range(len(weight))])
        weight[dead] = 0.0
        changed[node.inputs[1]] = weight
        if len(node.inputs) > 2 and node.inputs[2] in graph.constants:
            bias = graph.constants[node.inputs[2]].copy()
            bias[dead] = draws.choose((-1.0, 0.0, 0.25))
            changed[node.inputs[2]] = bias
    return graph.rebuild(graph.nodes, constants=changed)


def draw_row(draws: Draws) -> Sketch:
    """A dense layer, up to two depthwise ones, a dense one; between them clamps, and what keeps channels; perhaps more behind."""
    s = Sketch(draws)
    s.input((draws.integer(3, 5), draws.integer(1, 4), draws.integer(1, 9), draws.integer(1, 9)))
    channels = draws.integer(1, 12)
    _layer(s, channels, 1)
    for _ in range(draws.integer(0, 2)):
        _layer(s, channels, channels)
    _layer(s, draws.integer(1, 6), 1)
    for _ in range(draws.integer(0, 2)):
        with suppress(Rejected):
            DRAWERS[draws.choose(tuple(DRAWERS))](s)
    return s


def _layer(s: Sketch, channels: int, groups: int) -> None:
    """A convolution with its clamp and what may come behind; linear at times, where maps have one position."""
    draws, x = s.draws, s.live[-1]
    _, c, *size = s.shape(x) if len(s.shape(x)) == 4 else (*s.shape(x), 1, 1)
    bias = s.tensor((channels,), "normal", "zeros")
    if len(s.shape(x)) == 2 or (size == [1, 1] and groups == 1 and draws.chance(50)):
        x = x if len(s.shape(x)) == 2 else s.node("reshape", x, shape=s.shape(x)[:2])
        x = s.node("linear", x, s.tensor((channels, c), "normal"), bias)
    else:
        padding = draws.choose(((0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 0, 2)))
        kernel = [draws.integer(1, min(3, extent + padding[i] + padding[i + 2])) for i, extent in enumerate(size)]
        weight = s.tensor((channels, c // groups, *kernel), "normal")
        stride = draws.choose(((1, 1), (2, 1)))
        x = s.node("conv2d", x, weight, bias, stride=stride, padding=padding, dilation=(1, 1), groups=groups)
    match draws.integer(0, 3):
        case 0:
            x = s.node("clamp", x, lo=0.0, hi=None)
        case 1:
            x = s.node("clamp", x, lo=0.0, hi=draws.choose((0.5, 6.0)))
    if len(s.shape(x)) == 4 and draws.chance(40):
        with suppress(Rejected):
            DRAWERS[draws.choose(("max_pool2d", "avg_pool2d", "pad", "slice"))](s)
