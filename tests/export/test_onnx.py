"""Compiled networks as ONNX models: what onnxruntime makes of them, and what comes back when they are imported."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import lowbit
from lowbit.errors import UnsupportedOperation
from lowbit.export.onnx.pools import regular
from lowbit.export.onnx.types import element_type, limits
from lowbit.export.onnx.writer import to_onnx
from lowbit.frontend import evaluate, import_model
from lowbit.graph import Graph, interpret
from lowbit.numerics import QType
from lowbit.quantization import calibrate, parse_config, quantize_graph
from lowbit.tracer import trace
from lowbit.zoo import build
from lowbit.zoo.samples import smooth_samples
from tests import tiny
from tests.frontend.cases import CASES, case
from tests.frontend.onnx.models import runtime

CONFIGS = ["8/int8", "7/int7", "w4a8", "4/int4", "3/int3", "2/int2", "1/int1", "16/int16"]


def _compiled(model: nn.Module, shape: tuple[int, ...], config: str | None, **options: Any) -> lowbit.Compiled:
    samples = [smooth_samples(shape, seed).numpy() for seed in range(4)]
    precision = {} if config is None else {"config": config, "calibration": samples, "method": "nearest"}
    return lowbit.compile(model, torch.from_numpy(samples[0]), threads=1, **precision, **options)


def _layers(graph: Graph) -> dict[str, Any]:
    return {node.name: node for node in graph.nodes if node.op in ("conv2d", "linear")}


def _same_integers(ours: Graph, back: Graph) -> None:
    """Weights, biases, scales and the grids of all layers' inputs."""
    mine, its = _layers(ours), _layers(back)
    assert list(mine) == list(its)
    for name, node in mine.items():
        other = its[name]
        for a, b in zip(node.inputs[1:3], other.inputs[1:3], strict=True):
            assert np.array_equal(ours.constants[a], back.constants[b]), (name, a)
        for a, b in zip(node.inputs[:2], other.inputs[:2], strict=True):
            held, found = ours.types[a].quant, back.types[b].quant
            assert held is not None
            assert found is not None
            assert np.array_equal(held.scale, found.scale)
            assert held.zero_point == found.zero_point


def _check(network: lowbit.Compiled, shape: tuple[int, ...], count: int = 8, share: float = 0.02, steps: int = 1) -> Any:
    graph = network.graph()
    model = to_onnx(graph)
    onnx.checker.check_model(model, full_check=True)
    back = trace(model)
    _same_integers(graph, back)
    unequal = values = 0
    for seed in range(100, 100 + count):
        x = smooth_samples(shape, seed).numpy()
        ours = np.asarray(network(x))
        (theirs,) = runtime(model, x)
        assert np.array_equal(interpret(back, [x])[0], ours)  # the round trip: to the last bit
        last = _layers(graph)[list(_layers(graph))[-1]]
        quant = [graph.types[name].quant for name in last.inputs[:2]]
        assert quant[0] is not None
        assert quant[1] is not None
        step = float(quant[0].scale) * float(quant[1].scale.max()) * (1 << (quant[1].qtype.bits - 1))
        apart = np.abs(ours - theirs)
        assert apart.max() <= 1.001 * max(steps * step, float(np.abs(ours).max()) * 1e-5)  # steps of an input of the last layer
        unequal, values = unequal + int((apart > 1e-5 * np.abs(ours).max()).sum()), values + apart.size
    assert unequal / values <= share
    return model


@pytest.mark.parametrize("config", CONFIGS)
def test_a_small_network(config: str) -> None:
    _check(_compiled(tiny.module(), (1, 3, 8, 8), config), (1, 3, 8, 8), share=1.0 if "16" in config else 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("config", ["8/int8", "4/int4", "2/int2"])
def test_resnet8(config: str) -> None:
    _check(_compiled(build("cifar_resnet8"), (1, 3, 32, 32), config), (1, 3, 32, 32), share=0.3, steps=3)


@pytest.mark.parametrize(
    ("config", "kinds"),
    [("8/int8", {"INT8"}), ("4/int4", {"INT8", "INT4"}), ("2/int2", {"INT8", "INT2"}), ("1/int1", {"INT8", "INT2"})],
)
def test_weights_take_the_narrowest_type(config: str, kinds: set[str]) -> None:
    """The last layer has 8 bits in all of these."""
    model = to_onnx(
        _compiled(
            nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1)), (1, 3, 9, 9), config
        ).graph()
    )
    found = Counter(onnx.TensorProto.DataType.Name(each.data_type) for each in model.graph.initializer if len(each.dims) == 4)
    assert set(found) == kinds
    assert {entry.version for entry in model.opset_import} == {25 if "INT2" in kinds else 21}


@pytest.mark.parametrize("text", ["u1", "u2", "u3", "u4", "u5", "u8", "b1", "i2", "i3", "i4", "i7", "i8", "i16"])
def test_types(text: str) -> None:
    qtype = QType.parse(text)
    low, high = limits(element_type(qtype))
    assert low <= qtype.qmin
    assert qtype.qmax <= high
    assert high - low + 1 in (4, 16, 256, 65536)


