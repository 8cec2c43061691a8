import numpy as np
import pytest

from lowbit.errors import ConfigError
from lowbit.numerics import QType
from lowbit.numerics.qtype import WIDTHS

ALL = [QType(b, s) for b in WIDTHS for s in (False, True) if not (b == 1 and s)] + [QType(1, True, True)]


@pytest.mark.parametrize("qtype", ALL, ids=str)
def test_text_round_trip(qtype: QType) -> None:
    assert QType.parse(str(qtype)) == qtype
    assert QType.parse(f" {str(qtype).upper()} ") == qtype
    assert QType.parse(qtype) is qtype


@pytest.mark.parametrize(
    ("text", "qmin", "qmax", "dtype"),
    [
        ("u8", 0, 255, "uint8"),
        ("i8", -128, 127, "int8"),
        ("i2", -2, 1, "int8"),
        ("u1", 0, 1, "uint8"),
        ("b1", -1, 1, "int8"),
        ("i16", -32768, 32767, "int16"),
        ("u16", 0, 65535, "uint16"),
        ("u3", 0, 7, "uint8"),
        ("u8:240", 0, 240, "uint8"),
        ("u5:16", 0, 16, "uint8"),
    ],
)
def test_range(text: str, qmin: int, qmax: int, dtype: str) -> None:
    qtype = QType.parse(text)
    assert (qtype.qmin, qtype.qmax, qtype.dtype) == (qmin, qmax, np.dtype(dtype))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("i1", "use b1"),
        ("u9", "widths are 1..8 and 16"),
        ("i32", "widths are 1..8 and 16"),
        ("b2", "only 1 bit is bipolar"),
        ("float", "write u1..u8"),
        ("8", "write u1..u8"),
        ("", "write u1..u8"),
        ("u8:127", r"u8:127: only unsigned types end early, u8 at 128\.\.255"),
        ("u8:256", r"u8 at 128\.\.255"),
        ("i8:100", "only unsigned types end early"),
        ("u8:", "u8:240 for 0..240"),
        ("b1:1", "only unsigned types end early"),
    ],
)
def test_refused(text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        QType.parse(text)


def test_types_that_end_early() -> None:
    qtype = QType.parse("u8:240")
    assert QType.parse(str(qtype)) == qtype
    assert qtype.whole == QType.parse("u8") == QType.parse("u8:255") != qtype
    assert str(QType.parse("u8:255")) == "u8"
    assert qtype.clamp(np.array([-1, 240, 241, 300])).tolist() == [0, 240, 240, 240]
    assert qtype.values(qtype.fields(np.array([0, 200, 240]))).tolist() == [0, 200, 240]


@pytest.mark.parametrize("qtype", ALL, ids=str)
def test_fields_are_unsigned_and_invertible(qtype: QType) -> None:
    values = np.array([-1, 1]) if qtype.bipolar else np.arange(qtype.qmin, qtype.qmax + 1)
    fields = qtype.fields(values)
    assert fields.min() == 0
    assert fields.max() == 2**qtype.bits - 1
    assert len(np.unique(fields)) == len(values)
    np.testing.assert_array_equal(qtype.values(fields), values)


def test_fields_are_twos_complement_and_bipolar_maps_minus_one_to_zero() -> None:
    assert QType.parse("i4").fields(np.array([-8, -1, 7])).tolist() == [8, 15, 7]
    assert QType.parse("b1").fields(np.array([-1, 1])).tolist() == [0, 1]


def test_clamp() -> None:
    assert QType.parse("i3").clamp(np.array([-9, -4, 3, 4])).tolist() == [-4, -4, 3, 3]
    assert QType.parse("b1").clamp(np.array([-3, 0, 2])).tolist() == [-1, 1, 1]
