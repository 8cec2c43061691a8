import numpy as np
import pytest

from lowbit.errors import NumericsError
from lowbit.numerics import QParams, QType

U8, I4, B1 = QType.parse("u8"), QType.parse("i4"), QType.parse("b1")


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan, [0.5, 0.0]])
def test_scale_must_be_positive_and_finite(scale: object) -> None:
    with pytest.raises(NumericsError, match="scale must be positive and finite"):
        QParams(U8, np.asarray(scale), axis=None if np.ndim(scale) == 0 else 0)


def test_zero_point_must_be_a_value() -> None:
    with pytest.raises(NumericsError, match=r"zero point 256 outside u8 \[0, 255\]"):
        QParams(U8, np.float32(1), 256)
    with pytest.raises(NumericsError, match="b1 has no zero point"):
        QParams(B1, np.float32(1), 1)


def test_axis_goes_with_the_scale() -> None:
    with pytest.raises(NumericsError, match="needs one"):
        QParams(I4, np.ones(3))
    with pytest.raises(NumericsError, match="no axis"):
        QParams(I4, np.float32(1), axis=0)


def test_container_defaults_to_the_width() -> None:
    assert QParams(I4, np.float32(1)).container == 4
    assert QParams(I4, np.float32(1), container=8).container == 8


def test_same_grid_compares_type_scale_zero_point_and_axis() -> None:
    a = QParams(U8, np.float32(0.5), 3)
    assert a.same_grid(QParams(U8, np.float32(0.5), 3, container=16))
    for other in (
        QParams(U8, np.float32(0.25), 3),
        QParams(U8, np.float32(0.5), 2),
        QParams(QType.parse("i8"), np.float32(0.5), 3),
    ):
        assert not a.same_grid(other)


def test_text() -> None:
    assert str(QParams(U8, np.float32(0.5), 3)) == "u8(scale=0.5, zero_point=3)"
    per_group = QParams(I4, np.array([1.0, 2.0]), 0, 0, 8, 16, np.ones((2, 2)))
    assert str(per_group) == "i4(scale=[1..2]@0, container=8, group_size=16)"
