"""What import_model promises besides the numbers: names, sources, an untouched model, clear refusals."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbit import zoo
from lowbit.errors import InputError, NumericsError, UnsupportedOperation
from lowbit.frontend import import_model
from tests.frontend.cases import Lambda


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        x = self.relu(x - 1)
        return self.head(x.mean((2, 3)))


def _line(text: str) -> str:
    lines, start = inspect.getsourcelines(Net)
    return f"test_torch_export.py:{start + next(index for index, line in enumerate(lines) if text in line)}"


EXAMPLE = torch.zeros(1, 3, 8, 8)


def test_nodes_are_named_after_modules_and_know_their_line() -> None:
    graph = import_model(Net(), EXAMPLE)
    assert graph.name == "Net"
    assert graph.inputs == ("x",)
    names = {node.name: node.op for node in graph.nodes}
    assert names == {
        "stem.0": "conv2d", "stem.1": "batch_norm", "relu": "clamp", "sub": "sub", "relu_1": "clamp",
        "avg_pool2d": "avg_pool2d", "reshape": "reshape", "head": "linear",
    }  # fmt: skip
    assert graph.node("stem.0").source == _line("self.stem(x)")
    assert graph.node("sub").source == _line("x - 1")
    assert graph.node("head").source == _line("self.head(")
    assert graph.node("stem.0").inputs == ("x", "stem.0.weight", "stem.0.bias")
    assert graph.types["stem.1"].shape == (1, 4, 6, 6)


def test_the_model_keeps_its_flags_its_weights_and_its_own_memory() -> None:
    model = Net()
    model.stem.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    graph = import_model(model, EXAMPLE)
    assert model.training
    assert not model.stem.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    weight = graph.constants["head.weight"].copy()
    with torch.no_grad():
        model.head.weight.add_(1)
    assert np.array_equal(graph.constants["head.weight"], weight)


def test_flags_come_back_when_the_import_fails() -> None:
    model = Lambda(lambda self, x: torch.cumprod(x, 1))
    with pytest.raises(UnsupportedOperation):
        import_model(model, EXAMPLE)
    assert model.training


def test_name_and_list_of_inputs() -> None:
    graph = import_model(Lambda(lambda self, x, y: x + y), [EXAMPLE, EXAMPLE], "sum")
    assert graph.name == "sum"
    assert len(graph.inputs) == 2


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ((), "example_inputs is empty"),
        ((EXAMPLE, 3), "example input 1 is a int; inputs must be float32 tensors"),
        (EXAMPLE.to(torch.uint8), "example input 0 is torch.uint8"),
    ],
)
def test_inputs_must_be_float32_tensors(example: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        import_model(Net(), example)


def test_the_model_must_be_a_module() -> None:
    with pytest.raises(InputError, match=r"model is a function; it must be a torch.nn.Module"):
        import_model(lambda x: x, EXAMPLE)


def test_unknown_operation_names_itself_its_place_and_what_is_supported() -> None:
    class Inner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cumprod(x, 1)  # the line

    model = nn.Sequential(nn.ReLU(), nn.Sequential(Inner()))
    line = inspect.getsourcelines(Inner)[1] + 2
    with pytest.raises(UnsupportedOperation) as error:
        import_model(model, EXAMPLE)
    assert str(error.value).startswith(f"cumprod (aten.cumprod.default) in 1.0 (test_torch_export.py:{line}): lowbit cannot ")
    assert str(error.value).endswith("`lowbit info --operations` lists those it can")
    assert "\n" not in str(error.value)


def _conv(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight)


def _view_write(buffer: Tensor) -> Tensor:
    buffer.view(-1).add_(1)
    return buffer


def _branch(x: Tensor) -> Tensor:
    return x if x.sum() > 0 else -x


def _buffer(self: nn.Module, x: Tensor) -> Tensor:
    self.count.add_(1)
    return x + self.count


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda self, x: _conv(x, x[:, :, :3, :3]), "weight and bias must be constants"),
        (lambda self, x: F.conv2d(x[0], self.weight), "give it a batch axis, so that it has 4 axes"),
        (lambda self, x: F.conv_transpose2d(x, x[:1, :, :2, :2].permute(1, 0, 2, 3)), "weight and bias must be constants"),
        (lambda self, x: F.conv_transpose3d(x[:, :, None], torch.ones(3, 2, 2, 2, 2)), "conv_transpose3d.* 3 spatial axes"),
        (lambda self, x: F.conv2d(torch.ones(1, 3, 4, 4), x[:, :, :3, :3]), "must be computed from the network's input"),
        (lambda self, x: F.linear(x, x[0, 0]), "second factor must be a constant matrix"),
        (lambda self, x: F.batch_norm(x, None, None, training=True), "running statistics"),
        (lambda self, x: F.batch_norm(x, torch.zeros(3), torch.ones(3), weight=x[0, :, 0, 0]), "must be constants"),
        (lambda self, x: F.prelu(x, x[0, :, 0, 0]), "slope must be a constant"),
        (lambda self, x: torch.atan(x), "atan"),
        (lambda self, x: torch.div(x, 2, rounding_mode="floor"), "division that rounds"),
        (
            lambda self, x: x ** torch.arange(24.0).reshape(3, 1, 8),
            r"aten.pow.* exponents of 24 values along axes \[1, 3\]; supported is one number",
        ),
        (lambda self, x: x.flatten(1) ** torch.arange(192.0), "supported is one number, or 64 along one axis"),
        (lambda self, x: x**x, "aten.pow.* one must be a constant"),
        (lambda self, x: (-2.0) ** x, "aten.pow.* the base must be positive"),
        (lambda self, x: x ** (2.0**20), "aten.pow.* it must be below 1048576"),
        (
            lambda self, x: torch.repeat_interleave(x, torch.arange(8), 3),
            "aten.repeat_interleave.*shape of its result depends on values",
        ),
        (lambda self, x: F.max_pool2d(x, 2, dilation=2), "dilation must be 1"),
        (lambda self, x: F.max_pool2d(x[0], 2), "give it a batch axis"),
        (lambda self, x: F.avg_pool2d(x, 2, divisor_override=-3), "divisor_override -3; it must be positive"),
        (lambda self, x: F.max_pool2d(x, 2, return_indices=True)[1] * 1.0, "indices or statistics"),
        (lambda self, x: x.half(), "half .aten.to.* it gives torch.float16; activations are torch.float32"),
        (lambda self, x: x.sum(1, dtype=torch.float64), "aten.sum.* it gives torch.float64"),
        (lambda self, x: x + _view_write(self.count), "changes"),
        (lambda self, x: F.dropout(x), "dropout is active .* in evaluation mode; pass training=self.training"),
        (lambda self, x: x[:, x[0, 0, 0].long()], "it gives torch.int64"),
        (lambda self, x: torch.special.bessel_j0(x), "cannot compile this operation; `lowbit info --operations` lists"),
        (lambda self, x: torch.ones(2), "output 0 of Lambda does not depend on the inputs"),
        (lambda self, x: x + torch.randn(8), r"randn \(aten.randn.default\) .* random numbers in evaluation mode"),
        (_buffer, "changes count, a parameter or buffer; a compiled network has no state"),
        (lambda self, x: _branch(x), r"cannot be traced at test_torch_export.py:\d+: .*control flow"),
    ],
)
def test_refusals_say_what_is_allowed(function: object, message: str) -> None:
    model = Lambda(function)
    model.weight = nn.Parameter(torch.ones(2, 3, 3, 3))
    model.register_buffer("count", torch.zeros(1))
    with pytest.raises(UnsupportedOperation, match=message):
        import_model(model, EXAMPLE)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_must_be_finite(value: float) -> None:
    model = Net()
    with torch.no_grad():
        model.stem[0].weight[1, 2, 0, 0] = value
    with pytest.raises(NumericsError, match=r"parameter stem.0.weight read by aten.conv2d.* holds 1 NaN or Inf of 108"):
        import_model(model, EXAMPLE)


def test_computed_constants_must_be_finite() -> None:
    with pytest.raises(NumericsError, match=r"a constant read by aten.div"):
        import_model(Lambda(lambda self, x: x / 0), EXAMPLE)


def test_a_layer_gives_its_name_to_the_node_that_does_its_work() -> None:
    graph = import_model(nn.Sequential(nn.Conv1d(3, 4, 3), nn.Flatten()), torch.zeros(1, 3, 8))
    assert [node.name for node in graph.nodes] == ["0.reshape", "0", "0.reshape_1", "1.reshape"]


def test_shared_parameters_are_one_constant() -> None:
    model = Lambda(lambda self, x: self.c(self.c(x)), c=nn.Conv2d(3, 3, 1))
    graph = import_model(model, EXAMPLE)
    assert [node.inputs[1] for node in graph.nodes] == ["c.weight", "c.weight"]
    assert [node.name for node in graph.nodes] == ["c", "c_1"]


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, lowbit.frontend, lowbit.passes, lowbit.zoo; lowbit.zoo.NETWORKS; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_attributes_of_the_packages() -> None:
    import lowbit.frontend

    for package in (lowbit.frontend, zoo):
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = package.nothing
