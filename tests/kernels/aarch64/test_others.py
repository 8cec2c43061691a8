"""A sample of the cases of all other kernels under QEMU; LOWBIT_TEST_EMULATED runs every one of them there."""

from __future__ import annotations

import re

import pytest

from lowbit.kernels.named import named
from lowbit.kernels.table import KERNELS
from lowbit.targets import TARGETS
from tests.kernels.elementwise import test_binary
from tests.kernels.harness import check_case

pytestmark = pytest.mark.qemu

PI = TARGETS["raspberry-pi-4"]
SAMPLE = {  # kind -> names of its cases
    "argmax": r"(largest|least)/(logits|pixels)/(u8|f32)",
    "binary": r"(add|mul|affine)/image/(i16_i16_u8|f32_f32_f32)",
    "copy": r"(flatten|transposed_16|short_row)/.*",
    "depthwise": r"3x3/.*",
    "gather": r"(lengths|pixels|three)/.*",
    "input": r"image/nchw/(u8|i16|f32)",
    "layer_norm": r"(centred|length)/(pixels|tokens)/(u8_u8|i16_i16|f32_f32)/flat",
    "lut": r"(u8|i16)_u8",
    "matmul": r".*/(mixed|long)/(u8_u8_u8|i16_u8_u8|f32_f32_f32)(/ends)?",
    "matmul_pack": r".*/(mixed|long)/.*",
    "moments": r"pixels/.*",
    "normalize": r"(pixels|tokens)/.*",
    "output": r"logits/nchw/.*",
    "pack_bits": r"(31|64)/1/bits",
    "pack_fields": r"(31|64)/1/2/2/u8",
    "pool": r"(max|avg)/3x3s2p1/.*",
    "resize": r"(twice|cubic|narrow)/(u8_u8|i16_i16|f32_f32)",
    "response_norm": r"(five|odd_power)/.*",
    "runs": r"(element/i16_u8/rescale|sixteen/u8_u8)",
    "softmax": r"logits/.*",
    "statistics": r".*",
    "unary": r"exp|erf|sin|log1p|hardswish",
}


def test_every_kind_is_here() -> None:
    others = {"pack_bytes", "pack_halves", "pack_pairs", "pack_taps"}  # for other machines
    assert SAMPLE.keys() == KERNELS.keys() - {"conv2d", "winograd"} - others


@pytest.mark.parametrize("kind", SAMPLE)
def test_cases(kind: str) -> None:
    tried = [case for case in named(KERNELS[kind].cases)(PI) if re.fullmatch(SAMPLE[kind], case.name)]
    assert tried
    for case in tried:
        check_case(case, PI)


def test_a_product_is_rounded_before_it_is_added() -> None:
    test_binary.test_addition_rounds_each_product(PI)