class Pieces(nn.Module):
    """One of everything that is written."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm, self.last = nn.BatchNorm2d(8), nn.Linear(20, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        y = torch.nn.functional.max_pool2d(x, 3, 2, 1) * torch.sigmoid(torch.nn.functional.avg_pool2d(x, 2))
        z = torch.cat([self.norm(y - y.mean((2, 3), keepdim=True)), torch.tanh(self.second(y))], 1)
        z = torch.nn.functional.pad(z, (1, 0, 0, 1))[:, ::2].transpose(1, 2).clamp(-0.8, 0.9)
        z = torch.nn.functional.adaptive_avg_pool2d(z.transpose(1, 2), (2, 3))[:, :, 1:].flatten(1)
        return torch.softmax(self.last(torch.nn.functional.silu(torch.nn.functional.pad(z, (0, 20 - z.shape[1])))), 1)


@pytest.mark.parametrize("config", ["8/int8", None])
def test_every_operation(config: str | None) -> None:
    torch.manual_seed(2)
    network = _compiled(Pieces().eval(), (1, 3, 8, 8), config)
    model = to_onnx(network.graph())
    onnx.checker.check_model(model, full_check=True)
    back = lowbit.compile(model, threads=1)
    for seed in range(100, 106):
        x = smooth_samples((1, 3, 8, 8), seed).numpy()
        ours, (theirs,) = np.asarray(network(x)), runtime(model, x)
        assert np.abs(ours - theirs).max() <= (0.02 if config else 1e-5)
        assert np.abs(ours - np.asarray(back(x))).max() <= (0.02 if config else 1e-5)


@pytest.mark.parametrize(
    ("ranges", "size", "expected"),
    [
        (((0, 2), (2, 4), (4, 6)), 7, (2, 2, 0, 0)),
        (((0, 2), (1, 4), (3, 5)), 5, (3, 2, 1, 1)),
        (((0, 7),), 7, (7, 7, 0, 0)),
        (((0, 3), (2, 5)), 5, (3, 2, 0, 0)),
        (((0, 2), (1, 4), (3, 6)), 6, None),
        (((0, 1), (1, 2)), 5, None),
    ],
)
def test_windows(ranges: tuple[tuple[int, int], ...], size: int, expected: tuple[int, ...] | None) -> None:
    assert regular(ranges, size) == expected or (expected is None and regular(ranges, size) in (None, (3, 2, 1, 0)))


def test_group_scales_become_part_of_the_integers() -> None:
    network = _compiled(
        nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, 4)),
        (1, 3, 4, 4),
        None,
        weights="i4",
        activations="u8",
        granularity="per_group:16",
        first_last_bits=None,
    )
    model = to_onnx(network.graph())
    x = smooth_samples((1, 3, 4, 4), 7).numpy()
    assert np.allclose(np.asarray(network(x)), runtime(model, x)[0], atol=0.02)


def test_from_the_command_line(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from lowbit.cli.app import app

    network = _compiled(tiny.module(), (1, 3, 8, 8), "8/int8")
    network.save(tmp_path / "net.lowbit")
    result = CliRunner().invoke(app, ["export", str(tmp_path / "net.lowbit"), "--onnx", str(tmp_path / "out.onnx")])
    assert result.exit_code == 0, result.output
    assert "out.onnx" in result.output
    x = smooth_samples((1, 3, 8, 8), 3).numpy()
    assert np.array_equal(np.asarray(lowbit.compile(tmp_path / "out.onnx", threads=1)(x)), np.asarray(network(x)))


def test_what_has_no_form() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))  # which the passes fold
    with pytest.raises(UnsupportedOperation, match=r"\(batch_norm\): cannot be written as ONNX; known are add, affine"):
        to_onnx(import_model(model, torch.zeros(1, 3, 8, 8)))


def _small(*names: str) -> list[str]:
    return [name for name in sorted(CASES) if name.startswith(names)]


@pytest.mark.parametrize("name", _small("norm_", "product_", "attention_", "lengths", "extremes", "positions_w"))
def test_norms_and_products(name: str) -> None:
    """Equal to the float graph; of integers to a few steps of 2^-15, where roundings of float32 in another order decide."""
    module, example = case(name)
    graph = trace(module, example)
    arrays = [value.numpy() for value in example]
    integer = quantize_graph(graph, calibrate(graph, [tuple(arrays)]), parse_config("8/int8"))
    for made, wanted, allowed in (
        (graph, [value.numpy() for value in evaluate(graph, example)], 1e-5),
        (integer, interpret(integer, arrays), 2e-3),
    ):
        session = onnxruntime.InferenceSession(to_onnx(made).SerializeToString(), providers=["CPUExecutionProvider"])
        got = session.run(None, dict(zip((given.name for given in session.get_inputs()), arrays, strict=True)))
        for a, b in zip(got, wanted, strict=True):
            assert a.shape == b.shape
            assert np.abs(a - b).max() <= allowed * max(1e-3, float(np.abs(b).max()))


def test_bytes_that_end_early_do_so_elsewhere() -> None:
    """u8:240 beside 4-bit weights: what is beyond the calibrated range is 240 here, in onnxruntime, and read back."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1)
    ).eval()
    shape = (1, 3, 16, 16)
    network = _compiled(model, shape, "w4a8")
    x = 10 * torch.randn(shape).numpy()
    graph = network.graph()
    inputs = [node.inputs[0] for node in _layers(graph).values()]
    assert [str(params.qtype) for name in inputs if (params := graph.types[name].quant)] == ["u8", "u8:240", "u8"]
    values: dict[str, np.ndarray] = {}
    interpret(graph, [x], values.setdefault)
    assert values[inputs[1]].max() == 240
    exported = to_onnx(graph)
    assert np.array_equal(interpret(trace(exported), [x])[0], network(x))
    (theirs,) = runtime(exported, x)
    np.testing.assert_allclose(network(x), theirs, rtol=1e-5, atol=1e-5)
