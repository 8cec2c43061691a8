"""Rounding errors, measured: against their definition, on networks that lose their signal, and on healthy ones."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbit import zoo
from lowbit.chosen_config import make_config
from lowbit.graph import Graph, interpret
from lowbit.measure.noise import CEILING, Noise, measure_noise, sqnr_db
from lowbit.measure.noise_notes import noise_notes, padding_notes, sample_notes
from lowbit.numerics import dequantize
from lowbit.quantization import QuantizationConfig, parse_config, quantize_graph
from lowbit.quantizer import calibrate
from lowbit.tracer import trace

X = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def alive(model: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight.normal_(0, math.sqrt(2 / layer.weight[0].numel()), generator=generator)
                layer.bias.normal_(0, 0.1, generator=generator)
    return model.eval()


class Net(nn.Module):
    """forward = run(self, x)."""

    def __init__(self, run: Callable[[Any, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def healthy() -> nn.Module:
    return alive(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3)), 1)


def unequal_channels() -> nn.Module:
    """The channels of one tensor span a factor of 400, and the next layer undoes it."""
    model = alive(nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 6, 3)), 2)
    size = torch.logspace(-2, 0.6, 16)
    with torch.no_grad():
        model[0].weight *= size.reshape(16, 1, 1, 1)
        model[0].bias *= size
        model[2].weight /= size.reshape(1, 16, 1, 1)
    return model


def unequal_halves() -> nn.Module:
    def run(net: Any, x: Tensor) -> Tensor:
        small, large = net.conv(x).chunk(2, 1)
        return net.head(F.relu(small + large * 0.03))

    model = alive(Net(run, conv=nn.Conv2d(3, 8, 3), head=nn.Conv2d(4, 4, 3)), 3)
    with torch.no_grad():
        model.conv.weight[4:] *= 30
    return model


def far_from_zero() -> nn.Module:
    """Kelvin: the step of the input is as large as its variation."""
    model = alive(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3)), 4)
    model[0].running_mean.fill_(290.0)
    return model


def divided() -> nn.Module:
    """Channels of very different size are divided by their own deviation."""

    def run(net: Any, x: Tensor) -> Tensor:
        x = net.conv(x)
        centred = x - x.mean((2, 3), keepdim=True)
        return net.head(centred / (torch.sqrt((centred * centred).mean((2, 3), keepdim=True)) + 1e-3))  # no norm we know

    model = alive(Net(run, conv=nn.Conv2d(3, 8, 3), head=nn.Conv2d(8, 4, 3)), 5)
    with torch.no_grad():
        model.conv.weight *= torch.logspace(-1.2, 0.7, 8).reshape(8, 1, 1, 1)
        model.conv.bias.zero_()
    return model


def graphs(model: nn.Module, config: QuantizationConfig | str, x: Tensor = X) -> tuple[Graph, Graph]:
    graph = trace(model, x, name="net")
    chosen = parse_config(config) if isinstance(config, str) else config
    assert chosen is not None
    return graph, quantize_graph(graph, calibrate(graph, samples=[x]), chosen)


def noise(model: nn.Module, config: QuantizationConfig | str, x: Tensor = X) -> tuple[Graph, Noise]:
    graph, integer = graphs(model, config, x)
    return graph, measure_noise(graph, integer, [x.numpy()])


@pytest.mark.parametrize("config", ["8/int8", "4/int4", "w4a8", "16/int16", "2/int2"])
def test_it_is_the_definition(config: str) -> None:
    """Beside the interpreter's integers."""
    graph, integer = graphs(healthy(), config)
    found = measure_noise(graph, integer, [X.numpy()])
    from lowbit.frontend import evaluate

    exact: dict[str, Tensor] = {}
    evaluate(graph, [X], exact.__setitem__)
    integers: dict[str, np.ndarray] = {}
    interpret(integer, [X.numpy()], integers.__setitem__)
    assert [layer.name for layer in found.layers] == [node.name for node in graph.nodes]
    for layer in found.layers:
        params, y = integer.types[layer.name].quant, exact[layer.name].double().numpy()
        rounded = integers[layer.name] if params is None else dequantize(integers[layer.name], params)
        assert layer.sqnr_db == pytest.approx(10 * math.log10((y**2).sum() / ((y - rounded) ** 2).sum()), abs=0.02)
    assert list(found.outputs.values()) == [found.layers[-1].sqnr_db]
    assert found.rows == 4


def test_more_bits_are_six_decibels_each() -> None:
    values = [noise(healthy(), f"w{bits}a{bits}")[1].layers[0].own_db for bits in (8, 7, 6, 5)]
    first = [noise(healthy(), make_config("i8", "u8", first_last_bits=None))[1].layers[0].own_db]
    assert values[0] == pytest.approx(first[0])
    inner = [
        noise(alive(nn.Sequential(*(nn.Conv2d(3, 3, 3) for _ in range(3))), 7), f"w{b}a{b}")[1].layers[1].own_db for b in (8, 6)
    ]
    assert inner[0] - inner[1] == pytest.approx(12, abs=3)


