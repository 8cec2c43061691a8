"""Torch runs integer graphs as the oracle does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowbit.errors import GraphError, InputError
from lowbit.fake import execute
from lowbit.fake.straight_through import round_, round_within
from lowbit.frontend.evaluation import compute
from lowbit.graph import Graph, Node, interpret
from lowbit.graph.rebatch import rebatch
from lowbit.quantization import calibrate, parse_config, quantize_graph, random_samples
from lowbit.tracer import trace
from lowbit.zoo import load_network

SMALL = ("cifar_resnet8", "cifar_resnet20", "densenet_block", "lenet5", "mlp_jsc", "mlp_jsc_bn")
CONFIGS = ("16/int16", "8/int8", "w7a7", "w6a6", "w4a8", "4/int4", "w3a3", "w2a4", "1/int1", "w1a8")


@pytest.fixture(scope="module")
def traced() -> dict[str, Graph]:
    torch.manual_seed(0)
    return {name: trace(*load_network(name, None)) for name in SMALL}


@pytest.mark.filterwarnings("ignore::lowbit.errors.CalibrationWarning")
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", SMALL)
def test_every_integer_is_the_oracles(traced: dict[str, Graph], name: str, config: str) -> None:
    graph = traced[name]
    samples = random_samples(graph, 0, 2)
    integer = quantize_graph(graph, calibrate(graph, samples[:1]), parse_config(config))
    wanted: dict[str, np.ndarray] = {}
    outputs = interpret(integer, samples[1], wanted.__setitem__)
    seen: dict[str, np.ndarray] = {}
    with torch.inference_mode():
        got = execute(integer, [torch.from_numpy(x) for x in samples[1]], lambda n, v: seen.__setitem__(n, v.numpy()))
    assert seen.keys() == wanted.keys()
    for node, value in wanted.items():
        assert np.array_equal(value.astype(np.float64), seen[node].astype(np.float64)), node
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(outputs, got, strict=True))


@pytest.mark.filterwarnings("ignore::lowbit.errors.CalibrationWarning")
@pytest.mark.parametrize("config", ["8/int8", "w4a4", "1/int1"])
@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "resnet18", "resnet50", "squeezenet1_1", "densenet121"])
def test_the_large_networks_too(name: str, config: str) -> None:
    torch.manual_seed(0)
    graph = trace(*load_network(name, (1, 3, 64, 64)))
    samples = random_samples(graph, 0, 2)
    integer = quantize_graph(graph, calibrate(graph, samples[:1]), parse_config(config))
    outputs = interpret(integer, samples[1])
    with torch.inference_mode():
        got = execute(integer, [torch.from_numpy(x) for x in samples[1]])
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(outputs, got, strict=True))


def test_rows_do_not_see_each_other(traced: dict[str, Graph]) -> None:
    graph = traced["cifar_resnet8"]
    integer = quantize_graph(graph, calibrate(graph, random_samples(graph, 0, 1)), parse_config("w4a4"))
    x = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    (together,) = execute(rebatch(integer, 5), [x])
    for row in range(5):
        assert torch.equal(together[row : row + 1], execute(integer, [x[row : row + 1]])[0])


def test_the_gradient_of_a_scale_is_that_of_lsq() -> None:
    """d x^ / d s = round(x / s) - x / s inside, +-q at the ends (Esser et al. 2020, eq. 3)."""
    graph = trace(torch.nn.Linear(1, 1, bias=False).eval(), torch.zeros(1, 1))
    with torch.no_grad():
        integer = quantize_graph(graph, calibrate(graph, [np.float32([[1.0]]), np.float32([[-1.0]])]), parse_config("w8a8"))
    quantized = integer.nodes[0].name
    params = integer.types[quantized].quant
    assert params is not None
    weight = float(integer.constants[integer.nodes[1].inputs[1]][0, 0]) * float(
        integer.types[integer.nodes[1].inputs[1]].quant.scale[0]  # type: ignore[union-attr]
    )
    for x in (0.3, -0.71, 3.0, -3.0):
        scale = torch.tensor(float(params.scale), requires_grad=True)
        (y,) = execute(integer, [torch.tensor([[x]])], scales={quantized: scale})
        y.backward()
        q = np.rint(x / float(params.scale)) + params.zero_point
        clipped = np.clip(q, params.qtype.qmin, params.qtype.qmax) - params.zero_point
        inside = clipped == q - params.zero_point
        wanted = weight * (clipped - (x / float(params.scale) if inside else 0.0))
        assert scale.grad is not None
        assert float(scale.grad) == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_wrong_inputs_are_refused(traced: dict[str, Graph]) -> None:
    graph = traced["mlp_jsc"]
    integer = quantize_graph(graph, calibrate(graph, random_samples(graph, 0, 1)), parse_config("w8a8"))
    with pytest.raises(InputError, match=r"shape \(2, 16\), must be \(1, 16\)"):
        execute(integer, [torch.zeros(2, 16)])
    with pytest.raises(InputError, match="2 inputs given, takes 1"):
        execute(integer, [torch.zeros(1, 16)] * 2)
    with pytest.raises(GraphError, match="quantize the graph first"):
        execute(graph, [torch.zeros(1, 16)])


def test_rows_that_mix_are_refused() -> None:
    class Mixes(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.softmax(x, 0)

    with pytest.raises(GraphError, match=r"softmax \(softmax\) works across the first axis"):
        rebatch(trace(Mixes(), torch.zeros(2, 3)), 4)


def test_rounding_within_a_range_has_the_gradient_of_rounding_and_clamping() -> None:
    """Also at the ends: what rounds to the last integer is not clipped."""
    x = torch.tensor([-9.0, -2.6, -2.4, -2.0, -0.5, 0.5, 2.9, 3.4, 3.6, 50.0], requires_grad=True)
    weight = torch.arange(1.0, 11.0)
    got = round_within(x, -2, 3)
    (got * weight).sum().backward()
    found, x.grad = x.grad, None
    wanted = round_(x).clamp(-2, 3)
    (wanted * weight).sum().backward()
    assert torch.equal(got, wanted)
    assert torch.equal(found, x.grad)


@pytest.mark.parametrize(("lo", "hi"), [(0.0, None), (0.0, 6.0), (-1.0, 1.0), (None, 2.0), (0.5, None)])
def test_fused_clamps_have_their_gradient(lo, hi) -> None:
    node = Node(name="y", op="clamp", inputs=("x",), attrs={"lo": lo, "hi": hi})
    x = torch.linspace(-3.03, 7.01, 41, requires_grad=True)
    y = compute(node, (41,), x)
    y.square().sum().backward()
    inside = (x > (-torch.inf if lo is None else lo)) & (x < (torch.inf if hi is None else hi))
    assert torch.equal(y, x.detach().clamp(lo, hi))
    assert torch.equal(x.grad, 2 * x.detach() * inside)
