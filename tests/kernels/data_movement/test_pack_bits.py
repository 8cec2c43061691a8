"""Where the definition of PackBitsSpec puts a bit, and a machine without SSE2."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.data_movement.packing_cases import bits_cases
from lowbit.kernels.data_movement.reference import packed_bits
from lowbit.kernels.data_movement.spec import PackBitsSpec
from lowbit.kernels.layout import Layout
from lowbit.targets import Target

from ..harness import check_case

# a machine without SSE2 takes the portable multiplication; its code runs here as well
PORTABLE = Target("portable", "x86_64-linux-gnu", "x86-64", frozenset(), 16, 16, 32768, 262144, "x86-64")


def test_the_portable_multiplication() -> None:
    for case in bits_cases(PORTABLE):
        check_case(case, PORTABLE)


def test_reference_bit_order():
    src, dst = Layout(1, 1, 1, 9, 16), Layout(1, 1, 1, 9, 4, "bits")
    pixels = np.zeros((1, 1, 1, 16), np.uint8)
    pixels[..., [0, 3, 8, 9]] = 1  # channel 9 is not part of the tensor
    assert packed_bits(PackBitsSpec(src=src, dst=dst), pixels).tolist() == [[[[0b1001, 1, 0, 0]]]]
