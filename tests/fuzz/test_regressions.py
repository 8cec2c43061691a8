"""What the fuzzer found, as small as it became, checked again like any other case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lowbit.fake.network import FakeQuantized
from lowbit.frontend import evaluate, import_model
from lowbit.graph import Graph
from lowbit.numerics import QType
from lowbit.quantization import QuantizationConfig, calibrate, quantize_graph
from lowbit.quantization.granularity import PerGroup
from tests.fuzz.checks import Checked, allowances, check_fake, check_float, check_follows, close
from tests.fuzz.compiled import Way, check_compiled
from tests.fuzz.configs import WIDE
from tests.fuzz.machines import native_targets
from tests.graph.build import Build
from tests.graph.nodewise import check_nodes

LAMBDAS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "softplus with a threshold": (lambda x: torch.ops.aten.softplus.default(x, 1, 0.5), (3, 4)),
    "pixel_unshuffle of rank 5": (lambda x: torch.ops.aten.pixel_unshuffle.default(x, 2), (2, 3, 1, 4, 6)),
    "prelu whose slope has more axes": (
        lambda x: torch.ops.aten._prelu_kernel.default(x, torch.full((1, 1), 0.25, dtype=x.dtype)),
        (3,),
    ),
    "a part of length 0 that nobody reads": (lambda x: (torch.ops.aten.pad.default(x, [0, 0, -1, 0]), x.relu())[1], (2, 1, 3)),
}


@pytest.mark.parametrize("name", LAMBDAS)
def test_modules(name: str) -> None:
    function, shape = LAMBDAS[name]

    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return function(x)

    x = torch.linspace(-2, 2, int(np.prod(shape))).reshape(shape)
    graph = import_model(Net(), (x,))
    check_float(graph, [x])
    outputs = evaluate(graph, [x], dtype=torch.float64)
    close(outputs, [Net()(x.double())], allowances(graph, [x], outputs), name)


def test_a_shuffle_of_one_group_is_a_copy() -> None:
    """Tracing pretends a view; what was written to the operand afterwards was seen in the result."""

    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y = x.relu()
            z = torch.channel_shuffle(y, 1)
            y.mul_(3)
            return y, z

    x = torch.linspace(-1, 1, 12).reshape(1, 3, 2, 2)
    y, z = evaluate(import_model(Net(), (x,)), [x])
    assert torch.equal(y, 3 * x.relu())
    assert torch.equal(z, x.relu())


def _clamp_of_one_sign() -> tuple[Graph, QuantizationConfig]:
    """b1 knew no clamp: -1 was +1 where only the clamp made the value negative."""
    b = Build()
    x = b.input("x", 1, 4, 3, 3)
    negative = b.node("negative", "clamp", x, lo=None, hi=-0.25)
    both = b.node("both", "concat", negative, x, axis=1)
    b.conv("layer", both, 3, lo=None)
    return b.graph("layer"), QuantizationConfig("i8", "b1", first_last_bits=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [_clamp_of_one_sign])
def test_graphs(make: Any) -> None:
    graph, config = make()
    inputs = [np.random.default_rng(0).standard_normal(graph.types[name].shape, np.float32) for name in graph.inputs]
    canonical = check_float(graph, [torch.from_numpy(x) for x in inputs])
    integer = quantize_graph(canonical, calibrate(canonical, [tuple(inputs)]), config)
    check_nodes(integer, inputs)
    for target in native_targets():
        check_compiled(integer, inputs, Way(target, None, 1, False, False), Checked("compiled"), "")


def test_one_bit_weights_with_scales_of_groups_are_no_single_bits() -> None:
    """Forms that count bits were chosen for them: they know no scale inside a sum."""
    b = Build()
    x = b.input("x", 2, 63, 5, 4)
    positive = b.node("positive", "clamp", x, lo=0.0, hi=None)
    weight = b.constant("weight", torch.randn((3, 63, 3, 3), generator=torch.Generator().manual_seed(0)).numpy())
    bias = b.constant("bias", np.zeros(3))
    attrs = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1, "lo": None, "hi": None}
    graph = b.graph(b.node("y", "conv2d", positive, weight, bias, **attrs))
    values = torch.randn((2, 63, 5, 4), generator=torch.Generator().manual_seed(1)).numpy()
    single = QType.parse("b1")
    config = QuantizationConfig(single, single, first_last_bits=None, granularity=PerGroup(4))
    integer = quantize_graph(graph, calibrate(graph, [values]), config)
    for target in native_targets():
        check_compiled(integer, [values], Way(target, None, 1, False, False), Checked("compiled"), "1")


def test_the_range_of_a_function_is_that_of_what_was_seen() -> None:
    """The tangent reads 1 / cos, which has a pole between the numbers that came: its steps are not those of the pole."""

    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x.tan() + 3).clamp(0, 6)

    x = torch.randn((2, 5), generator=torch.Generator().manual_seed(11))
    graph = check_float(import_model(Net(), (x,)), [x])
    wide = quantize_graph(graph, calibrate(graph, [(x.numpy(),)]), WIDE)
    check_follows(graph, wide, [x], check_nodes(wide, [x.numpy()]))


def test_signs_of_weights_whose_quotient_underflows() -> None:
    """-1e-45 / 4 is -0, whose sign is that of 0: training, one-bit weights of the least size were +1."""
    b = Build()
    b.input("x", 2, 3)
    b.constant("w", np.float32([[1e-45, -1e-45, 1], [-1e-45, -1e-45, -1]]))
    b.node("y", "linear", "x", "w")
    graph, x = b.graph("y"), torch.tensor([[1.0, 2, 3], [-3, 1, 0.5]])
    calibration = calibrate(graph, [(x.numpy(),)])
    config = QuantizationConfig("b1", "i5", scale="global:4", first_last_bits=None)  # type: ignore[arg-type]
    outputs = check_nodes(quantize_graph(graph, calibration, config), [x.numpy()])
    check_fake(FakeQuantized(graph, calibration, config), outputs, [x])
