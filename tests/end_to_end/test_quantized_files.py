"""Files that other tools quantized, compiled: equal to the interpreter, and to those tools within a step of the output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lowbit
from lowbit.errors import UnsupportedOperation
from lowbit.graph import interpret
from lowbit.tracer import trace
from lowbit.zoo import build
from lowbit.zoo.samples import smooth_samples
from tests import tiny
from tests.frontend.onnx.exported import exported
from tests.frontend.onnx.models import model, runtime

KINDS = {
    "QDQ u8 i8": ("QDQ", "QUInt8", "QInt8", True),
    "QDQ i8 i8 per tensor": ("QDQ", "QInt8", "QInt8", False),
    "QDQ u16 i8": ("QDQ", "QUInt16", "QInt8", True),
    "QDQ u8 i4": ("QDQ", "QUInt8", "QInt4", True),
    "QOperator u8 i8": ("QOperator", "QUInt8", "QInt8", True),
    "QOperator u8 u8": ("QOperator", "QUInt8", "QUInt8", False),
}


def quantized_by_onnxruntime(
    module: torch.nn.Module, shape: tuple[int, ...], folder: Path, form: str, activations: str, weights: str, per_channel: bool
) -> Path:
    """What onnxruntime's static quantization makes of a module on seeded pictures."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Samples(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = [smooth_samples(shape, seed).numpy() for seed in range(8)]

        def get_next(self) -> Any:
            return {"x": self.left.pop()} if self.left else None

    floating, path = folder / "float.onnx", folder / "quantized.onnx"
    onnx.save(exported(module, (torch.zeros(shape),), input_names=["x"], do_constant_folding=True), floating)
    quantize_static(
        floating,
        path,
        Samples(),
        quant_format=QuantFormat[form],
        per_channel=per_channel,
        activation_type=QuantType[activations],
        weight_type=QuantType[weights],
    )
    return path


def _compare(path: Path, shape: tuple[int, ...], count: int) -> tuple[float, float]:
    """(largest difference from onnxruntime in steps of the output, share of values that differ)."""
    graph, network = trace(path), lowbit.compile(path, threads=1)
    assert graph.is_exact
    last = graph.nodes[-1]
    quant = graph.types[last.inputs[0]].quant
    assert quant is not None
    apart, unequal, values = 0.0, 0, 0
    for seed in range(100, 100 + count):
        x = smooth_samples(shape, seed).numpy()
        ours = np.asarray(network(x))
        assert np.array_equal(ours, interpret(graph, [x])[0])
        (theirs,) = runtime(str(path), x, fused=True)
        steps = np.rint(np.abs(ours - theirs) / float(quant.scale))
        apart, unequal, values = max(apart, float(steps.max())), unequal + int((steps > 0).sum()), values + steps.size
    return apart, unequal / values


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_small_network(kind: str, tmp_path: Path) -> None:
    path = quantized_by_onnxruntime(tiny.module(), (1, 3, 8, 8), tmp_path, *KINDS[kind])
    apart, share = _compare(path, (1, 3, 8, 8), 20)
    assert apart <= 1
    assert share <= (0.75 if "16" in kind else 0.02)  # a step of 16 bits is below float32's rounding of the sums in front