def test_own_error_leaves_out_what_came_in() -> None:
    """Behind a layer of 2 bits, the error of a layer of 8 bits is its own only in ``own_db``."""
    config = make_config("i8", "u8", layers={"1": "i2/u8"})
    assert config is not None
    _, found = noise(alive(nn.Sequential(*(nn.Conv2d(3, 3, 3) for _ in range(3))), 7), config)
    _, poor, last = found.layers
    assert poor.own_db < 15
    assert last.sqnr_db < 16
    assert last.own_db > 35
    assert min(poor.causes, key=poor.causes.__getitem__) == "weights"
    assert poor.widths["weights"] == "i2"
    assert last.causes == {}


@pytest.mark.parametrize(
    ("make", "x", "named", "blamed"),
    [
        (unequal_channels, X, "'2' (conv2d) 8 dB: its weights are i8", "'0'"),
        (unequal_halves, X, "'slice' (slice", "'conv'"),
        (far_from_zero, X + 290, "'0' (affine", "'input'"),
        (divided, X, "'unary_1' (unary [test_noise.py", "'add'"),
    ],
)
def test_networks_that_lose_their_signal_are_told_so(make: Callable[[], nn.Module], x: Tensor, named: str, blamed: str) -> None:
    """And what is said to help does."""
    graph, found = noise(make(), "8/int8", x)
    (text,) = noise_notes(found, graph)
    assert named in text
    assert f"it reads {blamed}, of which it needs the small values, as u8" in text
    plan = json.loads(text[text.index("layers=") + len("layers=") : text.index("}") + 1])
    config = make_config("i8", "u8", layers=plan)
    assert config is not None
    graph, better = noise(make(), config, x)
    assert noise_notes(better, graph) == []
    assert min(better.outputs.values()) > min(found.outputs.values()) + 10


@pytest.mark.parametrize(
    "name", ["digits", "lenet5", "cifar_resnet8", "cifar_resnet20", "densenet_block", "mlp_jsc", "mlp_jsc_bn"]
)
def test_healthy_networks_at_eight_bits_hear_nothing(name: str) -> None:
    if name == "digits":
        pytest.importorskip("sklearn")
        model, x = (
            zoo.load_pretrained("digits-cnn")[0],
            torch.from_numpy(next(zoo.dataset("digits-cnn", "calib").batches(8)).inputs[0]),
        )
    else:
        model, (x,) = zoo.build(name), zoo.example_inputs(name, 2)
    graph, found = noise(model, "8/int8", x)
    assert noise_notes(found, graph) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["mobilenet_v1", "mobilenet_v2", "squeezenet1_1", "resnet18", "resnet50", "densenet121", "cifar_resnet56"]
)
def test_large_healthy_networks_at_eight_bits_hear_nothing(name: str) -> None:
    graph, found = noise(zoo.build(name), "8/int8", zoo.example_inputs(name, 2)[0])
    assert noise_notes(found, graph) == []


def test_outputs_that_are_mostly_error() -> None:
    """Many layers, each of which alone would do."""
    layers = [layer for index in range(14) for layer in (nn.Conv2d(8 if index else 3, 8, 3, padding=1), nn.ReLU())]
    graph, found = noise(alive(nn.Sequential(*layers, nn.Conv2d(8, 2, 3)), 3), "3/int3")
    (text,) = noise_notes(found, graph)
    assert text.startswith(f"output {graph.outputs[0]!r} has a signal-to-noise ratio of")
    assert "mostly rounding error" in text
    graph, found = noise(healthy(), "4/int4")
    assert noise_notes(found, graph) == []


def test_samples_that_are_all_the_same() -> None:
    assert sample_notes((np.ones((5, 3)),)) == ["all 5 calibration samples are the same; check what the loader yields"]
    assert sample_notes((np.arange(4),)) == []
    assert sample_notes((np.ones((1, 3)),)) == []
    assert sample_notes(()) == []


def test_padding_that_one_bit_does_not_have() -> None:
    model = alive(nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=p) for p in (0, 1, 0, 1))), 2)
    config = make_config("b1", "b1")
    assert config is not None
    _, integer = graphs(model, config)
    (text,) = padding_notes(integer)
    assert text.startswith("'1': padded with 0, which b1 (-1, +1) does not have")
    two_bits = make_config("b1", "b1", layers={"1": "/u2"})
    assert two_bits is not None
    assert padding_notes(graphs(model, two_bits)[1]) == []
    positive = alive(nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3)), 2)
    assert padding_notes(graphs(positive, config)[1]) == []


def test_decibels() -> None:
    y = torch.ones(100)
    assert sqnr_db(y, y * 1.1) == pytest.approx(20, abs=1e-4)
    assert sqnr_db(y, y) == CEILING
    assert sqnr_db(y * 0, y) == -CEILING
    assert sqnr_db(y, y / 0) == -CEILING


def test_json_is_plain() -> None:
    content = json.loads(json.dumps(noise(unequal_channels(), "8/int8")[1].to_json()))
    assert content["rows"] == 4
    assert set(content["layers"][0]) == {"name", "op", "sqnr_db", "own_db", "causes"}


def test_a_graph_whose_rows_are_not_alike_runs_as_it_is() -> None:
    class Mixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat((x[1:], x[:1])) * 2.0

    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    assert noise(Mixed(), "8/int8", x)[1].rows == 2
    graph, integer = graphs(Mixed(), "8/int8", x)
    assert measure_noise(graph, integer, [x[:1].numpy()]).rows == 2
