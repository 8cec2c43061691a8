"""Fewer bits are never slower, on every family of CPUs whose costs come with lowbit: networks, by the model that chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

import lowbit
from lowbit.kernels.conv2d.selection.decide import decide
from lowbit.kernels.conv2d.selection.decision import key_of
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem
from lowbit.kernels.conv2d.selection.select import choose, estimate
from lowbit.lowering import lower
from lowbit.numerics import QType
from lowbit.targets import TARGETS, Target
from lowbit.targets.costs import costs_names, read_costs
from lowbit.zoo.building import load_network
from tests.share import share

NETWORKS = share(("resnet18", "resnet50", "mobilenet_v1", "mobilenet_v2", "squeezenet1_1"), 2)
FAMILIES = {
    **{name: replace(TARGETS[read_costs(name).target], costs=name) for name in costs_names()},
    "intel-6-207 with AMX": replace(TARGETS["x86-64-v4-amx-bf16"], costs="intel-6-207"),
    "AVX-512 without VNNI, as typed": TARGETS["x86-64-v4"],
    "AVX-VNNI, as typed": TARGETS["x86-64-v3-vnni"],
}
# weights, activations; of the first and the last layer at least 8 bits, as lowbit.compile has it
TYPES = {
    "fp32": ("f32", "f32"),
    "16": ("i16", "i16"),
    "w8a8": ("i8", "u8"),
    "w7a7": ("i7", "u7"),
    "w4a8": ("i4", "u8"),
    "w4a4": ("i4", "u4"),
    "w2a2": ("i2", "u2"),
    "w1a1": ("b1", "u1"),
}
EQUAL = 1.03

pytestmark = pytest.mark.slow


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer as float32 has it; ``count``: how often; ``edge``: the first or the last one."""

    problem: ConvProblem
    weights: np.ndarray
    edge: bool
    count: int = 1

    def typed(self, weight: str, act: str) -> tuple[ConvProblem, np.ndarray]:
        """With these types, weights rounded channel by channel to the whole of theirs."""
        if weight == "f32":
            return self.problem, self.weights
        w, a = QType.parse(weight), QType.parse(act)
        if self.edge and w.bits < 8:
            w, a = QType.parse("i8"), QType.parse("u8")
        dtype = "i16" if a.bits == 16 else "u8"
        largest = np.abs(self.weights).max((1, 2, 3), keepdims=True) + 1e-9
        values = np.where(self.weights >= 0, 1, -1) if w.bits == 1 else np.rint(self.weights / largest * w.qmax).astype(np.int64)
        p, last = self.problem, self.problem.op == "linear"
        residual = None if p.residual is None else replace(p.residual, dtype=dtype)
        src, dst = replace(p.src, dtype=dtype), p.dst if last else replace(p.dst, dtype=dtype)
        made = replace(p, src=src, dst=dst, residual=residual, act=str(a), weight=str(w))
        return replace(made, act_max=-a.qmin if a.bits == 16 else a.qmax), values


@cache
def layers(network: str) -> tuple[Layer, ...]:
    """The distinct ones that a cost model decides about, all but depthwise ones, with their own weights."""
    model, examples = load_network(network)
    found: list[Layer] = []

    def record(problem: ConvProblem, weights: np.ndarray, target: Target, decisions: object = None) -> tuple[Choice, bool]:
        found.append(Layer(problem, weights, False))
        return decide(problem, weights, target)

    lower(lowbit.trace(model, examples[0]), TARGETS["x86-64-v3"], None, record)
    found = [replace(layer, edge=layer in (found[0], found[-1])) for layer in found]
    distinct: dict[str, Layer] = {}
    for layer in found:
        key = f"{key_of(layer.problem, {}).problem} {layer.edge}"
        distinct[key] = replace(layer, count=distinct[key].count + 1 if key in distinct else 1)
    return tuple(distinct.values())


@cache
def cycles(network: str, family: str) -> Mapping[str, float]:
    """Of all layers by the family's own model, for each of TYPES."""
    target, total = FAMILIES[family], dict.fromkeys(TYPES, 0.0)
    for layer in layers(network):
        for name, (weight, act) in TYPES.items():
            problem, values = layer.typed(weight, act)
            total[name] += layer.count * estimate(choose(problem, values, target), target)
    return total


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("network", NETWORKS)
def test_fewer_bits_are_never_slower(network: str, family: str) -> None:
    found = cycles(network, family)
    for order in (("16", "w8a8", "w7a7", "w4a4", "w2a2", "w1a1"), ("fp32", "w8a8", "w4a8", "w4a4")):
        for wider, narrower in pairwise(order):
            assert found[narrower] <= EQUAL * found[wider], (narrower, wider, found)


@pytest.mark.parametrize("family", FAMILIES)
def test_sixteen_bits_are_faster_than_floats_where_something_multiplies_them_faster(family: str) -> None:
    """AMX does.  Elsewhere a product of 16 bits takes as long as one of float32, or two of them (each half of the weights apart,
    so that sums stay exact), and Winograd's algorithm needs 17 and more: then this is what they may cost more."""
    most = 1.0 if "AMX" in family else 2.5
    for network in NETWORKS:
        found = cycles(network, family)
        assert found["16"] <= most * EQUAL * found["fp32"], (network, found)