class EveryOperator(torch.nn.Module):
    """What onnxruntime's quantizer has an integer operation of its own for, or lets integers through."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a = torch.nn.Conv2d(3, 16, 3, padding=1)
        self.b = torch.nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.c = torch.nn.Conv2d(32, 24, 1)
        self.d = torch.nn.Linear(24, 12)
        self.e = torch.nn.Parameter(torch.randn(12, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        f = torch.nn.functional
        y = f.leaky_relu(self.a(x), 0.1)
        u = y * torch.sigmoid(self.b(y)) + y
        v = f.avg_pool2d(torch.cat([u, y], 1), 2, 2)
        v = f.relu(self.c(f.max_pool2d(f.pad(v, (1, 0, 0, 1)), 3, 2)))
        first, second = f.interpolate(v, scale_factor=2, mode="nearest").split(12, 1)
        w = torch.cat([second, first], 1)
        return f.softmax(self.d(f.adaptive_avg_pool2d(w, 1).flatten(1)) @ self.e, 1)


@pytest.mark.parametrize("kind", ["QOperator u8 i8", "QOperator u8 u8", "QDQ i8 i8 per tensor"])
def test_every_operator_of_theirs(kind: str, tmp_path: Path) -> None:
    import onnx

    shape = (1, 3, 24, 24)
    path = quantized_by_onnxruntime(EveryOperator().eval(), shape, tmp_path, *KINDS[kind])
    operators = {node.op_type for node in onnx.load(path).graph.node}
    if "QOperator" in kind:
        assert operators >= {
            *(
                "QLinearConv",
                "QLinearMul",
                "QLinearAdd",
                "QLinearSigmoid",
                "QLinearLeakyRelu",
                "QLinearConcat",
                "QLinearAveragePool",
            ),
            *(
                "QLinearGlobalAveragePool",
                "QLinearMatMul",
                "QLinearSoftmax",
                "QGemm",
                "Resize",
                "MaxPool",
                "Split",
            ),
        }
    graph, network = trace(path), lowbit.compile(path, threads=1)
    for seed in range(100, 110):
        x = smooth_samples(shape, seed).numpy()
        ours, (theirs,) = np.asarray(network(x)), runtime(str(path), x, fused=True)
        if graph.is_exact:
            assert np.array_equal(ours, interpret(graph, [x])[0])
        assert np.abs(ours - theirs).max() <= 1.01 / 255  # the output's step


def test_a_choice_between_integers() -> None:
    scales = {"s": np.float32(0.1), "s2": np.float32(0.07), "s3": np.float32(0.15)}
    zeros = {"z": np.uint8(120), "z2": np.uint8(90), "z3": np.uint8(128)}
    numbers = np.arange(12).reshape(1, 3, 4)
    constants = {"c": numbers % 3 > 0, "other": (numbers * 20).astype(np.uint8), **scales, **zeros}
    nodes = [
        ("QuantizeLinear", "x s z", "q"),
        ("com.microsoft:QLinearWhere", "c q s z other s2 z2 s3 z3", "w"),
        ("DequantizeLinear", "w s3 z3", "y"),
    ]
    given = model(nodes, {"x": (1, 3, 4)}, constants, domains=("com.microsoft",))
    x = np.random.default_rng(0).normal(0, 6, (1, 3, 4)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(lowbit.compile(given, threads=1)(x)), runtime(given, x)[0], atol=1e-6)


def test_pools_with_channels_last_are_refused() -> None:
    constants = {"s": np.float32(0.1), "z": np.uint8(120)}
    nodes = [
        ("QuantizeLinear", "x s z", "q"),
        ("com.microsoft:QLinearGlobalAveragePool", "q s z s z", "w", {"channels_last": 1}),
        ("DequantizeLinear", "w s z", "y"),
    ]
    with pytest.raises(UnsupportedOperation, match="it reads channels last"):
        lowbit.compile(model(nodes, {"x": (1, 3, 4, 5)}, constants, domains=("com.microsoft",)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["QDQ u8 i8", "QOperator u8 i8"])
def test_resnet8(kind: str, tmp_path: Path) -> None:
    path = quantized_by_onnxruntime(build("cifar_resnet8"), (1, 3, 32, 32), tmp_path, *KINDS[kind])
    apart, share = _compare(path, (1, 3, 32, 32), 20)
    assert apart <= 1
    assert share <= 0.02


def test_integers_are_the_files(tmp_path: Path) -> None:
    """Weights, biases and grids of every layer, read from the file by other means."""
    import onnx
    from onnx import numpy_helper

    path = quantized_by_onnxruntime(tiny.module(), (1, 3, 8, 8), tmp_path, *KINDS["QDQ u8 i8"])
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    graph = trace(path)
    layers = [node for node in graph.nodes if node.op in ("conv2d", "linear")]
    assert len(layers) == 3
    for node in layers:
        weights, bias = graph.constants[node.inputs[1]], graph.constants[node.inputs[2]]
        same = [name for name, value in held.items() if value.dtype == np.int8 and value.size == weights.size and value.size > 1]
        assert any(np.array_equal(held[name].reshape(-1), weights.reshape(-1)) for name in same)
        assert any(value.dtype == np.int32 and np.array_equal(value, bias) for value in held.values())
        scales = graph.types[node.inputs[1]].quant
        assert scales is not None
        assert any(value.dtype == np.float32 and np.array_equal(value.reshape(-1), scales.scale) for value in held.values())


STATED = {"TFC_1W1A": (93.17, 93.06), "TFC_1W2A": (94.79, 94.94), "TFC_2W2A": (96.60, 96.92)}
"""Top-1 that the authors state for all 10,000 test images, and qonnx's executor on the 5,000 of mnist_eval.npz."""


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(STATED))
def test_published_networks_of_few_bits(name: str, data_root: Path) -> None:
    from lowbit.reporting.verify import verify

    network = lowbit.compile(data_root / "qonnx" / f"{name}.onnx", threads=1)
    graph = network.graph()
    assert graph.is_exact
    weights = [graph.types[node.inputs[1]].quant for node in graph.nodes if node.op == "linear"]
    assert [str(each and each.qtype) for each in weights] == ["b1" if name[4] == "1" else "i2"] * 4
    assert verify(network) == []
    held = np.load(data_root / "mnist" / "mnist_eval.npz")
    images = held["images"].astype(np.float32) / 255
    given = np.array([np.argmax(network(image.reshape(1, 1, 28, 28))) for image in images])
    assert np.mean(given == held["labels"]) * 100 == pytest.approx(STATED[name][1], abs=0.021)
    for image in images[:20]:
        assert np.array_equal(network(image.reshape(1, 1, 28, 28)), interpret(graph, [image.reshape(1, 1, 28, 28)])[0])


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "bits"), [("qkeras_jettagging", ["i6", "i6", "i6"]), ("unsw_nb15-mlp-w2a2", ["i2", "i2", "i2"])]
)
def test_published_networks_whose_first_layer_reads_float32(name: str, bits: list[str], data_root: Path) -> None:
    network = lowbit.compile(data_root / "qonnx" / f"{name}.onnx", threads=1)
    graph = network.graph()
    linear = [graph.types[node.inputs[1]].quant for node in graph.nodes if node.op == "linear"]
    assert [str(each.qtype) for each in linear if each is not None] == bits
    assert linear[0] is None
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = rng.choice([-1.0, 1.0], graph.types[graph.inputs[0]].shape).astype(np.float32)
        assert np.abs(np.asarray(network(x)) - interpret(graph, [x])[0]).max() < 1e-6
