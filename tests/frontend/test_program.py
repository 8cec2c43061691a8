"""Exported programs, as they are and behind PT2E."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.ao.quantization.fx._decomposed  # registers torch.ops.quantized_decomposed
from torch import Tensor, nn

import lowbit
from lowbit.errors import ConfigError, InputError, UnsupportedOperation
from lowbit.frontend import evaluate, import_model
from lowbit.frontend.torch_export import import_program
from lowbit.graph import interpret
from lowbit.tracer import trace
from tests import tiny

OPS = torch.ops.quantized_decomposed


def _exported(module: nn.Module, *inputs: Tensor, **options: Any) -> torch.export.ExportedProgram:
    return torch.export.export(module, inputs, **options)


def test_a_float_program_is_the_module() -> None:
    module, x = tiny.network()
    program = _exported(module, x)
    ours, theirs = evaluate(import_model(program), [x])[0], evaluate(import_model(module, x), [x])[0]
    assert torch.equal(ours, theirs)
    named = [[node.name for node in trace(given, x).nodes] for given in (program, module)]
    assert named[0] == named[1]
    compiled = [lowbit.compile(given, x, config="8/int8", calibration=[x.numpy()], threads=1) for given in (program, module)]
    assert torch.equal(compiled[0](x), compiled[1](x))


def test_shapes_are_the_programs() -> None:
    module, x = tiny.network()
    program = _exported(module, x)
    with pytest.raises(InputError, match=r"was exported for inputs of shapes \[\(1, 3, 8, 8\)\], given are \[\(2, 3, 8, 8\)\]"):
        import_model(program, torch.zeros(2, 3, 8, 8))
    free = _exported(module, torch.zeros(2, 3, 8, 8), dynamic_shapes=({0: torch.export.Dim("n", min=1, max=8)},))
    with pytest.raises(InputError, match="export it without dynamic shapes"):
        import_model(free)
    with pytest.raises(InputError, match="input 0 of the program is torch.float64"):
        import_model(_exported(nn.ReLU(), torch.zeros(2, dtype=torch.float64)))
    with pytest.raises(ConfigError, match="example_inputs is needed"):
        trace(module)


class Nested(nn.Module):
    """Outputs in a dict, with None, a number, and one tensor twice."""

    def forward(self, x: Tensor) -> dict[str, Any]:
        y = x.relu()
        return {"map": y, "none": None, "pair": [x.neg(), (y, 3)], "where": x.argmax(1)}


def test_outputs_of_a_program_hang_together_as_the_modules() -> None:
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    programs = (_exported(Nested(), x), _exported(Nested(), x).run_decompositions())
    for given in (Nested(), *programs):
        found, wanted = lowbit.compile(given, x, threads=1)(x), Nested()(x)
        assert list(found) == list(wanted)
        assert found["none"] is None
        assert found["pair"][1][1] == 3
        for ours, theirs in (
            (found["map"], wanted["map"]),
            (found["pair"][0], wanted["pair"][0]),
            (found["where"], wanted["where"]),
        ):
            assert torch.equal(ours, theirs)
        assert torch.equal(found["pair"][1][0], wanted["map"])


def test_a_program_that_returns_a_constant_tensor_is_refused() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.relu(), torch.ones(3)

    with pytest.raises(UnsupportedOperation, match="output 1 of program does not depend on the inputs"):
        import_model(_exported(Constant(), torch.zeros(2, 3)))


class Rounded(nn.Module):
    """A convolution and a linear layer of integer weights between roundings, as PT2E writes them."""

    def __init__(self, low: int = -128, high: int = 127) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        self.low, self.high = low, high
        self.register_buffer("w", torch.randint(low + 1, high + 1, (8, 3, 3, 3), generator=generator).to(torch.int8))
        self.register_buffer("s", torch.rand(8, generator=generator) * 0.02 + 0.005)
        self.register_buffer("z", torch.zeros(8, dtype=torch.int64))
        self.register_buffer("v", torch.randint(low + 1, high + 1, (5, 8), generator=generator).to(torch.int8))
        self.bias = nn.Parameter(torch.randint(-50, 50, (8,), generator=generator) * 0.05 * self.s)

    def forward(self, x: Tensor) -> Tensor:
        x = OPS.quantize_per_tensor(x, 0.05, 3, -128, 127, torch.int8)
        x = OPS.dequantize_per_tensor(x, 0.05, 3, -128, 127, torch.int8)
        w = OPS.dequantize_per_channel(self.w, self.s, self.z, 0, self.low, self.high, torch.int8)
        y = torch.relu(torch.nn.functional.conv2d(x, w, self.bias, padding=1))
        y = OPS.quantize_per_tensor(y, 0.1, 0, 0, 255, torch.uint8)
        y = OPS.dequantize_per_tensor(y, 0.1, 0, 0, 255, torch.uint8)
        y = torch.nn.functional.max_pool2d(y, 2).amax((2, 3))
        v = OPS.dequantize_per_tensor(self.v, 0.03, 0, self.low, self.high, torch.int8)
        return torch.nn.functional.linear(y, v)


@pytest.mark.parametrize(("low", "high", "held"), [(-128, 127, "i8"), (-8, 7, "i4"), (-2, 1, "i2")])
def test_a_quantized_program_keeps_its_integers(low: int, high: int, held: str) -> None:
    module = Rounded(low, high).eval()
    program = _exported(module, torch.zeros(2, 3, 8, 8))
    graph, network = trace(program), lowbit.compile(program, threads=1)
    assert graph.is_exact
    layers = [node for node in graph.nodes if node.op in ("conv2d", "linear")]
    for node, weights in zip(layers, (module.w, module.v), strict=True):
        assert np.array_equal(graph.constants[node.inputs[1]], weights.numpy())
        assert str(graph.types[node.inputs[1]].quant).startswith(held)
    for seed in range(5):
        x = torch.randn((2, 3, 8, 8), generator=torch.Generator().manual_seed(seed))
        ours, theirs = network(x), module(x)
        assert np.array_equal(ours.numpy(), interpret(graph, [x.numpy()])[0])
        assert float((ours - theirs).abs().max()) <= 1e-4 * float(theirs.abs().max())


class Odd(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "dynamic":
            scale = x.abs().max() / 127
            q = OPS.quantize_per_tensor.tensor(x, scale, torch.tensor(0), -128, 127, torch.int8)
            return OPS.dequantize_per_tensor.tensor(q, scale, torch.tensor(0), -128, 127, torch.int8)
        if self.kind == "per channel":
            parameters = (torch.full((4,), 0.1), torch.zeros(4, dtype=torch.int64), 1, -128, 127, torch.int8)
            return OPS.dequantize_per_channel(OPS.quantize_per_channel(x, *parameters), *parameters)
        q = OPS.quantize_per_tensor(x, 0.1, 0, -128, 127, torch.int8)
        if self.kind == "another scale":
            return OPS.dequantize_per_tensor(q, 0.2, 0, -128, 127, torch.int8)
        return OPS.dequantize_per_tensor(q, 0.1, 1, -128, 127, torch.int8)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("dynamic", "computed from the input"),
        ("per channel", "an activation with 4 scales or zero points"),
        ("another scale", "it reads integers that no rounding of the same scale made"),
        ("another zero", "integers of zero point 0 as if they had 1"),
    ],
)
def test_what_cannot_be_kept(kind: str, text: str) -> None:
    with pytest.raises(UnsupportedOperation, match=text):
        import_model(_exported(Odd(kind), torch.randn(2, 4)))


def test_behind_torchao() -> None:
    """A network that torchao quantized: within one step of the program itself, in few places."""
    pytest.importorskip("torchao.quantization.pt2e.quantize_pt2e")
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.testing.pt2e._xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config

    module, x = tiny.network()
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(_exported(module, x).module(), quantizer)
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        prepared(torch.randn(x.shape, generator=generator))
    converted = convert_pt2e(prepared)
    program = _exported(converted, x)
    graph, network = trace(program), lowbit.compile(program, threads=1)
    assert graph.is_exact
    (quant,) = (graph.types[node.inputs[0]].quant for node in graph.nodes if node.op == "dequantize")
    assert quant is not None
    unequal = values = 0
    for _ in range(20):
        x = torch.randn(x.shape, generator=generator)
        ours, theirs = network(x), program.module()(x)
        assert np.array_equal(ours.numpy(), interpret(graph, [x.numpy()])[0])
        steps = torch.round((ours - theirs).abs() / float(quant.scale))
        assert steps.max() <= 1
        unequal, values = unequal + int(steps.sum()), values + steps.numel()
    assert unequal / values <= 0.05


class Blocks(nn.Module):
    """Blocks that say how gradients and types are treated, one in another, with a write that is seen outside."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            y = self.a(x)
            with torch.autocast("cpu", enabled=False):
                z = self.b(y.float())
                y.mul_(2.0)
        with torch.no_grad():
            w = y + z
        return w.relu(), y


@pytest.mark.parametrize("outside", [torch.no_grad, torch.enable_grad])
def test_blocks_are_what_is_in_them(outside: Any) -> None:
    torch.manual_seed(0)
    model, x = Blocks().eval(), torch.randn(2, 3, 5, 5)
    with outside():
        graphs = [import_model(model, x), import_program(torch.export.export(model, (x,), strict=False))]
    for graph in graphs:
        for got, want in zip(evaluate(graph, [x]), model(x), strict=True):
            assert torch.allclose(got, want, atol=1e-6)


def test_a_block_of_another_type_is_refused() -> None:
    class Narrow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return torch.mm(x, x) + 1

    with pytest.raises(UnsupportedOperation, match="autocast to torch.bfloat16 inside the model is not supported"):
        import_model(Narrow(), torch.randn(3, 3))
