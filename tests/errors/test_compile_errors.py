"""What can be wrong with what a user gives to ``lowbit.compile``: every refusal says what, where and what is allowed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lowbit
from lowbit.errors import (
    CalibrationError,
    ConfigError,
    InputError,
    LowbitError,
    NumericsError,
    UnknownTarget,
    UnsupportedOperation,
    UnsupportedPrecision,
)
from tests import tiny

EXAMPLE = torch.randn((1, 3, 8, 8), generator=torch.Generator().manual_seed(1))


def compiled(model: nn.Module | None = None, example: Any = EXAMPLE, **options: Any) -> Any:
    return lowbit.compile(model or tiny.module(), example, **options)


# Weights


def _put(value: float, *path: str) -> Callable[[nn.Module], None]:
    def change(model: nn.Module) -> None:
        model.get_submodule(path[0]).get_parameter(path[1]).data.view(-1)[7] = value

    return change


@pytest.mark.parametrize("config", ["fp32", "8/int8"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("layer", "parameter"), [("stem", "weight"), ("body", "bias"), ("head", "weight")])
def test_weights_that_are_not_finite(config: str, value: float, layer: str, parameter: str) -> None:
    model = tiny.module()
    _put(value, layer, parameter)(model)
    wanted = rf"{layer}\.{parameter} read by aten\..* in {layer} \(tiny\.py:\d+\) holds 1 NaN or Inf of \d+ values"
    with pytest.raises(NumericsError, match=wanted):
        compiled(model, config=config, calibration=None if config == "fp32" else [EXAMPLE])


def test_batch_norm_statistics_that_are_not_finite() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    model[1].running_var[2] = float("nan")
    with pytest.raises(NumericsError, match=r"1\.running_var .*holds 1 NaN or Inf of 4 values"):
        compiled(model)


def test_weights_that_overflow_when_folded() -> None:
    """Finite each, but their product is not: refused, never turned into integers."""
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    model[0].weight.data.fill_(1e30)
    model[1].weight.data.fill_(1e30)
    with pytest.raises(LowbitError, match="NaN|[Ii]nf|finite"):
        compiled(model, config="8/int8", calibration=[EXAMPLE])


# Operations


class _Unsupported(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.svd(x)[1]


@pytest.mark.parametrize("config", ["fp32", "4/int4"])
def test_unsupported_operation(config: str) -> None:
    line = inspect.getsourcelines(_Unsupported)[1] + 2
    model = nn.Sequential(nn.ReLU(), _Unsupported())
    with pytest.raises(UnsupportedOperation) as error:
        compiled(model, config=config)
    message = str(error.value)
    assert re.search(r"linalg_svd", message)
    assert f"in 1 (test_compile_errors.py:{line})" in message
    assert message.endswith("`lowbit info --operations` lists those it can")


def test_control_flow_that_depends_on_values() -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if x.sum() > 0 else x

    line = inspect.getsourcelines(Branch)[1] + 2
    with pytest.raises(UnsupportedOperation, match=rf"Branch cannot be traced at test_compile_errors\.py:{line}"):
        compiled(Branch())


def test_example_that_does_not_fit_the_network() -> None:
    with pytest.raises(UnsupportedOperation, match=r"Tiny cannot be traced at tiny\.py:\d+: .*to have 3 channels, but got 4"):
        compiled(example=torch.zeros((1, 4, 8, 8)))


# Inputs to trace with


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (EXAMPLE.int(), r"example input 0 is torch\.int32; inputs must be torch\.float32"),
        ((EXAMPLE.bool(),), r"example input 0 is torch\.bool"),
        (EXAMPLE.numpy(), "example input 0 is a ndarray; inputs must be float32 tensors"),
        ((), "example_inputs is empty"),
        (torch.zeros((0, 3, 8, 8)), r"example input 0 has shape \(0, 3, 8, 8\); every extent must be at least 1"),
    ],
)
def test_example_inputs(example: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compiled(example=example)


def test_no_example_inputs() -> None:
    with pytest.raises(ConfigError, match="example_inputs is needed: a float32 tensor or a tuple of them"):
        compiled(example=None)


def test_no_module() -> None:
    with pytest.raises(InputError, match=r"model is a function; it must be a torch\.nn\.Module"):
        lowbit.compile(lambda x: x, EXAMPLE)


# Calibration


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (3, "calibration is int, must be an iterable of samples"),
        ([], "no calibration samples; give at least one batch"),
        (iter(()), "no calibration samples; give at least one batch"),
        ([EXAMPLE, EXAMPLE * float("nan")], "calibration sample 1: input 'x' holds NaN or infinity"),
        ([EXAMPLE, EXAMPLE, EXAMPLE[..., 1:]], r"sample 2: input 'x' has shape \(1, 3, 8, 7\), the network takes \(1, 3, 8, 8\)"),
        ([()], "calibration sample 0 has 0 inputs, .* takes 1"),
        ([np.array(["a"])], "calibration sample 0: input 'x' is <U1, must be numbers"),
    ],
)
def test_calibration(samples: Any, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        compiled(config="8/int8", calibration=samples)


def test_values_that_overflow_inside_the_network() -> None:
    with pytest.raises(CalibrationError, match="value .* is NaN or infinite for calibration rows 0 to 0"):
        compiled(config="8/int8", calibration=[torch.full((1, 3, 8, 8), 3e38)])


def test_without_data_a_warning_says_so() -> None:
    with pytest.warns(UserWarning, match="no calibration data: ranges come from a seeded random input, .*not for accuracy"):
        compiled(config="8/int8")


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config": "9/int8"}, r"unknown configuration '9/int8'; allowed: fp32; <n>/int<m>"),
        ({"config": "int8"}, r"unknown configuration 'int8'; allowed: fp32"),
        ({"config": "8/int4"}, r"unknown configuration '8/int4'; allowed"),
        ({"config": "w9a8"}, r"'w9a8' asks for 9 bits; allowed: .*1\.\.8 or 16"),
        ({"config": 8}, r'config is text such as "4/int8" or a QuantizationConfig, not 8'),
        ({"config": "8/int8", "weights": "i8"}, "give either config or weights"),
        ({"weights": "q4"}, r"'q4' is not an integer type; write u1\.\.u8, i2\.\.i8, b1, u16, i16, or u8:240"),
        ({"weights": "u4"}, r"weights of type u4: weights are symmetric; write i2\.\.i8, i16 or b1"),
        ({"weights": "i4", "nonsense": 3}, "unknown option nonsense; the options of a quantization are first_last_bits, "),
        ({"weights": "i4", "observer": "max"}, "unknown observer 'max'; known: auto, aciq, entropy, "),
        ({"weights": "i4", "granularity": "per_pixel"}, "granularity 'per_pixel'; write per_channel, per_tensor or per_group:"),
        ({"weights": "i4", "scale": "fixed:x"}, "scale 'fixed:x'; write float, power_of_two, fixed:"),
        ({"weights": "i4", "percentile": 20.0}, "percentile 20.0; write a number above 50 and up to 100"),
        ({"weights": "i4", "first_last_bits": 9}, r"first_last_bits 9; write 1\.\.8, 16 or None"),
        ({"weights": "i4", "weight_container": 3}, "a container of 3 bits for 4-bit values; write 4, 8 or 16"),
        ({"weights": "i4", "layers": {"bodyy": "i8"}}, "override 'bodyy' matches no layer; layers: stem, body, head"),
        ({"weights": "i4", "layers": {"type:conv": "i8"}}, "layer types are type:conv2d, type:linear and type:depthwise"),
        ({"weights": "i4", "layers": {"body": "i8u8"}}, "'i8u8' is not an integer type"),
        ({"weights": "i4", "layers": {"body": 8}}, r'the plan of a layer is text such as "i4/u8" or a LayerPrecision, not 8'),
        ({"layers": {"body": "i8"}}, "layers given without weights or activations"),
        ({"observer": "mse"}, "observer given without weights or activations"),
        ({"threads": 0}, "threads must be a whole number from 1 to 1024, or None for one per CPU; got 0"),
        ({"threads": "two"}, "threads must be a whole number from 1 to 1024, .*; got 'two'"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    if "weights" in options:
        options = {"calibration": [EXAMPLE], **options}
    with pytest.raises(ConfigError, match=message):
        compiled(**options)


def test_precisions_without_kernels() -> None:
    with pytest.raises(UnsupportedPrecision, match="u16: 16-bit activations are signed and symmetric; write i16"):
        compiled(weights="i8", activations="u16")
    with pytest.raises(UnsupportedPrecision, match="per_group:4 with i8 weights: group scales exist for up to 7 bits"):
        compiled(weights="i8", granularity="per_group:4")


def test_unknown_target() -> None:
    with pytest.raises(UnknownTarget, match="unknown target 'avx9'; known targets: native, x86-64, x86-64-v3, "):
        compiled(target="avx9")


def test_options_are_refused_before_the_network_is_traced() -> None:
    """A mistake in an option costs no minutes: neither the module nor the data is touched."""

    class Untouchable(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError("traced")

    for options in ({"threads": 0}, {"target": "avx9"}, {"config": "9/int8"}, {"weights": "i4", "nonsense": 1}):
        with pytest.raises(ConfigError):
            compiled(Untouchable(), **options)
