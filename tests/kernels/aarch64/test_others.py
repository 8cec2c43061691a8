"""A sample of all other kernels under QEMU; LOWBIT_TEST_EMULATED runs every one of their own tests there."""

from __future__ import annotations

import pytest

from lowbit.targets import TARGETS
from tests.kernels.data_movement import test_input, test_output, test_pack_bits, test_pack_fields, test_runs
from tests.kernels.depthwise_conv2d import test_depthwise
from tests.kernels.elementwise import test_binary, test_lut, test_unary
from tests.kernels.pool import test_pool
from tests.kernels.softmax import test_softmax

pytestmark = pytest.mark.qemu

PI = TARGETS["raspberry-pi-4"]


@pytest.mark.parametrize("width", test_depthwise.WIDTHS)
def test_depthwise_convolution(width: str) -> None:
    test_depthwise.test_random(PI, next(iter(test_depthwise.CASES)), width)


@pytest.mark.parametrize(("fn", "dtypes"), test_pool.FORMS)
def test_pooling(fn: str, dtypes: tuple[str, str]) -> None:
    test_pool.test_pool(PI, next(iter(test_pool.CASES)), fn, dtypes)


@pytest.mark.parametrize("dtypes", [("u8", "f32"), ("i16", "u8")])
def test_softmaxes(dtypes: tuple[str, str]) -> None:
    test_softmax.test_integer(PI, next(iter(test_softmax.CASES)), dtypes)
    test_softmax.test_float(PI, next(iter(test_softmax.CASES)))


@pytest.mark.parametrize("fn", ["add", "mul", "affine"])
def test_elementwise(fn: str) -> None:
    test_binary.test_integer(PI, next(iter(test_binary.SHAPES)), fn, ("i16", "i16", "u8"))
    test_binary.test_float(PI, next(iter(test_binary.SHAPES)), fn)


@pytest.mark.parametrize("fn", ["exp", "erf", "sin", "log1p", "hardswish"])
def test_functions(fn: str) -> None:
    test_unary.test_precision(PI, fn)


@pytest.mark.parametrize("dtype", ["u8", "i16"])
def test_tables(dtype: str) -> None:
    test_lut.test_every_index(PI, dtype, "u8")


@pytest.mark.parametrize("channels", [31, 64])
def test_packing(channels: int) -> None:
    test_pack_bits.test_pack(PI, channels, (1, 2, 1, 0))
    test_pack_fields.test_pack(PI, channels, (1, 2, 1, 0), 2, 2)


@pytest.mark.parametrize("dtype", ["u8", "i16", "f32"])
def test_boundary(dtype: str) -> None:
    test_input.test_input(PI, next(iter(test_input.CASES)), "nchw", dtype)
    test_output.test_output(PI, next(iter(test_output.CASES)), "nchw", dtype)


def test_rescaled_runs() -> None:
    test_runs.test_rescale(PI, next(iter(test_runs.CASES)), "i16", "u8", False)


def test_a_product_is_rounded_before_it_is_added() -> None:
    test_binary.test_addition_rounds_each_product(PI)
