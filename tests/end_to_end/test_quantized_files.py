"""Files that other tools quantized, compiled: equal to the interpreter, and to those tools within a step of the output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lowbit
from lowbit.graph import interpret
from lowbit.tracer import trace
from lowbit.zoo import build
from lowbit.zoo.samples import smooth_samples
from tests import tiny
from tests.frontend.onnx.exported import exported
from tests.frontend.onnx.models import runtime

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
